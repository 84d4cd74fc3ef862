"""One run out of an experiment's record, as it was scored: its numbers without its data."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from wsol.benchmarking.experiment_files import load_experiment
from wsol.benchmarking.record_file import copy_entry, open_record
from wsol.benchmarking.score_store import SCORED
from wsol.report.runs import read_run

if TYPE_CHECKING:
    from wsol.report.runs import Run


def read_recorded_run(experiment: str, run: str, method: str, name: str) -> Run:
    """Read a run's results on the images that an experiment reports.

    Args:
        experiment: name of one that comes along, or path of its TOML file
        run: `MODEL-SEED`
        method: of the maps
        name: that the run gets

    Raises:
        ValueError: no such experiment
        wsol.evaluation.comparison.ResultError: no record, or one without this run

    >>> run = read_recorded_run("imagenet10_lite0", "imagenet-0", "gradcampp", "plain")
    >>> run.scores["images"], run.scores["threshold"]["rule"]
    (400, 'val')
    """
    record = load_experiment(experiment).record
    if record is None:
        raise ValueError(f"Expected an experiment with a record but {experiment} has none")
    with TemporaryDirectory() as work, open_record(record) as file:
        for entry in file.infolist():
            path = PurePosixPath(entry.filename)
            if path.match(f"{run}/{method}-*/{SCORED}/*"):
                copy_entry(file, entry, Path(work) / path.name)
        return read_run(work, name, slim=True)
