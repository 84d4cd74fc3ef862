"""The training loop: batches in, better weights out, and at any moment a place to go on from."""

from __future__ import annotations

import time
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch.nn.functional import cross_entropy
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from tdam.training.batches import STEP, batches_an_epoch, derive_seed, load_batches
from tdam.training.errors import TrainingError
from tdam.training.interrupts import held_interrupts
from tdam.training.mixing import Mixer
from tdam.training.ranks import find_ranks
from tdam.training.run_folder import RunFolder, TrainState
from tdam.training.schedule import choose_learners, create_optimizer, rate_at, set_rate

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from torch import nn
    from torch.optim import Optimizer

    from tdam.backbones.base import Backbone
    from tdam.training.batches import Batch, TrainingImages
    from tdam.training.recipe import Recipe

SELECTED_BY = {"accuracy": "val_accuracy", "localization": "val_max_box_acc_v2"}


def train(
    model: Backbone,
    images: TrainingImages,
    recipe: Recipe,
    folder: str | Path,
    *,
    validate: Callable[[Backbone], dict[str, float]],
    targets: np.ndarray | None = None,
    resume: bool = False,
    device: str | torch.device = "cpu",
    workers: int = 2,
    save_every: float = 300.0,
    on_batch: Callable[[int, float], None] = lambda images, loss: None,
    on_epoch: Callable[[TrainState], None] = lambda state: None,
) -> TrainState:
    """Train a network with image labels.

    Every random number hangs on the recipe's seed and its place in the run alone, so that a run
    that was cut off anywhere ends with the weights of one that was not, bit for bit on a CPU with
    the same number of threads. Where torch.distributed is on, every process calls this with the
    same arguments and works on its part of each batch.

    Args:
        model: from `create_model`; trained in place
        images: to train on
        recipe: every choice; `precision` must not be `auto`
        folder: for checkpoints, `log.csv` and the result, `model.safetensors`
        validate: measures a network, before the first epoch and after each: `accuracy` and `loss`,
            or whatever the recipe selects by; the log calls them `val_accuracy` and so on
        targets: (N, K), by image the probability that each class shall get, where the recipe's
            targets are `plain`; None where they are labels
        resume: go on from the folder's last checkpoint
        device: that the network runs on
        workers: processes that read images; 0 for this one
        save_every: seconds after which an epoch that still runs is saved
        on_batch: called with the number of images and their mean loss
        on_epoch: called with where the run stands, after each epoch's validation

    Returns:
        where the run stands at its end

    Raises:
        KeyboardInterrupt: somebody asked to stop; everything is saved
        TrainingError: a loss that is not finite, too many images that cannot be read, or a disk
            that takes no more; the last checkpoint is as it was
        ValueError: targets without a recipe that asks for them, or none for one that does
    """
    if (targets is not None) != (recipe.targets == "plain"):
        got = "none" if targets is None else "some"
        raise ValueError(f"Expected targets just where the recipe's are plain but got {got}")
    device = torch.device(device)
    ranks = find_ranks(device)
    layout = torch.channels_last if recipe.channels_last else torch.contiguous_format
    model.to(device).to(memory_format=layout)
    run = RunFolder(Path(folder))
    run.path.mkdir(parents=True, exist_ok=True)
    an_epoch = batches_an_epoch(len(images.ids), recipe.batch_size)
    choose_learners(model, recipe)
    optimizer = create_optimizer(model, recipe)
    average = None
    if recipe.ema:
        blend = get_ema_multi_avg_fn(recipe.ema)
        average = AveragedModel(model, multi_avg_fn=blend, use_buffers=True)
    result = model if average is None else cast("Backbone", average.module)
    state = run.load(model, average, optimizer) if resume else TrainState()
    if ranks.first and not state.history:
        _close_epoch(state, recipe, validate(model))
        run.write_log(state.history)
        run.save(state, model, average, optimizer)
        on_epoch(state)
    state.history = ranks.agree(state.history)

    network: Callable[..., torch.Tensor] = ranks.wrap(model)
    if recipe.compile:
        network = torch.compile(network)
    half = recipe.precision == "bfloat16"
    mixer = Mixer(recipe, model.spec.preprocessing, model.settings["num_classes"], device)
    _start_learning(model, recipe)
    saved = began = time.monotonic()
    with held_interrupts() as interrupted:
        for batch in load_batches(images, recipe, mixer.size, state.step, workers, ranks):
            place = state.step % an_epoch
            if place == 0:
                state.loss_sum, state.seen = 0.0, 0
            _note_unreadable(batch, state, images)
            torch.manual_seed(derive_seed(recipe.seed, STEP, state.step, ranks.rank))
            views, wanted = mixer(batch.images, batch.labels)
            if targets is not None:
                wanted = torch.from_numpy(targets[batch.indices or [0]]).to(device).float()
            with torch.autocast(device.type, torch.bfloat16, enabled=half):
                logits = network(views)
            loss = cross_entropy(logits.float(), wanted, label_smoothing=recipe.label_smoothing)
            if not isfinite(loss.item()):
                raise _diverged(f"the loss is {loss.item()}", batch, state, images, run)
            count = len(batch.indices)
            loss_sum, seen = ranks.sum(loss.item() * count, count)
            # Processes count by their images; the batches of one step count alike.
            share = count * ranks.count / max(seen, 1)
            (loss * share / _batches_a_step(recipe, place, an_epoch)).backward()
            state.loss_sum, state.seen = state.loss_sum + loss_sum, state.seen + int(seen)
            state.step += 1
            ends_epoch = place + 1 == an_epoch
            ends_step = ends_epoch or (place + 1) % recipe.accumulate == 0
            if ends_step:
                set_rate(optimizer, rate_at(recipe, (state.step - 0.5) / an_epoch))
                optimizer.step()
                optimizer.zero_grad()
                if average is not None:
                    average.update_parameters(model)
            state.seconds += time.monotonic() - began
            on_batch(int(seen), state.loss_sum / max(state.seen, 1))
            stops = ends_step and ranks.any(interrupted.is_set())
            late = ends_step and ranks.any(time.monotonic() - saved > save_every)
            if ends_epoch or stops or late:
                if not _is_finite(model):
                    raise _diverged("weights are not finite", batch, state, images, run)
                state.unreadable = ranks.union(state.unreadable)
                if ranks.first:
                    if ends_epoch:
                        if _close_epoch(state, recipe, validate(result), optimizer):
                            run.save_result(result)
                        run.write_log(state.history)
                    run.save(state, model, average, optimizer)
                    if ends_epoch:
                        on_epoch(state)
                state.history, state.best = ranks.agree((state.history, state.best))
                _start_learning(model, recipe)
                saved = time.monotonic()
                if stops:
                    raise KeyboardInterrupt
            began = time.monotonic()
    return state


def _start_learning(model: Backbone, recipe: Recipe) -> None:
    """Put a network into training mode, all but what the recipe keeps."""
    model.train(recipe.targets == "labels")
    if recipe.freeze_norms:
        for module in model.modules():
            if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                module.eval()


def _batches_a_step(recipe: Recipe, place: int, an_epoch: int) -> int:
    """Count the batches whose gradients make the step that a batch belongs to."""
    first = place - place % recipe.accumulate
    return min(recipe.accumulate, an_epoch - first)  # the last step of an epoch may have fewer


def _note_unreadable(batch: Batch, state: TrainState, images: TrainingImages) -> None:
    """Remember what could not be read, and stop where that is more than a hundredth."""
    state.unreadable.update({images.ids[index]: reason for index, reason in batch.unreadable})
    if len(state.unreadable) > 0.01 * len(images.ids):
        named = "; ".join(f"{i}: {reason}" for i, reason in [*state.unreadable.items()][:5])
        raise TrainingError(
            f"{len(state.unreadable)} of {len(images.ids)} images cannot be read, more than 1 % "
            f"({named}); mend or remove them"
        )


def _is_finite(model: nn.Module) -> bool:
    """Tell whether all weights and statistics are numbers."""
    return all(bool(torch.isfinite(tensor).all()) for tensor in model.state_dict().values())


def _diverged(
    what: str, batch: Batch, state: TrainState, images: TrainingImages, run: RunFolder
) -> TrainingError:
    """Say where a training left the numbers."""
    named = ", ".join(images.ids[index] for index in batch.indices)
    good = run.list_checkpoints()
    advice = f"; the last good weights are in {good[0]}" if good else ""
    return TrainingError(
        f"{what} in epoch {len(state.history)}, batch of images {named}{advice}: begin anew, with "
        "--weights from there or not, at a lower --lr or with a longer warm-up"
    )


def _close_epoch(
    state: TrainState,
    recipe: Recipe,
    measured: dict[str, float],
    optimizer: Optimizer | None = None,
) -> bool:
    """Write an epoch's row, and tell whether its weights are the best so far."""
    row: dict[str, Any] = {
        "epoch": len(state.history),
        "step": state.step,
        "lr": None if optimizer is None else optimizer.param_groups[0]["lr"],
        "train_loss": None if optimizer is None else state.loss_sum / max(state.seen, 1),
        "seconds": round(state.seconds, 2),
        **{f"val_{name}": float(value) for name, value in measured.items()},
    }
    state.history.append(row)
    if optimizer is None:  # before any training
        return False
    if recipe.select != "last" and state.best is not None:
        key = SELECTED_BY[recipe.select]
        then, now = ((each[key], -each.get("val_loss", 0.0)) for each in (state.best, row))
        if now < then:
            return False
    state.best = row
    return True
