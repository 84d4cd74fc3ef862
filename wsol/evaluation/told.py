"""What people are told of an evaluation: its scores as a table, and sentences of its choices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eval.metrics.classes import ClassResult
from wsol.evaluation.metric_names import (
    OF_MAPS,
    is_of_given_boxes,
    list_scores,
    name_score,
    tell_missing_truth,
)
from wsol.evaluation.threshold_rules import explain_rule
from wsol.text import count_things, write_gap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wsol.evaluation.result import Evaluation
    from wsol.report.tables import Cell, Table

_OF_STEPS = {
    "top1_loc": "Top-1 Loc",
    "top5_loc": "Top-5 Loc",
    "gt_known_loc": "GT-known",
    "top1_cls": "top-1",
    "top5_cls": "top-5",
}


def tell_evaluation(evaluation: Evaluation) -> Table:
    """Tell the scores of one split under one protocol, with all choices below them.

    Args:
        evaluation: the scores
    """
    from wsol.report.tables import Table

    content = evaluation.to_dict()
    given = is_of_given_boxes(content)
    rows = [
        (name_score(name, given), write_percent(value), write_interval(evaluation, name))
        for name, value in list_scores(content).items()
        if not (given and name in OF_MAPS)
    ]
    images = count_things(evaluation.result.images, "image")
    title = f"{images} of {evaluation.split}, protocol {evaluation.protocol.name}"
    title = f"{evaluation.subject}: {title}" if evaluation.subject else title
    header = ("score", "percent", "95 % interval")
    return Table("scores", title, header, [*rows], {}, tuple(_list_notes(evaluation, content)))


def tell_steps(evaluation: Evaluation) -> list[Table]:
    """Tell the scores by the any-step rule, and how they differ from the partner's.

    Args:
        evaluation: the scores; without any by this rule there are no tables
    """
    from wsol.report.tables import Table

    result = evaluation.steps
    if result is None:
        return []
    count = len(result.thresholds)
    words = {f"step_{step + 1}": f"step {step + 1}" for step in range(count)}
    words |= {
        "any_step": "any step, boxes merged",
        "any_step_unmerged": "any step, nothing merged",
        "partner_one": "partner",
        "partner": f"partner, {count} classes" if count > 1 else "partner, 1 class",
    }
    where = (
        f"{count_things(evaluation.result.images, 'image')} of {evaluation.split}, "
        f"protocol {evaluation.protocol.name}, percent (95 % interval)"
    )
    scores: list[tuple[Cell, ...]] = []
    for row in result.rows:
        cells = [_with_interval(row.scores[name], row.intervals95.get(name)) for name in _OF_STEPS]
        scores.append((words[row.name], f"{row.guesses:.2f}", *cells))
    gaps: list[tuple[Cell, ...]] = []
    for name, by_score in result.differences.items():
        found = [by_score.get(score) for score in _OF_STEPS]
        cells = [
            "-" if gap is None else write_gap(gap.difference, gap.low, gap.high) for gap in found
        ]
        gaps.append((words[name], *cells))
    levels = ", ".join(f"{each:.3f}" for each in result.thresholds)
    rule = "each the best on val" if evaluation.rule == "val" else "fixed"
    notes = (
        f"thresholds of the steps: {levels}, {rule}",
        f"partner: {result.partner}, threshold {result.partner_threshold:.3f}",
    )
    heads = tuple(_OF_STEPS.values())
    first = ("", "guesses an image", *heads)
    against = f"minus {words['partner']}: {where}"
    return [
        Table("steps", f"any step may be right: {where}", first, scores, {}),
        Table("steps-differences", against, ("", *heads), gaps, {}, notes),
    ]


def _with_interval(value: float | None, ends: Sequence[float] | None) -> str:
    told = write_percent(value)
    return told if value is None or ends is None else f"{told} ({_write_ends(ends)})"


def _list_notes(evaluation: Evaluation, content: dict[str, Any]) -> list[str]:
    images = count_things(evaluation.result.images, "image")
    if isinstance(evaluation.result, ClassResult):
        notes = [f"no boxes, so that nothing is localized; image {evaluation.image}"]
    else:
        notes = [tell_choices(evaluation)]
    notes += tell_overlaps(evaluation.overlaps)
    if content["errors"] is not None:
        counts = {name: count for name, count in content["errors"].items() if count is not None}
        wrong = counts.pop("misclassified", None)
        text = ", ".join(f"{name} {count}" for name, count in counts.items())
        where = "" if is_of_given_boxes(content) else " at this threshold"
        notes.append(f"misses{where}, of {images}: {text}")
        if wrong is not None:
            notes.append(f"misclassified: {count_things(wrong, 'image')}")
        notes.append(f"several true boxes on {content['several_true_boxes']:.1%} of the images")
    return notes + tell_missing_truth(content)


def tell_choices(evaluation: Evaluation) -> str:
    """Say threshold, grid and class map of an evaluation in a line."""
    content = evaluation.to_dict()
    grid = "" if is_of_given_boxes(content) else f"grid {evaluation.protocol.interval}; "
    return f"{describe_threshold(content)}; {grid}class map {evaluation.class_map}"


def tell_overlaps(lines: Sequence[str] | None) -> list[str]:
    """Say which images were not only scored, each line once."""
    return [f"not apart: {line}" for line in dict.fromkeys(lines or ())]


def describe_threshold(scores: dict[str, Any]) -> str:
    """Say which threshold an evaluation took, and where from.

    Args:
        scores: the JSON output
    """
    threshold = scores["threshold"]
    if threshold["rule"] is None:
        return "no threshold"
    said = explain_rule(threshold["rule"], threshold["chosen_on"])
    return f"threshold {threshold['value']:.3f}, {said}"


def write_percent(value: float | None) -> str:
    """Write a score; `-` for one that is not known."""
    return "-" if value is None else f"{value:.1f}"


def write_interval(evaluation: Evaluation, name: str) -> str:
    """Write the 95 % interval of a score; nothing for one that has none."""
    ends = evaluation.result.intervals95.get(name)
    return "" if ends is None else _write_ends(ends)


def _write_ends(ends: Sequence[float]) -> str:
    return f"{ends[0]:.1f} - {ends[1]:.1f}"
