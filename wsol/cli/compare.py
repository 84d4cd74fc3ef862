"""`wsol compare`: evaluations of the same images, with intervals of the differences."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wsol.cli import common, outputs, reports

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eval.statistics import Difference
    from wsol.report import Run


def compare(
    first: Annotated[Path, typer.Argument(metavar="FIRST", help="Folder of `evaluate --out`.")],
    second: Annotated[Path, typer.Argument(metavar="SECOND", help="Another such folder.")],
    more: Annotated[
        list[Path] | None, typer.Argument(metavar="MORE", help="Further such folders.")
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write all differences to this file.")
    ] = None,
    report: common.Report = None,
    root: Annotated[
        Path | None, typer.Option(help="Image root for --report; default: as FIRST had it.")
    ] = None,
    force: common.Force = False,
) -> None:
    """Compare evaluations of the same images, image by image, each with the first.

    Prints second minus first with its paired bootstrap interval and, for scores that count images,
    McNemar's exact test: how many images only one of the two has right.
    """
    from wsol.evaluation.comparison import ResultError, compare_results

    paths = [first, second, *(more or [])]
    for path in paths:
        if not path.exists():
            name = {0: "FIRST", 1: "SECOND"}.get(paths.index(path), "MORE")
            raise typer.BadParameter(f"{path}: no such folder", param_hint=name)
    if root is not None and not root.is_dir():
        raise typer.BadParameter(f"{root}: no such folder", param_hint="--root")
    if json_file is not None:
        outputs.free_file(json_file, "--json", force)
    if report is not None:
        reports.free(report, None, False, force)
    try:
        runs = _read(paths)
        of_masks = not any(run.of_boxes for run in runs)
        found = []
        if report is None or not of_masks:
            found = [compare_results(runs[0].results, run.results) for run in runs[1:]]
    except ResultError as error:
        common.fail(str(error))
    for path, run, each in zip(paths[1:], runs[1:], found, strict=False):
        _print_difference(first, path, runs[0], run, each)
    if json_file is not None:
        content = [{name: asdict(each) for name, each in pair.items()} for pair in found]
        text = json.dumps(content[0] if len(content) == 1 else content) + "\n"
        json_file.write_text(text, encoding="utf-8")
    if report is not None:
        if root is None and runs[0].root is not None and runs[0].root.is_dir():
            root = runs[0].root
        reports.write(report, runs, root, differences=found)


def _read(paths: list[Path]) -> list[Run]:
    """Read the runs, named by their folders, by as much of the path as tells them apart."""
    from wsol.report import read_run
    from wsol.report.runs import tell_apart

    folders = [path.parent if path.is_file() else path for path in paths]
    names = [folder.resolve().name for folder in folders]
    if len(set(names)) < len(names):
        names = tell_apart([str(folder) for folder in folders])
    return [read_run(path, name) for path, name in zip(paths, names, strict=True)]


def _print_difference(
    first: Path, second: Path, before: Run, after: Run, found: Mapping[str, Difference]
) -> None:
    rows = []
    for name, each in found.items():
        counted = each.p_value is not None
        rows.append(
            [
                name,
                f"{each.first:.1f}",
                f"{each.second:.1f}",
                f"{each.difference:+.1f}",
                f"{each.low:+.1f} to {each.high:+.1f}",
                f"+{each.gained} -{each.lost}" if counted else "",
                f"{each.p_value:.3g}" if counted else "",
            ]
        )
    scores = before.scores
    common.print_table(
        f"{second} minus {first}: {scores['images']} images of {scores['split']}, protocol "
        f"{scores['protocol']}, grid {scores['interval']}, class map {scores['class_map']}",
        ["score", "first", "second", "difference", "95 % interval", "only one right", "McNemar p"],
        rows,
    )
    rules = [common.describe_threshold(run.scores) for run in (before, after)]
    typer.echo(f"thresholds: first {rules[0]}; second {rules[1]}")
    taken = [run.scores["threshold"] for run in (before, after)]
    both_fixed = all(each["rule"] == "fixed" for each in taken)
    if len({each["value"] if both_fixed else each["rule"] for each in taken}) > 1:
        typer.echo("their rules differ, and count in the differences: take one --threshold")
