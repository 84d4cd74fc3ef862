"""Boxes beside the network that they come from and other ways to them; by hand, on a quiet machine.

python tests/benchmarks/prediction.py exits with 1 where a median exceeds its target. With the extra
`bench` plain loops with torch-cam and grad-cam stand beside ours.
"""

from report import report

from wsol.speed.predict import compare_prediction

if __name__ == "__main__":
    report(compare_prediction("efficientnet_lite0_tdam", repeats=11))
