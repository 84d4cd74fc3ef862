"""Where a report goes, and what it is made of until the page stands."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tdam.events import working
from wsol.errors import about
from wsol.folder_lock import LOCK
from wsol.out_files import KEPT, FileList
from wsol.out_folders import free_folder, writing
from wsol.text import count_things

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from eval.protocols import Protocol
    from eval.splits import Split
    from tdam.events import Events
    from wsol.evaluation.kept_maps import MapKeeper
    from wsol.report import Run

UNFINISHED = "unfinished-report"  # what a report needs until its page stands


@dataclass(frozen=True)
class ReportJob:
    """What a report needs while images are scored.

    Args:
        folder: of the report
    """

    folder: Path

    @property
    def results(self) -> Path:
        """Where results go if no other folder was named."""
        return self.folder / UNFINISHED / "results"

    def keeper(self, split: Split, rules: Protocol) -> MapKeeper:
        """Make room for the maps of the images that the page shows."""
        from wsol.evaluation.kept_maps import MapKeeper
        from wsol.report import choose_images

        shown = choose_images(split.ids)
        folder = self.folder / UNFINISHED / "maps"
        with about("report"), writing(self.folder):
            return MapKeeper(folder, split.ids, shown, rules.levels, rules.rounding)

    def write(
        self, results: Path, keeper: MapKeeper, source: Any, root: Path | None, events: Events
    ) -> Path:
        """Write the page and its tables, and remove what they were made of; gives the page."""
        from wsol.evaluation.network_maps import NetworkMaps
        from wsol.report import read_run
        from wsol.report.steps import keep_steps

        run = read_run(results, self.folder.resolve().name, keeper, slim=True)
        if isinstance(source, NetworkMaps):
            classes = {image_id: run.rows[image_id]["map_class"] for image_id in keeper.rows}
            keep_steps(source, classes, keeper)
        page = write_page(self.folder, [run], root, events)
        self.discard()
        return page

    def discard(self) -> None:
        """Remove what the page was made of."""
        shutil.rmtree(self.folder / UNFINISHED, ignore_errors=True)


def free_report(
    folder: Path, force: bool, *, out: Path | None = None, goes_on: bool = False
) -> ReportJob:
    """Make room for a report.

    Args:
        folder: of the report
        force: overwrite an earlier report
        out: of the results, or None
        goes_on: an unfinished run in `out` goes on, so that the maps that it kept stay

    Raises:
        wsol.errors.ArgumentError: something is in the way
    """
    unfinished = folder / UNFINISHED
    with about("report"), writing(folder):
        there = {path.name for path in folder.glob("*")} - {LOCK, *KEPT}
        ours = {UNFINISHED, *(name.partition("/")[0] for name in FileList(folder).names())}
        begun = UNFINISHED in there and there <= ours  # it goes once the page is whole
        same = out is not None and out.resolve() == folder.resolve()
        free_folder(folder, force or begun, begun=goes_on or same)
        if unfinished.is_dir() and not goes_on:
            shutil.rmtree(unfinished)
    return ReportJob(folder)


def write_page(
    folder: Path, runs: Sequence[Run], root: Path | None, events: Events, **options: Any
) -> Path:
    """Write a report, told to `events` as a task; at its end, what it lacks, and where it is.

    Args:
        folder: of the report
        runs: at least one
        root: of the images, or None
        events: told of every picture
        options: of `write_report`

    Returns:
        the page

    Raises:
        wsol.evaluation.comparison.ResultError: runs of other images, or under other rules
        wsol.errors.ArgumentError: the folder cannot be written
    """
    from wsol.report import write_report
    from wsol.report.choice import GALLERY

    shown, without = min(len(runs[0].rows), GALLERY), dict[str, str]()
    with working(events, "report", shown), about("report"), writing(folder):
        page = write_report(folder, runs, root, progress=events.advance, without=without, **options)
    if without:
        image_id, why = next(iter(without.items()))
        sought = "" if root is None else f" (sought in {root}; --root names another folder)"
        count = f"{len(without)} of {count_things(shown, 'image')}"
        events.say(f"the report has no picture of {count}{sought}, such as {image_id}: {why}")
    events.say(f"report in {page}")
    return page
