"""Evaluations of the same images, compared image by image."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tdam.events import SILENT, Events
from wsol.errors import ArgumentError
from wsol.evaluation.comparison import compare_results, trusting
from wsol.evaluation.groups import GROUPINGS, compare_groups
from wsol.evaluation.unreadable import list_missed
from wsol.folder_lock import holds
from wsol.overlap import describe_unknown
from wsol.result_list import Tables
from wsol.text import write_gap
from wsol.workflows.report_job import free_report, write_page

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eval.statistics import Difference
    from wsol.report import Run
    from wsol.workflows.report_job import ReportJob


@dataclass(frozen=True, eq=False)
class Comparison:
    """One evaluation against the first.

    Args:
        first: the evaluation that all others are compared with
        second: the one in question
        differences: second minus first by the name of a score, as in the JSON output, with paired
            bootstrap intervals and, for scores that count images, McNemar's exact test; empty for
            scores of masks
        unreadable: images or maps that one or both could not read, with the reason and, where it is
            one of them, its name; they count as missed
        unreadable_chosen_on: the same of the images that thresholds were chosen on
        by: what tells groups of images apart, where they were asked for
        groups: as `wsol.evaluation.groups.compare_groups` gives them
    """

    first: Run
    second: Run
    differences: dict[str, Difference]
    unreadable: tuple[str, ...] = ()
    unreadable_chosen_on: tuple[str, ...] = ()
    by: str | None = None
    groups: dict[str, tuple[int, dict[str, Difference]]] = field(default_factory=dict)

    def __repr__(self) -> str:
        gaps = {name: self.differences.get(name) for name in ("gt_known_loc", "top1_loc")}
        shown = "".join(
            f", {name}={write_gap(gap.difference, gap.low, gap.high)!r}"
            for name, gap in gaps.items()
            if gap is not None
        )
        return (
            f"Comparison(first={self.first.name!r}, second={self.second.name!r}, "
            f"images={self.first.scores['images']}{shown})"
        )

    def _repr_html_(self) -> str:
        from wsol.report.tables import difference_table, group_table

        tables = [difference_table(self.first, self.second, self.differences)]
        if self.by is not None:
            tables.append(group_table(self.by, self.groups))
        return "".join(table.to_html() for table in tables)


@holds("report")
def compare(
    first: str | Path,
    second: str | Path,
    *more: str | Path,
    by: str | None = None,
    report: str | Path | None = None,
    root: str | Path | None = None,
    force: bool = False,
    events: Events = SILENT,
) -> list[Comparison]:
    """Compare evaluations of the same images, each with the first.

    Args:
        first: folder that `evaluate` wrote
        second: another such folder
        more: further ones
        by: compare groups of images too, by `size`, `objects` or `class`
        report: folder for a page
        root: of the images, for the page; None: where one of the evaluations found them
        force: overwrite an earlier report
        events: told of what is done

    Returns:
        one comparison for each folder after the first

    Raises:
        wsol.errors.ArgumentError: a ValueError that says which argument cannot be used, and why
        wsol.evaluation.comparison.ResultError: no results, or results of other images or rules
    """
    if by is not None and by not in GROUPINGS:
        raise ArgumentError("by", f"Expected one of {', '.join(GROUPINGS)} but got {by!r}")
    folders = [Path(folder) for folder in (first, second, *more)]
    for folder, argument in zip(folders, ("first", "second", *["more"] * len(more)), strict=True):
        if not folder.exists():
            raise ArgumentError(argument, f"{folder}: no such folder")
    home = None if root is None else Path(root)
    if home is not None and not home.is_dir():
        raise ArgumentError("root", f"{root}: no such folder")
    page = None if report is None else free_report(Path(report), force)
    with trusting(" and ".join(map(str, folders))):
        return _compare(folders, page, home, by, events)


def _compare(
    folders: Sequence[Path],
    page: ReportJob | None,
    home: Path | None,
    by: str | None,
    events: Events,
) -> list[Comparison]:
    runs = _read(folders)
    for run in runs:
        if run.by_number:
            events.say(f"{run.name}: {run.by_number}")
        if run.scores.get("overlaps", ()) is None:
            events.say(f"{run.name}: {describe_unknown('its network')}")
    differences: list[dict[str, Difference]] = []
    if page is None or any(run.of_boxes for run in runs):
        differences = [compare_results(runs[0].results, run.results) for run in runs[1:]]
    if page is not None:
        root = _find_root(runs) if home is None else home
        write_page(page.folder, runs, root, events, differences=differences)
    return Tables(
        Comparison(
            runs[0],
            run,
            by_score,
            by=by,
            groups={}
            if by is None
            else compare_groups(runs[0].results, run.results, by, runs[0].labels),
            **{key: tuple(lines) for key, lines in list_missed([runs[0], run]).items()},
        )
        for run, by_score in zip(runs[1:], differences or [{}] * (len(runs) - 1), strict=True)
    )


def _find_root(runs: Sequence[Run]) -> Path | None:
    """Find the images where a run found them; where none are left, name the first such place."""
    roots = [run.root for run in runs if run.root is not None]
    there = (root for root in roots if any((root / image).is_file() for image in runs[0].rows))
    return next(there, roots[0] if roots else None)


def _read(folders: Sequence[Path]) -> list[Run]:
    """Read the runs, named by their folders, by as much of the path as tells them apart."""
    from wsol.report import read_run
    from wsol.report.runs import tell_apart

    homes = [folder.parent if folder.is_file() else folder for folder in folders]
    names = [home.resolve().name for home in homes]
    if len(set(names)) < len(names):
        names = tell_apart([str(home) for home in homes])
    return [read_run(folder, name) for folder, name in zip(folders, names, strict=True)]
