"""Speed and memory of the reference network against their targets; run by hand, on a quiet machine.

python tests/benchmarks/network.py exits with 1 where a median exceeds its target.
"""

from report import report

from wsol.speed.network import compare_network

SETTINGS = {"attention": "tdam", "steps": 2, "distance": 1, "searchlight": "joint"}

if __name__ == "__main__":
    report(compare_network("resnet50", SETTINGS, batch_size=8, repeats=15))
