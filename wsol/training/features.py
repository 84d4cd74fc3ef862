"""A classifier trained on features that are computed once: of every image, and mirrored."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from tdam.training.errors import TrainingError
from tdam.training.probe import load_trained, train_classifier
from wsol.runtime import evaluation_mode, find_device
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
_ALIKE = 1e-4  # share of the largest score


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
        resume: go on with the run in it: features that are there are not computed again
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
    views = 2 if recipe.flip else 1
    made = []
    unreadable: dict[str, str] = {}
    root, where = training_data.root, find_device(device)
    splits = (training_data.train, measured_on)
    for name, split, count in zip(FEATURES, splits, (views, 1), strict=True):
        empty = _find_shape(model, count, where)
        faults: dict[str, str] = {}
        if not (resume and (out / name).is_file()):
            faults = write_outputs(
                out / name, model, partial(take_features, count), empty, split, root, device,
                recipe.batch_size, workers, events,
            )  # fmt: skip
        features = np.load(out / name, mmap_mode="r")
        good = np.flatnonzero(~np.isnan(features.reshape(len(split), -1)[:, 0]))
        if len(good) < len(split):
            features = features[good]
        made.append((features, split.labels[good]))
        unreadable |= faults
    (learned, labels), (measured, rights) = made
    missing = len(training_data.train) - len(labels)
    if missing > 0.01 * len(training_data.train) or not len(rights):
        named = "; ".join(f"{i}: {reason}" for i, reason in [*unreadable.items()][:5])
        raise TrainingError(f"{missing} training images cannot be read, more than 1 % ({named})")
    state = train_classifier(
        model, learned, labels, recipe, out,
        validate=_Measure(measured, rights, len(measured_on), where), device=where, events=events,
    )  # fmt: skip
    state.unreadable |= unreadable
    for name in FEATURES:
        (out / name).unlink()
    return state


def _find_shape(model: Backbone, views: int, device: torch.device) -> np.ndarray:
    """Run a network on nothing, and give NaN in the shape of what its classifier takes."""
    side = model.spec.preprocessing.size
    with evaluation_mode(model.to(device)), torch.inference_mode():
        taken = take_features(views, model, torch.zeros(1, 3, side, side, device=device))[0]
    return np.full(tuple(taken.shape), np.nan, np.float32)


def take_features(views: int, model: Backbone, images: torch.Tensor) -> torch.Tensor:
    """Give what a network's classifier takes.

    Args:
        views: V, 2 for mirrored images too
        model: the network
        images: (B, 3, S, S)

    Returns:
        (B, V, ...), float32

    Raises:
        ValueError: its scores are not what the classifier puts out
    """
    taken: list[torch.Tensor] = []
    given: list[torch.Tensor] = []

    def keep(module: nn.Module, args: tuple[torch.Tensor], output: torch.Tensor) -> None:
        taken.append(args[0])
        given.append(output)

    handle = model.get_submodule(model.spec.classifier).register_forward_hook(keep)
    try:
        for shown in (images, images.flip(3))[:views]:
            scores = model(shown)
            most = float(scores.abs().max())
            same = given[-1].numel() == scores.numel()
            if not same or (given[-1].reshape(scores.shape) - scores).abs().max() > _ALIKE * most:
                raise ValueError(
                    f"Expected a network whose scores its classifier, {model.spec.classifier}, "
                    "puts out, but something follows it: features cannot be computed once"
                )
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
