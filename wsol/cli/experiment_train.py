"""Training one run of an experiment, and keeping the estimate of the time left."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsol.benchmarking import runs
from wsol.cli.run_progress import EPOCHS
from wsol.cli.train_progress import TrainProgress
from wsol.training.train import train_localizer

if TYPE_CHECKING:
    from pathlib import Path

    from eval.manifest import DataSet
    from tdam.training.run_folder import TrainState
    from wsol.cli.experiment_plan import Task
    from wsol.cli.run_progress import Remaining


def train_task(
    task: Task,
    place: DataSet,
    folder: Path,
    cache: Path,
    device: str,
    workers: int,
    remaining: Remaining,
) -> None:
    """Train a run, or go on with it, and keep the estimate of the time left."""
    recipe = task.recipe
    if recipe is None:
        raise TypeError(f"Expected {task.name} to have a recipe but got None")
    task.state = runs.find_state(folder, recipe, place, device)  # by now, of another process, too
    if task.state == "finished":
        remaining.finish(EPOCHS, recipe.epochs, free=True)
        return
    counted, cut_off = 0, task.state == "begun"
    remaining.start()

    def on_epoch(state: TrainState) -> None:
        nonlocal counted, cut_off
        shown.on_epoch(state)
        epoch = state.history[-1]["epoch"]
        if epoch > counted + 1:  # done before the run was cut off
            remaining.finish(EPOCHS, epoch - 1 - counted, free=True)
        if epoch > 0:
            remaining.finish(EPOCHS, free=cut_off)  # what is left of an epoch tells nothing
            shown.say(f"  {remaining.describe()}")
        counted, cut_off = epoch, False

    with TrainProgress(recipe.epochs) as shown:
        try:
            train_localizer(
                place.path,
                folder,
                recipe,
                root=place.root,
                resume=task.state == "begun",
                device=device,
                workers=workers,
                cache=cache,
                on_data=shown.on_data,
                on_packed=shown.on_packed,
                on_batch=shown.on_batch,
                on_epoch=on_epoch,
            )
        finally:
            remaining.finish(EPOCHS, recipe.epochs - counted, free=True)
