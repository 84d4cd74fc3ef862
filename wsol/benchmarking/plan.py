"""What `reproduce` will do: for every run whether it is trained, gone on with, scored, or read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tdam.named_weights import is_named
from tdam.torchvision_files import read_hash
from tdam.unfinished import RECIPE, refuse_unfinished
from wsol.benchmarking import runs
from wsol.benchmarking.experiment import WEIGHTS
from wsol.errors import ArgumentError, about

if TYPE_CHECKING:
    from collections.abc import Collection

    from eval.manifest import DataSet
    from tdam.training.recipe import Recipe
    from wsol.benchmarking.experiment import Entry, Experiment


@dataclass
class Task:
    """One model with one seed.

    Args:
        entry: the model
        seed: of the run
        weights: to score as they are; None for a run that is trained
        recipe: of the training
        state: how far it has come
        recorded: whether its scores are read from the experiment's record
        overlaps: what its scores have to tell of images that are not only scored; None where that
            is not known
        misfit: whether the run that was given for it is of another training
    """

    entry: Entry
    seed: int
    weights: str | None
    recipe: Recipe | None = None
    state: runs.State = "missing"
    recorded: bool = False
    overlaps: tuple[str, ...] | None = ()
    misfit: bool = False

    @property
    def name(self) -> str:
        """Name model and seed."""
        return self.entry.run_name(self.seed)

    @property
    def sha256(self) -> str:
        """How the SHA-256 of its file of weights must begin; empty where it is not known."""
        named = is_named(self.entry.checkpoint)
        return read_hash(self.weights or "") if named else self.entry.sha256

    @property
    def given_run(self) -> Path | None:
        """Folder of a run that is scored in place of its training; None where there is none."""
        given = self.weights is not None and self.entry.checkpoint is None and not self.recorded
        folder = Path(self.weights or "")
        return folder if given and not self.misfit and (folder / RECIPE).is_file() else None

    @property
    def must_train(self) -> bool:
        """Whether something of its training is left to do."""
        return not self.recorded and self.weights is None and self.state != "finished"


def plan_tasks(
    experiment: Experiment,
    out: Path,
    weights: Path | None,
    data: DataSet | None,
    recorded: Collection[str],
    device: str,
) -> list[Task]:
    """Settle every run before the first one begins.

    Args:
        experiment: with the models and seeds that are wanted
        out: folder of the experiment
        weights: folder of weights to score instead of training, or None
        data: the data set; None where all runs are recorded
        recorded: names of runs in the record
        device: that networks run on

    Raises:
        wsol.errors.ArgumentError: choices that do not go together, or a run on disk that is
            another one
        eval.manifest.ManifestError: data that cannot be trained on
    """
    tasks = []
    for entry, seed in experiment.runs:
        task = Task(entry, seed, runs.weights_to_score(entry, seed, weights))
        if task.weights is not None:
            with about("experiment" if weights is None else "weights"):
                refuse_unfinished(task.weights)
        folder = out / "runs" / task.name
        if entry.checkpoint is None:
            with about("experiment"):
                task.recipe = runs.settle_recipe(entry, seed, folder, device)
        if data is not None and task.weights is None and task.recipe is not None:
            with about("out"):
                task.state = runs.find_state(folder, task.recipe, data, device)
        has_weights = task.state == "finished" or runs.is_there(task.weights)
        task.recorded = task.name in recorded and (data is None or not has_weights)
        if not task.recorded and (task.weights or "").startswith(WEIGHTS):
            file = Path(task.weights or "").name
            got = f", which can be had at {entry.origin}" if entry.origin else ""
            message = f"model {entry.name} needs the folder that {file} lies in{got}"
            raise ArgumentError("weights", message)
        tasks.append(task)
    return tasks
