"""What is off: values that a benchmark found, held against those that it should find."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wsol.benchmarking.expected import Expected
    from wsol.benchmarking.summary import Row


def list_faults(expected: Sequence[Expected], rows: Sequence[Row]) -> list[str]:
    """Name the values that are off, and those that were not measured.

    Args:
        expected: values
        rows: of the table; a value is compared with every row that it fits

    Returns:
        a line a fault: which, expected, got and tolerance
    """
    faults = []
    for each in expected:
        fitting = [row for row in rows if _fits(each, row)]
        found = [(row, row.value(each.score, each.difference)) for row in fitting]
        if not any(value is not None for _, value in found):
            faults.append(f"{each}: expected {each.value:g} but it was not measured")
        for row, value in found:
            if value is not None and not abs(value - each.value) <= each.tolerance:
                faults.append(
                    f"{each}: expected {each.value:g} but got {value:.2f} (tolerance "
                    f"{each.tolerance:g}; {row.describe()})"
                )
    return faults


def _fits(each: Expected, row: Row) -> bool:
    return (
        each.model == row.model
        and each.threshold in ("", row.threshold)
        and each.method in ("", row.method)
        and each.output_stride in (0, row.output_stride)
        and each.seeds in ((), row.seeds)
    )
