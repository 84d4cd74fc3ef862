"""What tells a run from the experiment as it stands, so that its expected values do not count."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from eval.manifest import ManifestError
from tdam.unfinished import RECIPE
from wsol.benchmarking.record import check_training, list_other_choices
from wsol.evaluation.comparison import ResultError
from wsol.fingerprints import hash_file
from wsol.training.data import load_training_data
from wsol.training.record import read_record
from wsol.training.run_files import saved_recipe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tdam.training.recipe import Recipe
    from wsol.benchmarking.experiment import Experiment
    from wsol.benchmarking.plan import Task
    from wsol.benchmarking.scored_data import ScoredData
    from wsol.training.data import TrainingData


def list_departures(experiment: Experiment, images: int, on: ScoredData | None) -> list[str]:
    """Say what of a run's images and recipe is not as the experiment has it.

    Args:
        experiment: with what was changed in it, and the numbers of images that it is of
        images: how many are scored
        on: the data; None where all runs are recorded

    Returns:
        a line each; none where it is the experiment as it stands, as far as numbers tell
    """
    lines = []
    if experiment.changes:
        lines.append(f"recipe changed by {', '.join(experiment.changes)}")
    whole = experiment.whole
    if whole.images not in (0, images):
        what = f"images in split {experiment.scoring.split}"
        lines.append(f"{images:,} {what}, where it is of {whole.images:,}")
    if on is None:
        return lines
    scored = len(np.unique(on.scored.labels))
    if whole.classes not in (0, scored):
        what = f"classes in split {experiment.scoring.split}"
        lines.append(f"{scored:,} {what}, where it is of {whole.classes:,}")
    trained = next((each for each in experiment.models if each.checkpoint is None), None)
    used = None if trained is None else _load_training(on, trained.recipe)
    if used is None:
        return lines
    there, classes = used.count, len(used.class_names)
    if whole.training_set not in (0, there):
        lines.append(f"{there:,} images to train on, where it has {whole.training_set:,}")
    if len(used.train) < whole.training_images:
        what = f"{len(used.train):,} training images"
        lines.append(f"{what}, where it has at least {whole.training_images:,}")
    if whole.classes not in (0, classes):
        lines.append(f"{classes:,} classes to train on, where it has {whole.classes:,}")
    return lines


def _load_training(on: ScoredData, recipe: Recipe) -> TrainingData | None:
    try:
        return load_training_data(on.data, None, recipe.val_share, recipe.seed, recipe.per_class)
    except ManifestError:  # nothing to train on, so that weights are scored as they are
        return None


def list_strange_weights(tasks: Iterable[Task], on: ScoredData | None) -> list[str]:
    """Say which weights are not those that the experiment means, as far as they tell.

    Files have a SHA-256, where it is known; a run that was given instead of a training has a recipe
    and a list of the images that it learned from.

    Args:
        tasks: the runs; weights that are not there are told elsewhere
        on: the data; None where all runs are recorded

    Returns:
        a line each
    """
    lines = []
    for task in tasks:
        if task.given_run is not None:
            told = _list_other_training(task, task.given_run, on)
            task.misfit = bool(told)  # so that its recipe is not recorded as the experiment's
            lines += told
        wanted = task.sha256
        digest = hash_file(task.weights) if wanted and task.weights and not task.recorded else None
        if digest is not None and not digest.startswith(wanted):
            shown = digest[: len(wanted)]
            file = Path(task.weights or "").name
            lines.append(f"{file}: its sha256 begins with {shown}, not with {wanted}")
    return list(dict.fromkeys(lines))


def list_given(tasks: Iterable[Task], find: Callable[[Task], Path]) -> list[str]:
    """Name the runs of models to train of whose training nothing is known.

    Args:
        tasks: the runs that have scores
        find: gives the folder of a run's scores, which keeps the recipe of a training
    """
    trained = (task for task in tasks if task.entry.checkpoint is None)
    return [task.name for task in trained if not (find(task) / RECIPE).is_file()]


def _list_other_training(task: Task, folder: Path, on: ScoredData | None) -> list[str]:
    """Hold the run that was given for a training against the training."""
    lines = []
    own = task.entry.recipe.change(seed=task.seed)
    keys = list_other_choices(saved_recipe(folder), own)
    if keys:
        listed = ", ".join(keys)
        lines.append(f"{task.name}: its weights are of a training of another recipe ({listed})")
    used = None if on is None else _load_training(on, own)
    if used is not None:
        try:
            check_training(read_record(folder), used, folder)
        except ResultError:
            lines.append(f"{task.name}: its weights are of a training on other images")
    return lines
