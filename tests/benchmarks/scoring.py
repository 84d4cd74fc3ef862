"""Speed of scoring against its targets; run by hand, on a quiet machine.

python tests/benchmarks/scoring.py exits with 1 where a median misses its target.
"""

import sys

from wsol.speed.ratios import describe_machine
from wsol.speed.score import compare_scoring


def main():
    ratios = compare_scoring(repeats=15)
    for ratio in ratios:
        sys.stdout.write(
            f"{ratio.name}: {ratio.median:.3f} ({ratio.low:.3f} - {ratio.high:.3f}), at least "
            f"{ratio.target:.2f}: {'ok' if ratio.met else 'TOO SLOW'}\n"
        )
    sys.stdout.write(describe_machine() + "\n")
    sys.exit(not all(ratio.met for ratio in ratios))


if __name__ == "__main__":
    main()
