"""What weights say without attention: the targets of a training that adds it and keeps classes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from eval.manifest import find_class_table, load_classes
from tdam import create_model, load_checkpoint
from wsol.images import ImageError, read_image
from wsol.loading import read_ahead
from wsol.runtime import evaluation_mode

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from eval.splits import Split
    from tdam.backbones.base import Backbone
    from tdam.training.recipe import Recipe
    from wsol.training_data import TrainingData


def check_plain(recipe: Recipe) -> None:
    """See to it that a recipe's network can learn what its weights say without attention.

    Raises:
        ValueError: a choice that leaves nothing to learn, or nothing to learn from
    """
    wrong = {
        "attention": recipe.attention == "none",
        "weights": recipe.weights == "random",
        "new_head": recipe.new_head,
        "mixup": recipe.mixup > 0,
        "cutmix": recipe.cutmix > 0,
    }
    for name, found in wrong.items():
        if found:
            raise ValueError(
                f"Expected {name} to suit targets=plain but got {getattr(recipe, name)!r}: it "
                "takes attention, weights with their own classes, and images that are not mixed"
            )


def load_plain(recipe: Recipe) -> Backbone:
    """Build the network of a recipe without its attention, for inputs of the recipe's size.

    Raises:
        ValueError: weights of another network, or of one that has attention
        tdam.weights.WeightsError: weights that cannot be had
    """
    if recipe.weights == "pretrained":
        plain = create_model(recipe.model, weights="pretrained", output_stride=recipe.output_stride)
    else:
        plain, _ = load_checkpoint(recipe.weights, output_stride=recipe.output_stride)
    name, attention = (plain.settings[key] for key in ("name", "attention"))
    if (name, attention) != (recipe.model, "none"):
        raise ValueError(
            f"Expected weights of {recipe.model} without attention but {recipe.weights} is of "
            f"{name} with {attention}"
        )
    shown = replace(plain.spec.preprocessing, size=recipe.size)
    plain.spec = replace(plain.spec, preprocessing=shown)
    return plain


def match_classes(plain: Backbone, data: Path, found: TrainingData) -> dict[int, int]:
    """Tell which of a network's classes each label of a data set is.

    Args:
        plain: whose classes stay
        data: the data set, as it was given
        found: in it

    Returns:
        index among the network's outputs by label

    Raises:
        ValueError: that is not known
        eval.manifest.ManifestError: a broken class table
    """
    labels = range(len(found.class_names))
    if plain.class_names is not None:
        if all(name in plain.class_names for name in found.class_names):
            return {label: plain.class_names.index(found.class_names[label]) for label in labels}
    elif plain.settings["num_classes"] == 1000:
        table = find_class_table(data, data.absolute().parent, found.root)
        classes = {} if table is None else load_classes(table)
        if all(label in classes for label in labels):
            return classes
    raise ValueError(
        f"Expected weights that know the classes of {data}, such as {found.class_names[0]!r}: for "
        "ImageNet's 1000 put a classes.csv with the columns label,imagenet1k_index beside it"
    )


def predict_targets(
    plain: Backbone,
    split: Split,
    root: Path,
    device: str = "cpu",
    batch_size: int = 32,
    workers: int = 2,
    on_done: Callable[[int], None] = lambda images: None,
) -> torch.Tensor:
    """Ask a network what every image shows.

    Args:
        plain: the network
        split: ids of the images
        root: folder that the ids are relative to
        device: that the network runs on
        batch_size: images at once
        workers: threads that read images
        on_done: called with the number of images done since the last call

    Returns:
        (N, K), float32, on the CPU: probabilities of the whole image; equal ones for an image
        that cannot be read
    """
    wanted = plain.spec.preprocessing
    classes = plain.settings["num_classes"]
    found = torch.full((len(split), classes), 1 / classes)

    def read(row: int) -> torch.Tensor:
        return wanted(read_image(root / split.ids[row]))

    plain.to(device)
    with evaluation_mode(plain), torch.inference_mode():
        for batch in read_ahead(range(len(split)), read, batch_size, workers):
            good = [(row, image) for row, image in batch if not isinstance(image, ImageError)]
            if good:
                images = torch.stack([image for _, image in good]).to(device)
                rows = [row for row, _ in good]
                found[rows] = plain(images).float().softmax(dim=1).cpu()
            on_done(len(batch))
    return found
