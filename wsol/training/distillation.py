"""What weights say without attention: the targets of a training that adds it and keeps classes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from eval.manifest import load_classes
from tdam import create_model, load_checkpoint
from tdam.events import SILENT, Events
from tdam.outputs import to_probabilities
from tdam.registry import find_spec
from wsol.classes import class_names
from wsol.label_matching import match_labels
from wsol.training.outputs import write_outputs

if TYPE_CHECKING:
    from pathlib import Path

    from eval.splits import Split
    from tdam.backbones.base import Backbone
    from tdam.training.recipe import Recipe
    from wsol.training.data import TrainingData

TARGETS = "targets.npy"  # in a run's folder


def check_distillation(recipe: Recipe) -> None:
    """Check that a recipe's network can learn what its weights say without attention.

    Raises:
        ValueError: a choice that leaves nothing to learn or no target
    """
    wanted = {
        "attention": ("a kind of attention, which is what learns", recipe.attention != "none"),
        "weights": (
            "pretrained or a file, whose predictions are learned",
            recipe.weights != "random",
        ),
        "regularizer": ("none, as it would do nothing", recipe.regularizer == "none"),
        "new_head": ("false, as the classes stay", not recipe.new_head),
        "mixup": ("0, as a target is of one image", recipe.mixup == 0),
        "cutmix": ("0, as a target is of one image", recipe.cutmix == 0),
    }
    for name, (what, right) in wanted.items():
        if not right:
            value = getattr(recipe, name)
            raise ValueError(f"Expected {name} to be {what}, with targets=plain, but got {value!r}")


def load_teacher(recipe: Recipe) -> Backbone:
    """Build the network of a recipe without its attention, for inputs of the recipe's size.

    Raises:
        ValueError: weights of another network, or of one that has attention
        tdam.weights.WeightsError: weights that cannot be had
    """
    finer: dict[str, Any] = {"output_stride": recipe.output_stride, "dilated": recipe.dilated}
    if recipe.starts_from_file:
        plain, _ = load_checkpoint(recipe.weights, **finer)
    else:
        plain = create_model(recipe.model, weights=recipe.weights, **finer)
    name, attention = (plain.settings[key] for key in ("name", "attention"))
    if (name, attention) != (recipe.model, "none"):
        raise ValueError(
            f"Expected weights of {recipe.model} without attention but got {recipe.weights}, of "
            f"{name} with attention {attention}"
        )
    shown = replace(find_spec(name).preprocessing, size=recipe.size)
    plain.spec = replace(plain.spec, preprocessing=shown)
    return plain


def find_outputs(
    names: tuple[str, ...] | None, outputs: int, training_data: TrainingData
) -> dict[int, int]:
    """Tell which of a network's outputs each label of a data set is.

    For ImageNet's classes a `classes.csv` near the data says so; else names do, or WordNet ids.

    Args:
        names: of the network's classes, where it has some
        outputs: how many classes these are
        training_data: what is trained on

    Returns:
        index among the network's outputs by label

    Raises:
        ValueError: that is not known
        eval.manifest.ManifestError: a broken class table
    """
    if names is None and outputs != 1000:
        raise ValueError(
            f"Expected weights with names for their {outputs} classes but got none, so labels "
            "of the data cannot be matched; `wsol train` writes such weights"
        )
    path = training_data.source.class_table if names is None else None
    table = None if path is None else load_classes(path)
    if table is not None:
        missing = [
            name for label, name in enumerate(training_data.class_names) if label not in table
        ]
        if missing:
            raise ValueError(f"Expected {path} to have every class but not {missing[0]!r}")
    known = class_names(outputs, names)
    named = replace(training_data.train, class_names=training_data.class_names)
    match = match_labels(named, known, table=table)
    if match.outputs is None:
        hint = "" if names else "; a classes.csv beside it (label,imagenet1k_index) may map them"
        raise ValueError(
            f"Expected classes that the weights know, such as {', '.join(known[:3])}, but got "
            f"{match.missing[0]!r} in {training_data.source.path}{hint}"
        )
    return match.outputs


def write_teacher_targets(
    path: Path,
    plain: Backbone,
    split: Split,
    root: Path,
    device: str = "cpu",
    batch_size: int = 32,
    workers: int = 2,
    events: Events = SILENT,
) -> dict[str, str]:
    """Write down the class probabilities that a network gives every image, (N, K), float16.

    Equal ones stand for an image that cannot be read; the arguments are `write_outputs`'s.
    """
    classes = plain.settings["num_classes"]
    empty = np.full(classes, 1 / classes, np.float16)
    return write_outputs(path, plain, _say, empty, split, root, device, batch_size, workers, events)


def _say(plain: Backbone, images: torch.Tensor) -> torch.Tensor:
    return to_probabilities(plain(images))
