"""Trains a classifier alone, from what it takes of every image, which was computed once."""

from __future__ import annotations

import time
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from tdam.events import SILENT, Events
from tdam.training.batches import STEP, batches_an_epoch, derive_seed, list_batches
from tdam.training.errors import TrainingError
from tdam.training.history import add_row
from tdam.training.losses import Loss, find_loss
from tdam.training.run_folder import RunFolder, TrainState
from tdam.training.schedule import choose_learners, create_optimizer, set_rates

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

    from tdam.backbones.base import Backbone
    from tdam.training.recipe import Recipe

_UNSCALED = torch.amp.GradScaler("cpu", enabled=False)


def train_classifier(
    model: Backbone,
    features: np.ndarray,
    labels: np.ndarray,
    recipe: Recipe,
    folder: str | Path,
    *,
    validate: Callable[[nn.Module], dict[str, float]],
    loss: Loss | None = None,
    device: str | torch.device = "cpu",
    events: Events = SILENT,
) -> TrainState:
    """Train the classifier of a network, while all else stays as it is.

    Args:
        model: from `create_model`; its classifier is trained in place
        features: (N, V, ...), float32: what the classifier takes of every image, in V views, of
            which each epoch draws one: the image, and if V is 2 the mirrored one
        labels: (N,), int64
        recipe: every choice; one whose `learns` is `classifier`
        folder: for `log.csv`, the result, `model.safetensors`, and a last checkpoint
        validate: measures the classifier before the first epoch and after every one: `accuracy` and
            `loss`
        loss: computes what a batch costs, given the classifier as its network; None for the
            recipe's
        device: that the classifier runs on
        events: told of the images of every batch, and of every epoch

    Returns:
        where the run stands at its end

    Raises:
        TrainingError: a loss that is not finite, or a full disk
        ValueError: choices that do not go together
    """
    recipe.check_together()
    files, loss = RunFolder(Path(folder)), loss or find_loss(recipe.loss)
    files.path.mkdir(parents=True, exist_ok=True)
    choose_learners(model, recipe)
    head = model.get_submodule(model.spec.classifier).to(device)
    optimizer = create_optimizer(model, recipe)
    state, count, best = TrainState(), len(labels), {}
    an_epoch = batches_an_epoch(count, recipe.batch_size)
    add_row(state, validate(head), recipe.select)
    events.epoch(state.history, state.best)
    try:
        for epoch in range(recipe.epochs):
            began = time.monotonic()
            task, total = f"train {epoch + 1}/{recipe.epochs}", count * recipe.epochs
            events.begin(task, total=total, done=count * epoch)
            state.loss_sum, state.seen = 0.0, 0
            for rows in list_batches(count, recipe.batch_size, recipe.seed, epoch):
                seed = derive_seed(recipe.seed, STEP, state.step)
                mirrored = np.random.default_rng(seed).random(len(rows)) < recipe.flip
                views = features[rows, mirrored.astype(np.int64) % features.shape[1]]
                wanted = torch.from_numpy(labels[rows]).to(device)
                cost = loss(head, torch.from_numpy(views).to(device), wanted, recipe)
                if not isfinite(cost.item()):
                    raise TrainingError(
                        f"the loss is {cost.item()} in epoch {epoch + 1}: begin anew, at a lower "
                        "--lr or with a longer warm-up"
                    )
                cost.backward()
                state.step += 1
                set_rates(optimizer, recipe, (state.step - 0.5) / an_epoch)
                optimizer.step()
                optimizer.zero_grad()
                state.loss_sum += cost.item() * len(rows)
                state.seen += len(rows)
                events.advance(len(rows), loss=state.loss_sum / state.seen)
            state.seconds += time.monotonic() - began
            if add_row(state, validate(head), recipe.select, optimizer.param_groups[0]["lr"]):
                best = {name: tensor.clone() for name, tensor in head.state_dict().items()}
            events.epoch(state.history, state.best)
    finally:
        events.end()
    head.load_state_dict(best)
    files.save_result(model)
    files.write_log(state.history)
    files.save(state, model, None, optimizer, _UNSCALED)
    return state


def load_trained(model: Backbone, recipe: Recipe, folder: str | Path) -> TrainState | None:
    """Fill a network with what `train_classifier` left; None where it has not ended.

    Args:
        model: as that got it
        recipe: the same
        folder: of the run
    """
    files = RunFolder(Path(folder))
    if not files.list_checkpoints():
        return None
    choose_learners(model, recipe)
    return files.load(model, None, create_optimizer(model, recipe), _UNSCALED, recipe.select)
