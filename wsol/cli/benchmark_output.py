"""What `benchmark` and `reproduce` have in common: tables on stdout, checks, pictures."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from wsol.cli import common

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from eval.protocols import Protocol
    from eval.splits import Split
    from wsol.benchmarking.expected import Expected
    from wsol.benchmarking.summary import Row
    from wsol.report import Run


def print_rows(rows: Sequence[Row], title: str) -> None:
    """Print means and differences.

    Args:
        rows: of the tables
        title: what was scored, and how
    """
    from wsol.benchmarking.tables import difference_table, score_table

    typer.echo(title)
    for table in (score_table(rows), difference_table(rows)):
        if table is not None:
            common.print_table(table.title, list(table.header), table.texts())
            typer.echo("\n".join(table.notes))


def list_verdicts(rows: Sequence[Row]) -> list[str]:
    """Say in a line a model whether it is better than its reference, scored the first way.

    Args:
        rows: of the tables; a model's first row is the way that matters most
    """
    from wsol.benchmarking.summary import judge

    first: dict[str, Row] = {}
    for row in rows:
        first.setdefault(row.model, row)
    lines = (judge(row) for row in first.values())
    return [line for line in lines if line is not None]


def check_expected(expected: Sequence[Expected], rows: Sequence[Row]) -> bool:
    """Say on stdout whether values are as expected, and name on stderr those that are not."""
    from wsol.benchmarking.faults import list_faults

    faults = list_faults(expected, rows)
    sys.stderr.writelines(f"{fault}\n" for fault in faults)
    off = len({fault.partition(": expected")[0] for fault in faults})
    typer.echo(f"{len(expected) - off} of {len(expected)} expected values found")
    return not faults


def read_runs(places: Mapping[str, Path], scored: Split, rules: Protocol) -> list[Run]:
    """Read what a page with pictures shows.

    Args:
        places: folder of results by the name of a model
        scored: split that they are of
        rules: that they were scored under
    """
    from wsol.benchmarking.score_weights import MAPS
    from wsol.evaluation.kept_maps import MapKeeper
    from wsol.report import choose_images, read_run

    wanted = choose_images(scored.ids)
    found = []
    for name, place in places.items():
        keeper = None
        if (place / MAPS).is_dir():
            keeper = MapKeeper(place / MAPS, scored.ids, wanted, rules.levels, rules.rounding)
        found.append(read_run(place, name, keeper))
    return found
