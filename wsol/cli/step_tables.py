"""The table of the any-step rule: single steps, any of them, and a partner with as many guesses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from wsol.cli import common
from wsol.text import write_gap

if TYPE_CHECKING:
    from wsol.evaluation.any_step import AnyStepResult
    from wsol.evaluation.result import Evaluation

_SCORES = {
    "top1_loc": "Top-1 Loc",
    "top5_loc": "Top-5 Loc",
    "gt_known_loc": "GT-known",
    "top1_cls": "top-1",
    "top5_cls": "top-5",
}


def _with_interval(value: float | None, ends: list[float] | None) -> str:
    if value is None:
        return "-"
    return f"{value:.1f}" if ends is None else f"{value:.1f} ({ends[0]:.1f} - {ends[1]:.1f})"


def print_steps(result: AnyStepResult, evaluation: Evaluation) -> None:
    """Print the scores by the any-step rule, and how they differ from the partner's.

    Args:
        result: the scores
        evaluation: that they belong to
    """
    steps = len(result.thresholds)
    words = {f"step_{step + 1}": f"step {step + 1}" for step in range(steps)}
    words |= {
        "any_step": "any step, boxes merged",
        "any_step_unmerged": "any step, nothing merged",
        "partner_one": "partner",
        "partner": f"partner, {steps} classes" if steps > 1 else "partner, 1 class",
    }
    where = (
        f"{evaluation.result.images} images of {evaluation.split}, "
        f"protocol {evaluation.protocol.name}, percent"
    )
    header = list(_SCORES.values())
    rows = []
    for row in result.rows:
        cells = [_with_interval(row.scores[name], row.intervals95.get(name)) for name in _SCORES]
        rows.append([words[row.name], f"{row.guesses:.2f}", *cells])
    title = f"any step may be right: {where} (95 % interval)"
    common.print_table(title, ["", "guesses an image", *header], rows)
    rows = []
    for name, gaps in result.differences.items():
        told = [gaps.get(score) for score in _SCORES]
        cells = [
            "-" if gap is None else write_gap(gap.difference, gap.low, gap.high) for gap in told
        ]
        rows.append([words[name], *cells])
    common.print_table(f"minus {words['partner']}: {where} (95 % interval)", ["", *header], rows)
    levels = ", ".join(f"{each:.3f}" for each in result.thresholds)
    rule = "each the best on val" if evaluation.rule == "val" else "fixed"
    typer.echo(f"thresholds of the steps: {levels}, {rule}")
    typer.echo(f"partner: {result.partner}, threshold {result.partner_threshold:.3f}")
