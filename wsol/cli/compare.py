"""`wsol compare`: two evaluations of the same images, with intervals of the difference."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from wsol.cli import common


def compare(
    first: Annotated[Path, typer.Argument(metavar="FIRST", help="Folder of `evaluate --out`.")],
    second: Annotated[Path, typer.Argument(metavar="SECOND", help="Another such folder.")],
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write all differences to this file.")
    ] = None,
    force: common.Force = False,
) -> None:
    """Compare two evaluations of the same images, image by image.

    Prints second minus first with its paired bootstrap interval and, for scores that count images,
    McNemar's exact test: how many images only one of the two has right.
    """
    from wsol.comparison import ResultError, compare_results, read_results

    for name, path in (("FIRST", first), ("SECOND", second)):
        if not path.exists():
            raise typer.BadParameter(f"{path}: no such folder", param_hint=name)
    if json_file is not None:
        common.free_file(json_file, "--json", force)
    try:
        runs = read_results(first), read_results(second)
        found = compare_results(*runs)
    except ResultError as error:
        common.fail(str(error))
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
    scores = runs[0].scores
    common.print_table(
        f"{second} minus {first}: {scores['images']} images of {scores['split']}, protocol "
        f"{scores['protocol']}, grid {scores['interval']}, class map {scores['class_map']}",
        ["score", "first", "second", "difference", "95 % interval", "only one right", "McNemar p"],
        rows,
    )
    rules = [common.describe_threshold(run.scores) for run in runs]
    typer.echo(f"thresholds: first {rules[0]}; second {rules[1]}")
    if json_file is not None:
        content = {name: asdict(each) for name, each in found.items()}
        json_file.write_text(json.dumps(content) + "\n", encoding="utf-8")
