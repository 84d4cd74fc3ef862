"""Speed of scoring against its targets; run by hand, on a quiet machine.

python tests/benchmarks/scoring.py exits with 1 where a median misses its target.
"""

from report import report

from wsol.speed.score import compare_scoring

if __name__ == "__main__":
    report(compare_scoring(repeats=15))
