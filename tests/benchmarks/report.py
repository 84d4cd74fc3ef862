"""What the benchmarks print, and how they exit."""

import sys

from wsol.speed.ratios import describe_machine


def report(ratios):
    """Print ratios beside their targets, and exit with 1 where a median misses its own."""
    for ratio in ratios:
        bound = "at least" if ratio.at_least else "at most"
        sys.stdout.write(
            f"{ratio.name}: {ratio.median:.3f} ({ratio.low:.3f} - {ratio.high:.3f}), "
            f"{bound} {ratio.target:.2f}: {'ok' if ratio.met else 'TOO SLOW'}\n"
        )
    sys.stdout.write(describe_machine() + "\n")
    sys.exit(not all(ratio.met for ratio in ratios))
