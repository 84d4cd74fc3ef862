"""Speed and memory of the reference network against their targets; run by hand, on a quiet machine.

python tests/benchmarks/network.py exits with 1 where a median exceeds its target.
"""

import sys

from wsol.speed.network import compare_network
from wsol.speed.ratios import describe_machine

SETTINGS = {"attention": "tdam", "steps": 2, "distance": 1, "searchlight": "joint"}


def main():
    ratios = compare_network("resnet50", SETTINGS, batch_size=8, repeats=15)
    for ratio in ratios:
        verdict = "ok" if ratio.met else "TOO SLOW"
        sys.stdout.write(
            f"{ratio.name}: {ratio.median:.3f} ({ratio.low:.3f} - {ratio.high:.3f}), "
            f"at most {ratio.target:.2f}: {verdict}\n"
        )
    sys.stdout.write(describe_machine() + "\n")
    sys.exit(not all(ratio.met for ratio in ratios))


if __name__ == "__main__":
    main()
