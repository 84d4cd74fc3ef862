"""What the benchmarks print, and how they exit."""

import sys

from wsol.speed.ratios import describe_machine


def report(ratios):
    """Print ratios beside their targets, and exit with 1 where a median misses its own."""
    for ratio in ratios:
        told = f"{ratio.name}: {ratio.median:.3f} ({ratio.low:.3f} - {ratio.high:.3f})"
        if ratio.target is not None:
            bound = "at least" if ratio.at_least else "at most"
            told += f", {bound} {ratio.target:.2f}: {'ok' if ratio.met else 'TOO SLOW'}"
        sys.stdout.write(told + "\n")
    sys.stdout.write(describe_machine() + "\n")
    sys.exit(not all(ratio.met for ratio in ratios))
