"""Scores on the terminal: an evaluation, several protocols side by side, several models."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from wsol.cli import common
from wsol.evaluation.metric_names import (
    is_of_given_boxes,
    list_scores,
    name_score,
    tell_missing_truth,
)
from wsol.evaluation.told import (
    tell_choices,
    tell_evaluation,
    tell_overlaps,
    tell_steps,
    write_interval,
    write_percent,
)
from wsol.text import count_things

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wsol.benchmarking.outcome import Outcome
    from wsol.evaluation.result import Evaluation
    from wsol.report.tables import Table


def print_evaluation(evaluation: Evaluation) -> None:
    """Print the scores of one split under one protocol."""
    table = tell_evaluation(evaluation)
    common.print_table(table.title, list(table.header), table.texts())
    _print_steps(evaluation)
    for line in table.notes:
        typer.echo(line)


def _print_steps(evaluation: Evaluation) -> None:
    for table in tell_steps(evaluation):
        print_told(table)


def print_told(table: Table) -> None:
    """Print a table that a page or a notebook may show too, with its notes."""
    common.print_table(table.title, list(table.header), table.texts())
    for line in table.notes:
        typer.echo(line)


def print_overlaps(lines: Sequence[str] | None) -> None:
    """Print what is told of images that were not only scored, each line once."""
    for line in tell_overlaps(lines):
        typer.echo(line)


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
                f"{write_percent(value)} ({write_interval(each, name)})"
                if value is not None
                else "-"
                for value, each in zip(values, evaluations, strict=True)
            ]
            rows.append([name_score(name, given), *cells])
    first = evaluations[0]
    where = f"{count_things(first.result.images, 'image')} of {first.split}"
    title = f"{what}: the same maps ({first.image}) of {where}"
    header = ["percent (95 % interval)", *(each.protocol.name for each in evaluations)]
    common.print_table(title, header, rows)
    for each in evaluations:
        _print_steps(each)
        typer.echo(f"{each.protocol.name}: {tell_choices(each)}")
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
            print_told(table)
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
