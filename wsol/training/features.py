"""A classifier trained on features that are computed once: of every image, and mirrored."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from tdam.modes import evaluation_mode
from tdam.training.errors import TrainingError, refuse_unreadable
from tdam.training.probe import load_trained, train_classifier
from wsol.runtime import find_device
from wsol.training.outputs import write_outputs

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from eval.splits import Split
    from tdam.backbones.base import Backbone
    from tdam.events import Events
    from tdam.training.recipe import Recipe
    from tdam.training.run_folder import TrainState
    from wsol.training.data import TrainingData

FEATURES = ("features.npy", "validation_features.npy")  # in a run's folder, until it ends


def train_on_features(
    model: Backbone,
    training_data: TrainingData,
    measured_on: Split,
    recipe: Recipe,
    out: Path,
    *,
    resume: bool,
    device: str,
    workers: int,
    events: Events,
) -> TrainState:
    """Compute what a network's classifier takes of every image, and train it on that.

    Args:
        model: whose classifier is trained, in place
        training_data: to learn from
        measured_on: images that every epoch is measured on
        recipe: of the run
        out: its folder
        resume: leave a run that has ended as it is; of others, whose epochs take seconds, begin
            anew
        device: that the network runs on
        workers: threads that read images
        events: told of every image within a task that the caller has begun

    Raises:
        TrainingError: too many images that cannot be read, or a loss that is not finite
        ValueError: a network whose scores are not what its classifier puts out
    """
    if resume and (state := load_trained(model, recipe, out)):
        return state
    if recipe.channels_last:
        model.to(memory_format=torch.channels_last)
    root, where = training_data.root, find_device(device)
    shape = _find_shape(model, where)
    made = []
    unreadable: dict[str, str] = {}
    for name, split, views in (
        (FEATURES[0], training_data.train, 2 if recipe.flip else 1),
        (FEATURES[1], measured_on, 1),
    ):
        faults = write_outputs(
            out / name, model, partial(take_features, views),
            np.full((views, *shape), np.nan, np.float32), split, root, device,
            recipe.batch_size, workers, events,
        )  # fmt: skip
        if split is training_data.train:
            refuse_unreadable(faults, len(split), "training images")
        elif len(faults) == len(split):
            raise TrainingError(f"none of the {len(split)} validation images can be read")
        features = np.load(out / name, mmap_mode="r")
        good = [row for row, image_id in enumerate(split.ids) if image_id not in faults]
        made.append((features[good] if faults else features, split.labels[good]))
        unreadable |= faults
    (learned, labels), (measured, rights) = made
    state = train_classifier(
        model, learned, labels, recipe, out,
        validate=_Measure(measured, rights, len(measured_on), where), device=where, events=events,
    )  # fmt: skip
    state.unreadable |= unreadable
    for name in FEATURES:
        (out / name).unlink()
    return state


def _find_shape(model: Backbone, device: torch.device) -> tuple[int, ...]:
    """Tell the shape of what a network's classifier takes of one image, by a run on nothing.

    Raises:
        ValueError: the network's scores are not what the classifier puts out
    """
    given: list[torch.Tensor] = []

    def stand_in(module: nn.Module, args: tuple[torch.Tensor], output: torch.Tensor) -> Any:
        given.append(torch.randn_like(output))  # a new head's own scores are all zero
        return given[-1]

    name, side = model.spec.classifier, model.spec.preprocessing.size
    blank = torch.zeros(1, 3, side, side, device=device)
    handle = model.get_submodule(name).register_forward_hook(stand_in)
    try:
        with evaluation_mode(model.to(device)), torch.inference_mode():
            taken, scores = take_features(1, model, blank), model(blank)
    finally:
        handle.remove()
    if not torch.equal(given[-1].flatten(), scores.flatten()):
        raise ValueError(
            f"Expected a network whose scores its classifier, {name}, puts out, but something "
            "follows it: features cannot be computed once"
        )
    return tuple(taken.shape[2:])


def take_features(views: int, model: Backbone, images: torch.Tensor) -> torch.Tensor:
    """Give what a network's classifier takes.

    Args:
        views: V, 2 for mirrored images too
        model: the network
        images: (B, 3, S, S)

    Returns:
        (B, V, ...), float32
    """
    taken: list[torch.Tensor] = []

    def keep(module: nn.Module, args: tuple[torch.Tensor]) -> None:
        taken.append(args[0])

    handle = model.get_submodule(model.spec.classifier).register_forward_pre_hook(keep)
    try:
        for shown in (images, images.flip(3))[:views]:
            model(shown)
    finally:
        handle.remove()
    return torch.stack(taken, dim=1).float()


@dataclass
class _Measure:
    """Measures a classifier on features; an image that could not be read counts as wrong."""

    features: np.ndarray
    labels: np.ndarray
    images: int
    device: torch.device

    def __call__(self, classifier: nn.Module) -> dict[str, float]:
        with torch.inference_mode():
            taken = torch.from_numpy(np.array(self.features[:, 0])).to(self.device)
            logits = classifier(taken).float().flatten(1)
        labels = torch.from_numpy(self.labels).to(self.device)
        right = int((logits.argmax(dim=1) == labels).sum())
        return {
            "loss": float(cross_entropy(logits, labels)),
            "accuracy": 100 * right / self.images,
        }
