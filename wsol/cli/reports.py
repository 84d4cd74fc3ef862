"""Where a command's report goes, and what it is made of until the page stands."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

from wsol.cli import common, outputs

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from eval.protocols import Protocol
    from eval.splits import Split
    from wsol.evaluation.kept_maps import MapKeeper
    from wsol.report import Run

UNFINISHED = "unfinished-report"  # what a report needs until its page stands


@dataclass(frozen=True)
class ReportWork:
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

        wanted = choose_images(split.ids)
        place = self.folder / UNFINISHED / "maps"
        with outputs.writing(self.folder, "--report"):
            return MapKeeper(place, split.ids, wanted, rules.levels, rules.rounding)

    def write(self, results: Path, keeper: MapKeeper, source: Any, root: Path | None) -> None:
        """Write the page and its tables, and remove what they were made of."""
        from wsol.evaluation.network_maps import NetworkMaps
        from wsol.report import read_run
        from wsol.report.steps import keep_steps

        run = read_run(results, self.folder.resolve().name, keeper, slim=True)
        if isinstance(source, NetworkMaps):
            classes = {image_id: run.rows[image_id]["map_class"] for image_id in keeper.rows}
            keep_steps(source, classes, keeper)
        write(self.folder, [run], root)
        shutil.rmtree(self.folder / UNFINISHED, ignore_errors=True)


def free(folder: Path, out: Path | None, goes_on: bool, force: bool) -> ReportWork:
    """Make room for a report, or exit with 2.

    Args:
        folder: of the report
        out: of the results, or None
        goes_on: an unfinished run in `out` goes on, so that the maps that it kept stay
        force: overwrite an earlier report
    """
    work = folder / UNFINISHED
    with outputs.writing(folder, "--report"):
        begun = folder.is_dir() and [path.name for path in folder.iterdir()] == [UNFINISHED]
        same = out is not None and out.resolve() == folder.resolve()
        outputs.free_folder(folder, force or begun or same, "--report")
        if work.is_dir() and not goes_on:
            shutil.rmtree(work)
    return ReportWork(folder)


def write(folder: Path, runs: Sequence[Run], root: Path | None, **options: Any) -> None:
    """Write a report with a progress bar, or exit and say why not."""
    from wsol.evaluation.comparison import ResultError
    from wsol.report import write_report
    from wsol.report.choice import GALLERY

    with common.progress("report", min(len(runs[0].rows), GALLERY)) as advance:
        try:
            page = write_report(folder, runs, root, progress=advance, **options)
        except ResultError as error:
            common.fail(str(error))
        except OSError as error:
            message = f"{folder} cannot be written ({error.strerror})"
            raise typer.BadParameter(message, param_hint="--report") from error
    sys.stderr.write(f"report in {page}\n")
