"""Where the images of a benchmark are: splits, image root, and what thresholds are chosen on."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from eval.builders import find_builder, find_download
from eval.manifest import DataSet, ManifestError, open_data_set
from tdam.events import SILENT, Events
from tdam.named_weights import is_named
from wsol.overlap import list_sets
from wsol.training.data import load_training_data
from wsol.training.image_list import (
    list_image_sets,
    list_unknown,
    list_unknown_start,
    read_image_sets,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from eval.splits import Split
    from tdam.training.recipe import Recipe
    from wsol.benchmarking.experiment import Scoring
    from wsol.benchmarking.plan import Task
    from wsol.overlap import ImageSet


# Of the splits of official downloads.
_ROLES = {"train": "to train on", "val": "to choose by", "test": "to score"}


def open_data(folder: Path, root: Path | None, out: Path, events: Events = SILENT) -> DataSet:
    """Open a data set whose image root is known.

    Args:
        folder: as for `eval.manifest.open_data_set`; or the official download of CUB-200-2011, of
            ILSVRC or of Tiny ImageNet, whose splits are then written to `out`
        root: image root; None: as the data set has it
        out: takes `manifest/`
        events: told which splits a download has, and what they serve for

    Raises:
        ManifestError: no data set, one with a fault, or an image root that is not known
    """
    name = find_download(folder)
    if name is not None:
        built = find_builder(name)(folder, out / "manifest", force=True)
        for split in built.splits:
            events.say(f"official download of {name}: {split.summary}, {_ROLES[split.name]}")
        folder = out / "manifest"
    with _hinting(folder):
        data = open_data_set(folder, root)
        _ = data.image_root
    return data


def load_scored(data: DataSet, scoring: Scoring) -> Split:
    """Read the split that is reported.

    Raises:
        ManifestError: there is none, or it has no boxes
    """
    with _hinting(data.path):
        scored = data.load(data.check_name(scoring.split))
        if scored.boxes is None:
            raise ManifestError(f"{data.path}: expected split {scoring.split} to have boxes")
        return scored


@contextmanager
def _hinting(folder: Path) -> Iterator[None]:
    """Name the official download where a folder inside it was taken for a data set."""
    try:
        yield
    except ManifestError as error:
        whole = next((each for each in folder.resolve().parents if find_download(each)), None)
        if whole is None:
            raise
        raise ManifestError(
            f"{error}; {whole} is an official download: give that folder"
        ) from error


def load_chooser(data: DataSet, scoring: Scoring, recipe: Recipe | None) -> Split | None:
    """Read the images that thresholds are chosen on.

    Args:
        data: the data set
        scoring: names the split
        recipe: of the training, whose held-out images serve where there is no such split; None
            for weights that were trained elsewhere

    Returns:
        images with boxes; None where there are none

    Raises:
        ManifestError: a fault in the data set
    """
    if scoring.choose in data.splits:
        chooser = data.load(scoring.choose)
    elif recipe is None:
        return None
    else:
        training_data = load_training_data(
            data, None, recipe.val_share, recipe.seed, recipe.per_class
        )
        if not training_data.held_out:
            return None
        chooser = training_data.val
    return chooser if any(map(len, chooser.boxes or ())) else None


def describe_choice(data: DataSet, scoring: Scoring, recipe: Recipe | None) -> str:
    """Say in a line how the rule `val` chooses thresholds.

    Args:
        data: the data set
        scoring: names the split
        recipe: of the training, or None

    Returns:
        the line; empty where the rule is not asked for

    Raises:
        ManifestError: a fault in the data set
    """
    if "val" not in scoring.thresholds:
        return ""
    chooser = load_chooser(data, scoring, recipe)
    if chooser is None:
        return f"left out, for want of a split {scoring.choose} or of boxes in it"
    if scoring.choose in data.splits:
        return f"by the boxes of {len(chooser)} images of split {scoring.choose}"
    return (
        f"by the boxes of {len(chooser)} training images that each training holds out, for want of "
        f"a split {scoring.choose}: full supervision of these"
    )


def name_trained_classes(
    data: DataSet, scored: Split, recipe: Recipe | None
) -> tuple[str, ...] | None:
    """Name the classes that a training learns from the labels of a data set.

    Args:
        data: the data set
        scored: the split that is reported, which tells the classes where none is trained on
        recipe: of the training; None for weights that were trained elsewhere

    Returns:
        names by label; None where they are not known, or where the classes are not the data's
    """
    if recipe is None or recipe.targets != "labels":
        return None
    try:
        training_data = load_training_data(
            data, None, recipe.val_share, recipe.seed, recipe.per_class
        )
    except ManifestError:  # nothing to train on
        return scored.class_names
    return training_data.class_names


def list_run_sets(
    data: DataSet, scoring: Scoring, scored: Split, task: Task, folder: Path
) -> list[ImageSet]:
    """Say which images a run is trained on, which are chosen by, and which are scored.

    Args:
        data: the data set
        scoring: names the split to choose thresholds on
        scored: the split that is reported
        task: the run
        folder: of its training, which need not have begun

    Raises:
        ManifestError: a fault in the data set
    """
    chooser = None
    if "val" in scoring.thresholds:
        chooser = load_chooser(data, scoring, task.recipe)
    sets = list_sets(scored, chooser, data.image_root)
    recipe = task.recipe
    if task.weights is not None:
        return sets if is_named(task.weights) else [*sets, *read_image_sets(task.weights)]
    if recipe is None or task.state != "missing":
        return [*sets, *read_image_sets(folder)]
    training_data = load_training_data(data, None, recipe.val_share, recipe.seed, recipe.per_class)
    return [*sets, *list_image_sets(training_data, recipe, task.name)]


def list_run_unknown(task: Task, folder: Path) -> tuple[str, ...]:
    """Name the weights of a run whose images are not known, as `list_unknown` does.

    Args:
        task: the run
        folder: of its training, which need not have begun
    """
    if task.weights is not None:
        return () if is_named(task.weights) else list_unknown(task.weights)
    if task.recipe is None or task.state != "missing":
        return list_unknown(folder)
    return list_unknown_start(task.recipe)
