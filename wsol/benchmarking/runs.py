"""The trainings of an experiment: which have ended, which go on, which are missing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tdam.named_weights import is_named
from tdam.unfinished import RECIPE, RECORD
from tdam.weights import RESULT
from wsol.benchmarking.experiment import WEIGHTS
from wsol.benchmarking.weight_files import find_file
from wsol.runtime import find_device
from wsol.training.data import load_training_data
from wsol.training.record import describe_run, read_record
from wsol.training.run_files import check_same_run, saved_recipe
from wsol.training.train import prepare_recipe

if TYPE_CHECKING:
    from collections.abc import Collection

    from eval.manifest import DataSet
    from tdam.training.recipe import Recipe
    from wsol.benchmarking.experiment import Entry, Experiment

State = Literal["finished", "begun", "missing"]


def settle_recipe(entry: Entry, seed: int, folder: Path, device: str) -> Recipe:
    """Settle a run's recipe.

    Args:
        entry: the model
        seed: of the run
        folder: of the run, which keeps its first precision where the recipe says `auto`
        device: that the network runs on

    Raises:
        ValueError: choices that do not go together
    """
    recipe = entry.recipe.change(seed=seed)
    if recipe.precision == "auto" and (folder / RECIPE).is_file():
        recipe = recipe.change(precision=saved_recipe(folder).precision)
    return prepare_recipe(recipe, find_device(device))


def find_state(folder: Path, recipe: Recipe, data: DataSet, device: str) -> State:
    """Tell how far a run has come.

    Args:
        folder: of the run
        recipe: of `settle_recipe`
        data: the data set
        device: that the network runs on

    Raises:
        ManifestError: data that cannot be trained on
        ValueError: the folder holds a run of another recipe or of other images
    """
    if not (folder / RECIPE).is_file():
        return "missing"
    training_data = load_training_data(data, None, recipe.val_share, recipe.seed, recipe.per_class)
    check_same_run(folder, recipe, describe_run(data.path, training_data, recipe.seed, device))
    return "finished" if _has_ended(folder) else "begun"


def list_ready(experiment: Experiment, folder: Path, recorded: Collection[str] = ()) -> list[str]:
    """Name the models that can be scored with every seed without any training.

    Args:
        experiment: with the seeds that are wanted
        folder: of the runs, which need not exist
        recorded: names of runs whose scores are there
    """
    ready = []
    for entry in experiment.models:
        names = [entry.run_name(seed) for seed in entry.seeds]
        has_weights = entry.checkpoint is not None
        if has_weights or all(n in recorded or _has_ended(folder / n) for n in names):
            ready.append(entry.name)
    return ready


def _has_ended(folder: Path) -> bool:
    recorded = (folder / RECORD).is_file() and "result" in read_record(folder)
    return recorded and (folder / RESULT).is_file()


def is_any_unfinished(folder: Path) -> bool:
    """Tell whether any run in this folder is unfinished, begun here or by another process."""
    return any("result" not in read_record(path.parent) for path in folder.glob(f"*/{RECORD}"))


def is_there(weights: str | None) -> bool:
    """Tell whether weights that `weights_to_score` named can be had."""
    return weights is not None and (is_named(weights) or Path(weights).exists())


def weights_to_score(entry: Entry, seed: int, folder: Path | None) -> str | None:
    """Tell which weights are scored as they are.

    Args:
        entry: the model
        seed: of the run
        folder: with `<model>-<seed>`, a folder of a run or a file of weights, for all models that
            would be trained, and with the files that the experiment expects of the user; None to
            train them

    Returns:
        one of `tdam.named_weights.NAMED_WEIGHTS`, or a path, which need not exist; None for a run
        that is trained
    """
    if is_named(entry.checkpoint):
        return find_file(entry.recipe.model, str(entry.checkpoint), folder)
    if entry.checkpoint is not None:
        home = WEIGHTS if folder is None else str(folder)
        return entry.checkpoint.replace(WEIGHTS, home).replace("{seed}", str(seed))
    if folder is None:
        return None
    path = folder / entry.run_name(seed)
    return str(path if path.is_dir() else path.with_name(f"{path.name}.safetensors"))
