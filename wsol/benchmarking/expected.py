"""Expected values: what a benchmark should find, and within which tolerance."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tdam.toml_records import fit_fields, read_toml
from wsol.benchmarking.replicates import name_rule
from wsol.text import write_beside

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from wsol.benchmarking.experiment import Scoring
    from wsol.benchmarking.summary import Row

SCORES = ("top1_loc", "top5_loc", "gt_known_loc", "max_box_acc", "max_box_acc_v2", "top1_cls")


@dataclass(frozen=True)
class Expected:
    """One value that a benchmark should find.

    Args:
        model: name of the model
        score: name of the score, as in the JSON output
        value: in percent, or of a difference in points
        tolerance: by how much the measured value may be off in either direction
        threshold: rule that chose the threshold; "" where the score has none
        method: map method; "" where there is one alone
        output_stride: of the scoring; 0 where there is one alone
        difference: whether it is the difference from the model that it is compared with
        seeds: that it is the mean over; empty for all that the model has
        any_seed: whether it is of one training whose seed is not known, so that the mean over any
            of the model's seeds is held against it
        protocol: that it was scored under; "" where there is one alone
    """

    model: str
    score: str
    value: float
    tolerance: float
    threshold: str = ""
    method: str = ""
    output_stride: int = 0
    difference: bool = False
    seeds: tuple[int, ...] = ()
    any_seed: bool = False
    protocol: str = ""

    def __str__(self) -> str:
        parts = [self.model, self.score, "difference" if self.difference else ""]
        parts += [f"protocol {self.protocol}" if self.protocol else ""]
        parts += [f"threshold {self.threshold}" if self.threshold else "", self.method]
        parts += [f"stride {self.output_stride}" if self.output_stride else ""]
        return ", ".join(part for part in parts if part)


def read_expected(content: Any) -> tuple[Expected, ...]:
    """Read expected values out of plain ones.

    Args:
        content: a list of tables with the fields of `Expected`; a threshold may be a number

    Raises:
        ValueError: a key or a value that does not fit
    """
    if not isinstance(content, list):
        raise ValueError(f"Expected [[expected]] tables but got {content!r}")
    return tuple(map(_read_one, content))


def _read_one(content: Any) -> Expected:
    if not isinstance(content, dict):
        raise ValueError(f"Expected a table of an expected value but got {content!r}")
    threshold = content.get("threshold")
    if type(threshold) in (int, float):
        content = {**content, "threshold": f"{threshold:g}"}
    values = fit_fields("an expected value", Expected, content)
    if values["score"] not in SCORES:
        raise ValueError(
            f"Expected score to be one of {', '.join(SCORES)} but got {values['score']!r}"
        )
    if values.get("any_seed") and values.get("seeds"):
        raise ValueError(f"Expected seeds or any_seed but got both, of {values['model']}")
    if values["tolerance"] < 0:
        raise ValueError(f"Expected tolerance from 0 but got {values['tolerance']}")
    return Expected(**values)


def load_expected(path: Path) -> tuple[Expected, ...]:
    """Read a TOML file of expected values, `[[expected]]` tables.

    Raises:
        ValueError: a file that cannot be read, without such tables, or with others
    """
    content, _ = read_toml(path, "a TOML file")
    try:
        expected = read_expected(content.get("expected", []))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if not expected:
        raise ValueError(f"Expected [[expected]] tables but {path} has none")
    return expected


def check_measurable(
    expected: Sequence[Expected], references: Mapping[str, str], scoring: Scoring
) -> None:
    """Refuse values that a scoring cannot measure, whatever comes out of it.

    Args:
        expected: values
        references: by the name of a model the one that it is compared with, its own for none
        scoring: how is scored

    Raises:
        ValueError: it names the value, and what there is instead
    """
    for each in expected:
        if each.model not in references:
            known = ", ".join(references)
            raise ValueError(f"Expected values of {known} but got {each.model!r}")
        given: list[tuple[str, Any, list[Any], bool]] = [
            ("threshold", each.threshold, [*map(name_rule, scoring.thresholds)], False),
            ("method", each.method, [*scoring.methods], "auto" in scoring.methods),
            ("output_stride", each.output_stride, [*scoring.output_strides], False),
            ("protocol", each.protocol, [rules.name for rules in scoring.rules], False),
        ]
        for name, value, known_values, is_open in given:
            # A stride of 0 and the method auto are those of the weights, which may be any.
            fits = is_open or not value or value in known_values or 0 in known_values
            if name == "protocol":  # a score under one is none under another
                fits = value in known_values or not (value or scoring.several)
            if not fits:
                listed = ", ".join(map(str, known_values))
                raise ValueError(f"{each}: Expected {name} among {listed} but got {value}")
        if each.difference and references[each.model] == each.model:
            raise ValueError(f"{each}: Expected a model that is compared with another")


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
        values = [(row, row.value(each.score, each.difference)) for row in fitting]
        if not any(value is not None for _, value in values):
            faults.append(f"{each}: expected {each.value:g} but it was not measured")
        for row, value in values:
            if value is not None and not abs(value - each.value) <= each.tolerance:
                end = each.value + math.copysign(each.tolerance, value - each.value)
                faults.append(
                    f"{each}: expected {each.value:g} but got {write_beside(value, end, 2)} "
                    f"(tolerance {each.tolerance:g}; {row.describe()})"
                )
    return faults


def _fits(each: Expected, row: Row) -> bool:
    return (
        each.model == row.model
        and each.threshold in ("", row.threshold)
        and each.method in ("", row.method)
        and each.output_stride in (0, row.output_stride)
        and each.seeds in ((), row.seeds)
        and row.protocol in ("", each.protocol)
    )
