"""The network that a training begins with: from weights, or to go on from a checkpoint."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from tdam import create_model, load_checkpoint
from tdam.checkpoints import read_class_names
from tdam.registry import is_outside
from tdam.training.stages import spread_factors
from wsol.maps.names import settle_method
from wsol.training.distillation import TARGETS, find_outputs, load_teacher

if TYPE_CHECKING:
    from pathlib import Path

    from tdam.backbones.base import Backbone
    from tdam.training.recipe import Recipe
    from wsol.training.data import TrainingData


def begin_network(
    recipe: Recipe, training_data: TrainingData, out: Path, saved: list[Path]
) -> tuple[Backbone, Backbone | None, dict[int, int]]:
    """Build the network that a training begins with, or goes on with.

    Args:
        recipe: of the run
        training_data: what is trained on
        out: folder of the run
        saved: checkpoints to go on with, which replace the weights

    Returns:
        the network; the one without attention that gives the targets, or None where none are
        needed; and the network's output by label of the data
    """
    start = recipe.change(weights="random") if saved else recipe
    if recipe.targets == "labels":
        model = create_network(start, training_data.class_names)
        return model, None, {label: label for label in range(len(training_data.class_names))}
    if saved and not (out / TARGETS).is_file():
        raise ValueError(f"Expected {out / TARGETS} to go on with but it is gone: begin anew")
    known = load_checkpoint(saved[0])[0] if saved else load_teacher(recipe)
    outputs = known.settings["num_classes"]
    classes = find_outputs(known.class_names, outputs, training_data)
    model = create_network(start, known.class_names, outputs)
    return model, None if saved else known, classes


def create_network(
    recipe: Recipe, class_names: tuple[str, ...] | None, outputs: int | None = None
) -> Backbone:
    """Build the network that a recipe begins with.

    Args:
        recipe: gives architecture, weights, input size and the seed of what is random
        class_names: by output, where they are known
        outputs: how many there are; None for as many as there are names

    Raises:
        ValueError: an unknown name, weights that do not fit, or rates for another number of stages
        tdam.weights.WeightsError: weights that cannot be had
    """
    torch.manual_seed(recipe.seed)
    if class_names and recipe.starts_from_file and not recipe.new_head:
        _check_classes(recipe.weights, class_names)
    model = create_model(
        recipe.model,
        **recipe.architecture,
        num_classes=outputs or len(class_names or ()),
        weights=recipe.weights,
        new_head=recipe.new_head,
    )
    spread_factors(model, recipe.stage_lr)
    model.class_names = class_names
    shown = replace(model.spec.preprocessing, size=recipe.size or model.spec.preprocessing.size)
    method = settle_method(recipe.method, model)
    model.spec = replace(model.spec, method=method, preprocessing=shown)
    if is_outside(recipe.model):
        for size in {shown.size, recipe.small_size or shown.size}:
            _check_size(model, size)
    return model


def _check_size(model: Backbone, size: int) -> None:
    """Refuse a size that another library's network does not take, as of patches it counts on."""
    try:
        with torch.inference_mode():
            model(torch.zeros(1, 3, size, size))
    except (AssertionError, RuntimeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(
            f"Expected size to be one that {model.spec.name} takes but got {size}: {reason}"
        ) from error


def _check_classes(weights: str, class_names: tuple[str, ...]) -> None:
    """Refuse weights whose classifier knows as many classes, but others or in another order."""
    known = read_class_names(weights)
    if known is not None and len(known) == len(class_names) and known != class_names:
        pairs = enumerate(zip(known, class_names, strict=True))
        label, (theirs, ours) = next((i, pair) for i, pair in pairs if pair[0] != pair[1])
        raise ValueError(
            f"Expected weights of the same classes but class {label} is {theirs!r} in {weights} "
            f"and {ours!r} in the data; --set new_head=true starts a new classifier"
        )
