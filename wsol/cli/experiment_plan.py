"""What `reproduce` will do: for every run whether it is trained, gone on with, scored, or read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from eval.manifest import ManifestError
from wsol.benchmarking import runs
from wsol.cli import common

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

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
    """

    entry: Entry
    seed: int
    weights: str | None
    recipe: Recipe | None = None
    state: runs.State = "missing"
    recorded: bool = False

    @property
    def name(self) -> str:
        """Name model and seed."""
        return self.entry.run_name(self.seed)

    @property
    def must_train(self) -> bool:
        """Whether something of its training is left to do."""
        return not self.recorded and self.weights is None and self.state != "finished"


def plan_tasks(
    experiment: Experiment,
    out: Path,
    weights: Path | None,
    place: DataSet | None,
    recorded: Collection[str],
    device: str,
) -> list[Task]:
    """Settle every run before the first one begins, or exit where one on disk is another.

    Args:
        experiment: with the models and seeds that are wanted
        out: folder of the experiment
        weights: folder of weights to score instead of training, or None
        place: of the data set; None where all runs are recorded
        recorded: names of runs in the record
        device: that networks run on
    """
    tasks = []
    for entry, seed in experiment.runs:
        task = Task(entry, seed, runs.weights_to_score(entry, seed, weights))
        folder = out / "runs" / task.name
        try:
            if entry.checkpoint is None:
                with common.wrong_use("NAME"):
                    task.recipe = runs.settle_recipe(entry, seed, folder, device)
            if place is not None and task.weights is None and task.recipe is not None:
                with common.wrong_use("--out"):
                    task.state = runs.find_state(folder, task.recipe, place, device)
        except ManifestError as error:
            common.fail(str(error))
        has_weights = task.state == "finished" or runs.is_there(task.weights)
        task.recorded = task.name in recorded and (place is None or not has_weights)
        tasks.append(task)
    return tasks
