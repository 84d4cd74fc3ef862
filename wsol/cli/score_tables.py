"""Scores on the terminal: an evaluation, several protocols side by side, several models."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from eval.metrics.classes import ClassResult
from wsol.cli import common
from wsol.cli.step_tables import print_steps
from wsol.evaluation.metric_names import (
    OF_MAPS,
    is_of_given_boxes,
    list_scores,
    name_score,
    tell_missing_truth,
)
from wsol.text import count_things

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wsol.benchmarking.outcome import Outcome
    from wsol.evaluation.result import Evaluation


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _interval(evaluation: Evaluation, name: str) -> str:
    ends = evaluation.result.intervals95.get(name)
    return "" if ends is None else f"{ends[0]:.1f} - {ends[1]:.1f}"


def _choices(evaluation: Evaluation) -> str:
    content = evaluation.to_dict()
    grid = "" if is_of_given_boxes(content) else f"grid {evaluation.protocol.interval}; "
    return f"{common.describe_threshold(content)}; {grid}class map {evaluation.class_map}"


def print_evaluation(evaluation: Evaluation, what: str) -> None:
    """Print the scores of one split under one protocol.

    Args:
        evaluation: the scores
        what: was scored
    """
    content = evaluation.to_dict()
    given = is_of_given_boxes(content)
    rows = [
        [name_score(name, given), _percent(value), _interval(evaluation, name)]
        for name, value in list_scores(content).items()
        if not (given and name in OF_MAPS)
    ]
    images = count_things(evaluation.result.images, "image")
    where = f"{images} of {evaluation.split}"
    title = f"{what}: {where}, protocol {evaluation.protocol.name}"
    common.print_table(title, ["score", "percent", "95 % interval"], rows)
    if evaluation.steps is not None:
        print_steps(evaluation.steps, evaluation)
    if isinstance(evaluation.result, ClassResult):
        typer.echo(f"no boxes, so that nothing is localized; image {evaluation.image}")
    else:
        typer.echo(_choices(evaluation))
    print_overlaps(evaluation.overlaps)
    if content["errors"] is not None:
        counts = {name: count for name, count in content["errors"].items() if count is not None}
        wrong = counts.pop("misclassified", None)
        text = ", ".join(f"{name} {count}" for name, count in counts.items())
        where = "" if given else " at this threshold"
        typer.echo(f"misses{where}, of {images}: {text}")
        if wrong is not None:
            typer.echo(f"misclassified: {count_things(wrong, 'image')}")
        typer.echo(f"several true boxes on {content['several_true_boxes']:.1%} of the images")
    for line in tell_missing_truth(content):
        typer.echo(line)


def print_overlaps(lines: Sequence[str] | None) -> None:
    """Print what is told of images that were not only scored, each line once."""
    for line in dict.fromkeys(lines or ()):
        typer.echo(f"not apart: {line}")


def print_protocols(evaluations: list[Evaluation], what: str) -> None:
    """Print the scores of the same maps under several protocols.

    Args:
        evaluations: one a protocol
        what: was scored
    """
    every = [list_scores(each.to_dict()) for each in evaluations]
    given = is_of_given_boxes(evaluations[0].to_dict())
    rows = []
    for name in dict.fromkeys(name for scores in every for name in scores):
        values = [scores.get(name) for scores in every]
        if any(value is not None for value in values):
            cells = [
                f"{_percent(value)} ({_interval(each, name)})" if value is not None else "-"
                for value, each in zip(values, evaluations, strict=True)
            ]
            rows.append([name_score(name, given), *cells])
    first = evaluations[0]
    where = f"{count_things(first.result.images, 'image')} of {first.split}"
    title = f"{what}: the same maps ({first.image}) of {where}"
    header = ["percent (95 % interval)", *(each.protocol.name for each in evaluations)]
    common.print_table(title, header, rows)
    for each in evaluations:
        if each.steps is not None:
            print_steps(each.steps, each)
        typer.echo(f"{each.protocol.name}: {_choices(each)}")
    print_overlaps(first.overlaps)
    for line in tell_missing_truth(first.to_dict()):
        typer.echo(line)


def print_outcome(outcome: Outcome) -> None:
    """Print means, differences and verdicts of several models, and how many expected values hold.

    Args:
        outcome: of a benchmark or an experiment; values that are off and images that could not be
            read go to stderr
    """
    from wsol.benchmarking.tables import (
        describe_given,
        difference_table,
        list_overlaps,
        score_table,
    )
    from wsol.evaluation.unreadable import pair_unreadable

    typer.echo(outcome.title)
    for table in (score_table(outcome.rows), difference_table(outcome.rows)):
        if table is not None:
            common.print_table(table.title, list(table.header), table.texts())
            typer.echo("\n".join(table.notes))
    if outcome.verdicts:
        typer.echo("\n".join(outcome.verdicts))
    print_overlaps(list_overlaps(outcome.rows))
    for line in outcome.departures:
        typer.echo(f"not the experiment as it stands: {line}")
    if outcome.given:
        typer.echo(f"weights: {describe_given(outcome.given)}")
    if outcome.departures and outcome.expected:
        sys.stderr.write("so that no verdict is given and no expected value is compared\n")
    elif outcome.expected is not None:
        sys.stderr.writelines(f"{fault}\n" for fault in outcome.faults)
        typer.echo(f"{outcome.met} of {len(outcome.expected)} expected values found")
    for sentence, lines in pair_unreadable(vars(outcome)):
        sys.stderr.writelines(f"{line}\n" for line in (*lines, sentence))
