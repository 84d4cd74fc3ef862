"""`wsol compare`: evaluations of the same images, with intervals of the differences."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tdam.strict_json import dumps
from wsol.cli import common
from wsol.cli.completing import offer
from wsol.cli.console import ConsoleEvents
from wsol.cli.score_tables import print_overlaps, print_told
from wsol.cli.usage import usage
from wsol.errors import about
from wsol.evaluation.metric_names import name_score
from wsol.evaluation.told import describe_threshold
from wsol.evaluation.unreadable import (
    UNREADABLE,
    UNREADABLE_CHOSEN_ON,
    list_missed,
    pair_unreadable,
)
from wsol.out_files import write_named
from wsol.out_folders import free_file
from wsol.text import count_things, escape, write_ends

if TYPE_CHECKING:
    from wsol.workflows.compare import Comparison


def _list_groupings() -> list[str]:
    from wsol.evaluation.groups import GROUPINGS

    return list(GROUPINGS)


def compare(
    first: Annotated[Path, typer.Argument(metavar="FIRST", help="Folder of `evaluate --out`.")],
    second: Annotated[Path, typer.Argument(metavar="SECOND", help="Another such folder.")],
    more: Annotated[
        list[Path] | None, typer.Argument(metavar="MORE", help="Further such folders.")
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Compare groups of images too: size, objects or class.",
            autocompletion=offer(_list_groupings),
        ),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write all differences to this file.")
    ] = None,
    report: common.Report = None,
    root: Annotated[
        Path | None, typer.Option(help="Image root for --report; default: where a run found them.")
    ] = None,
    force: common.Force = False,
) -> None:
    """Compare evaluations of the same images, image by image, each with the first.

    Prints second minus first with its paired bootstrap interval and, for scores that count images,
    McNemar's exact test: how many images only one of the two has right. Images or maps that could
    not be read are named, and the exit code is 1 then.
    """
    from wsol.evaluation.comparison import trusting
    from wsol.report.tables import group_table
    from wsol.workflows.compare import compare as run

    with usage(first="FIRST", second="SECOND", more="MORE"):
        if json_file is not None:
            with about("json"):
                free_file(json_file, force)
        with ConsoleEvents() as events:
            comparisons = run(
                first,
                second,
                *(more or []),
                by=by,
                report=report,
                root=root,
                force=force,
                events=events,
            )
    shown = [each for each in comparisons if each.differences]
    for path, each in zip([second, *(more or [])], shown, strict=False):
        with usage(), trusting(f"{first} and {path}"):
            _print_difference(first, path, each)
            if each.by is not None:
                print_told(group_table(each.by, each.groups))
    if json_file is not None:
        content = [_describe(each) for each in shown]
        text = dumps(content[0] if len(content) == 1 else content) + "\n"
        write_named(json_file, text)
    runs = [comparisons[0].first, *(each.second for each in comparisons)]
    told = pair_unreadable(list_missed(runs))
    for sentence, lines in told:
        sys.stderr.writelines(f"{escape(line)}\n" for line in (*lines, sentence))
    if told:
        raise typer.Exit(1)


def _describe(comparison: Comparison) -> dict[str, Any]:
    """Give the JSON output of a comparison."""
    differences = {name: asdict(gap) for name, gap in comparison.differences.items()}
    missed = {key: list(getattr(comparison, key)) for key in (UNREADABLE, UNREADABLE_CHOSEN_ON)}
    groups = {
        name: {"images": count, **{score: asdict(gap) for score, gap in gaps.items()}}
        for name, (count, gaps) in comparison.groups.items()
    }
    return {**differences, **missed, **({"groups": groups} if groups else {})}


def _print_difference(first: Path, second: Path, comparison: Comparison) -> None:
    before, after = comparison.first, comparison.second
    rows = []
    for name, gap in comparison.differences.items():
        counted = gap.p_value is not None
        rows.append(
            [
                name_score(name),
                f"{gap.first:.1f}",
                f"{gap.second:.1f}",
                f"{gap.difference:+.1f}",
                write_ends(gap.low, gap.high),
                f"+{gap.gained} -{gap.lost}" if counted else "",
                f"{gap.p_value:.3g}" if counted else "",
            ]
        )
    scores = before.scores
    images = count_things(scores["images"], "image")
    common.print_table(
        f"{second} minus {first}: {images} of {scores['split']}, protocol {scores['protocol']}, "
        f"grid {scores['interval']}, class map {scores['class_map']}",
        ["score", "first", "second", "difference", "95 % interval", "only one right", "McNemar p"],
        rows,
    )
    rules = [describe_threshold(run.scores) for run in (before, after)]
    typer.echo(f"thresholds: first {rules[0]}; second {rules[1]}")
    print_overlaps([line for run in (before, after) for line in run.scores.get("overlaps") or ()])
    taken = [run.scores["threshold"] for run in (before, after)]
    both_fixed = all(each["rule"] == "fixed" for each in taken)
    if len({each["value"] if both_fixed else each["rule"] for each in taken}) > 1:
        typer.echo("their rules differ, and count in the differences: take one --threshold")
