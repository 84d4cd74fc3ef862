"""The training loop: batches in, better weights out, and at any moment a state to go on from."""

from __future__ import annotations

import time
from functools import partial
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from tdam.events import SILENT
from tdam.job import join_ranks
from tdam.precision import autocast, check_precision
from tdam.training.batches import STEP, batches_an_epoch, derive_seed, load_batches
from tdam.training.errors import TrainingError, refuse_unreadable
from tdam.training.history import add_row
from tdam.training.interrupts import held_interrupts
from tdam.training.losses import find_loss
from tdam.training.mixing import Mixer
from tdam.training.run_folder import RunFolder, TrainState
from tdam.training.schedule import choose_learners, create_optimizer, set_rates

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from torch import nn

    from tdam.backbones.base import Backbone
    from tdam.events import Events
    from tdam.training.batches import Batch, TrainingImages
    from tdam.training.losses import Loss
    from tdam.training.recipe import Recipe

_HEARD = (
    "asked to stop: the training ends when the step or the validation in hand is done and saved; "
    "asked once more, it ends at once"
)
_LEAST_SCALE = 2.0**-10  # of losses in float16; what is too large then is so at any scale


def train(
    model: Backbone,
    images: TrainingImages,
    recipe: Recipe,
    folder: str | Path,
    *,
    validate: Callable[[Backbone], dict[str, float]],
    targets: np.ndarray | None = None,
    loss: Loss | None = None,
    resume: bool = False,
    device: str | torch.device = "cpu",
    workers: int = 2,
    save_every: float = 300.0,
    events: Events = SILENT,
) -> TrainState:
    """Train a network with image labels.

    Every random number depends on the recipe's seed and its position in the run alone, so that a
    run that was cut off anywhere ends with the weights of one that was not, bit for bit on a CPU
    with the same number of threads. Every process of a job calls this with the same arguments and
    works on its part of each batch; the first one validates, with the others' help, and writes.

    Args:
        model: from `create_model`; trained in place
        images: to train on
        recipe: every choice; `precision` must not be `auto`
        folder: for checkpoints, `log.csv` and the result, `model.safetensors`
        validate: measures a network, before the first epoch and after those that the recipe
            says: `accuracy` and `loss`, or whatever the recipe selects by; the log calls them
            `val_accuracy` and so on, and leaves them out after the other epochs
        targets: (N, K), for every image the wanted probability of each class, where the recipe's
            targets are `plain`; None where they are labels
        loss: computes what a batch costs, as `tdam.training.losses.Loss` says; None for the
            recipe's
        resume: go on from the folder's last checkpoint
        device: that the network runs on
        workers: processes that read images; 0 for this one
        save_every: seconds after which an epoch that still runs is saved
        events: told of the images of every batch, with the epoch's mean loss so far, and in the
            first process of every validation

    Returns:
        where the run stands at its end

    Raises:
        KeyboardInterrupt: somebody asked to stop; everything is saved
        TrainingError: a loss that is not finite, too many images that cannot be read, or a full
            disk; the last checkpoint is unchanged
        ValueError: targets without a recipe that asks for them, or none for one that does; choices
            that do not go together, or a precision that the device does not have
    """
    if (targets is not None) != (recipe.targets == "plain"):
        got = "none" if targets is None else "some"
        raise ValueError(f"Expected targets just where the recipe's are plain but got {got}")
    device, loss = torch.device(device), loss or find_loss(recipe.loss)
    recipe.check_together()
    check_precision(recipe.precision, device)
    run = _Training(model, images, recipe, Path(folder), validate, targets, loss, device)
    run.start(resume, events)
    state, ranks, an_epoch = run.state, run.ranks, run.an_epoch
    batches = load_batches(
        images, recipe, run.mixer.size, state.step, workers, ranks, pin=device.type == "cuda"
    )
    try:
        with held_interrupts(partial(events.say, _HEARD)) as interrupted:
            run.tell_epoch(events)
            saved = began = time.monotonic()
            for batch in batches:
                position = state.step % an_epoch  # of the batch in its epoch
                ends_epoch = position + 1 == an_epoch
                ends_step = ends_epoch or (position + 1) % recipe.accumulate == 0
                if position == 0:
                    state.loss_sum, state.seen = 0.0, 0
                seen = run.learn(batch, position)
                if ends_step:
                    run.step(batch)
                state.seconds += time.monotonic() - began
                events.advance(seen, loss=state.loss_sum / max(state.seen, 1))
                stops = ends_step and ranks.any(interrupted.is_set())
                late = ends_step and ranks.any(time.monotonic() - saved > save_every)
                if ends_epoch or stops or late:
                    run.save(batch, ends_epoch and not stops, events)
                    saved = time.monotonic()
                    stops = stops or ranks.any(interrupted.is_set())  # while it was measured
                if stops:
                    raise KeyboardInterrupt
                if ends_epoch:
                    run.tell_epoch(events)
                began = time.monotonic()
    finally:
        events.end()
    return state


class _Training:
    """Everything that a training changes, and each of the few things that it does.

    Args:
        model: trained in place
        images: to train on
        recipe: every choice
        folder: of the run
        validate: measures a network
        targets: for every image the probability of each class; None where they are labels
        loss: computes what a batch costs
        device: that the network runs on
    """

    def __init__(
        self,
        model: Backbone,
        images: TrainingImages,
        recipe: Recipe,
        folder: Path,
        validate: Callable[[Backbone], dict[str, float]],
        targets: np.ndarray | None,
        loss: Loss,
        device: torch.device,
    ) -> None:
        layout = torch.channels_last if recipe.channels_last else torch.contiguous_format
        model.to(device).to(memory_format=layout)
        choose_learners(model, recipe)
        self.model, self.images, self.recipe = model, images, recipe
        self.validate, self.targets, self.loss, self.device = validate, targets, loss, device
        self.ranks = join_ranks()
        self.folder = RunFolder(folder)
        self.folder.path.mkdir(parents=True, exist_ok=True)
        self.an_epoch = batches_an_epoch(len(images.ids), recipe.batch_size)
        self.mixer = Mixer(recipe, model.spec.preprocessing, model.settings["num_classes"], device)
        self.optimizer = create_optimizer(model, recipe)
        self.scaler = torch.amp.GradScaler(device.type, enabled=recipe.precision == "float16")
        self.average: AveragedModel | None = None
        if recipe.ema:
            blend = get_ema_multi_avg_fn(recipe.ema)
            self.average = AveragedModel(model, multi_avg_fn=blend, use_buffers=True)
        self.result = model if self.average is None else cast("Backbone", self.average.module)
        self.network: Callable[..., torch.Tensor] = model
        self.state = TrainState()

    def start(self, resume: bool, events: Events) -> None:
        """Go back to the last checkpoint, or measure the untrained network and save it."""
        if resume:
            with self.ranks.together():
                self.state = self.folder.load(
                    self.model, self.average, self.optimizer, self.scaler, self.recipe.select
                )
        self.state.history = self.ranks.lead(partial(self._begin, events))
        epochs, rest = divmod(self.state.step, self.an_epoch)
        if rest == 0 and len(self.state.history) == epochs:  # it stopped before the last one's row
            self.save(None, True, events)
        self.network = self.ranks.wrap(self.model)
        if self.recipe.compile:
            self.network = torch.compile(self.network)
        self._learn_again()

    def _begin(self, events: Events) -> list[dict[str, Any]]:
        """Measure the untrained network, unless that was done before; gives a row an epoch."""
        if not self.state.history:
            add_row(self.state, self._measure(self.model), self.recipe.select)
            self._write(events, measured=True)
        return self.state.history

    def tell_epoch(self, events: Events) -> None:
        """Tell which epoch begins, or goes on, if one is left."""
        epoch, position = divmod(self.state.step, self.an_epoch)
        if epoch < self.recipe.epochs:
            count = len(self.images.ids)
            events.begin(
                f"train {epoch + 1}/{self.recipe.epochs}",
                total=count * self.recipe.epochs,
                done=count * epoch + (self.state.seen if position else 0),
            )

    def learn(self, batch: Batch, position: int) -> int:
        """Add a batch's gradients, and return how many images all processes had in it.

        Args:
            batch: this process's part
            position: of the batch in its epoch
        """
        state, recipe, ranks = self.state, self.recipe, self.ranks
        with ranks.together():
            _note_unreadable(batch, state, self.images)
            torch.manual_seed(derive_seed(recipe.seed, STEP, state.step, ranks.rank))
            views, wanted = self.mixer(batch.images, batch.labels)
            if self.targets is not None:
                rows = self.targets[batch.indices or [0]]
                wanted = torch.from_numpy(rows).to(self.device).float()
        with autocast(recipe.precision, self.device):
            loss = self.loss(self.network, views, wanted, recipe)
        with ranks.together():
            if not isfinite(loss.item()):
                raise self._diverged(f"the loss is {loss.item()}", batch)
        count = len(batch.indices)
        loss_sum, seen = ranks.sum(loss.item() * count, count)
        # Processes count by their images; the batches of one step count alike.
        share = count * ranks.count / max(seen, 1)
        part = loss * share / _batches_a_step(recipe, position, self.an_epoch)
        self.scaler.scale(part).backward()
        state.loss_sum, state.seen = state.loss_sum + loss_sum, state.seen + int(seen)
        state.step += 1
        return int(seen)

    def step(self, batch: Batch) -> None:
        """Change the weights by the gradients so far, and their average with them.

        Where float16 was too narrow for the gradients, they are dropped and the next losses scaled
        less: weights and average stay, while the rate goes on with the images that were seen.

        Args:
            batch: the last one, to name where no scale is small enough
        """
        set_rates(self.optimizer, self.recipe, (self.state.step - 0.5) / self.an_epoch)
        scale = self.scaler.get_scale()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()
        if self.scaler.get_scale() < scale:
            with self.ranks.together():  # which have the same gradients
                if scale < _LEAST_SCALE:
                    raise self._diverged("gradients are not finite, however small the loss", batch)
        elif self.average is not None:
            self.average.update_parameters(self.model)

    def save(self, batch: Batch | None, measures: bool, events: Events) -> None:
        """Write a checkpoint; at the end of an epoch, validate first.

        Args:
            batch: the last one, to name where the weights are not finite; None where it was
                learnt before the run went on
            measures: end the epoch with a row, for which the network is measured
            events: told of the measurement
        """
        state, ranks = self.state, self.ranks
        state.unreadable = ranks.union(state.unreadable)
        keep = partial(self._keep, batch, measures, events)
        state.history, state.best = ranks.lead(keep)
        self._learn_again()

    def _keep(
        self, batch: Batch | None, measures: bool, events: Events
    ) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
        """Measure and write, as `save` has it; gives a row an epoch, and the best one."""
        state = self.state
        if not _is_finite(self.model):
            raise self._diverged("weights are not finite", batch)
        if measures:
            rate = self.optimizer.param_groups[0]["lr"]
            measured = self._measure(self.result, batch) if self._is_measured() else None
            if add_row(state, measured, self.recipe.select, rate):
                self.folder.save_result(self.result)
        self._write(events, measured=measures)
        return state.history, state.best

    def _is_measured(self) -> bool:
        """Tell whether the recipe wants the epoch that has just ended measured."""
        epoch = self.state.step // self.an_epoch
        return epoch % self.recipe.val_every == 0 or epoch == self.recipe.epochs

    def _measure(self, model: Backbone, batch: Batch | None = None) -> dict[str, float]:
        """Validate a network.

        Args:
            model: of finite weights, which may still give numbers that are not
            batch: the last one, to name; or None
        """
        measured = self.validate(model)
        wrong = [name for name, value in measured.items() if not isfinite(value)]
        if wrong and self.state.step == 0:
            raise TrainingError(
                f"{', '.join(wrong)} on the validation images is not finite before any training: "
                "begin with other weights"
            )
        if wrong:
            raise self._diverged(f"{', '.join(wrong)} on the validation images not finite", batch)
        return measured

    def _write(self, events: Events, measured: bool) -> None:
        if measured:
            self.folder.write_log(self.state.history)
        self.folder.save(self.state, self.model, self.average, self.optimizer, self.scaler)
        if measured:
            events.epoch(self.state.history, self.state.best)

    def _learn_again(self) -> None:
        """Put the network into training mode, except for what the recipe keeps as it is."""
        self.model.train(self.recipe.targets == "labels")
        if self.recipe.freeze_norms:
            for module in self.model.modules():
                if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                    module.eval()

    def _diverged(self, what: str, batch: Batch | None) -> TrainingError:
        """Build the error for a training whose numbers are no longer finite."""
        named = ""
        if batch is not None:
            ids = (self.images.ids[index] for index in batch.indices)
            named = f", batch of images {', '.join(ids)}"
        good = self.folder.list_checkpoints()
        advice = f"; the last good weights are in {good[0]}" if good else ""
        return TrainingError(
            f"{what} in epoch {len(self.state.history)}{named}{advice}: begin "
            "anew, with --weights from there or not, at a lower --lr or with a longer warm-up"
        )


def _batches_a_step(recipe: Recipe, position: int, an_epoch: int) -> int:
    """Count the batches whose gradients make the step that a batch belongs to.

    Args:
        recipe: says how many
        position: of the batch in its epoch
        an_epoch: number of its batches; the last step may have fewer than the others
    """
    first = position - position % recipe.accumulate
    return min(recipe.accumulate, an_epoch - first)


def _note_unreadable(batch: Batch, state: TrainState, images: TrainingImages) -> None:
    """Remember what could not be read, and stop where that is more than a hundredth."""
    state.unreadable.update({images.ids[index]: reason for index, reason in batch.unreadable})
    refuse_unreadable(state.unreadable, len(images.ids), "images")


def _is_finite(model: nn.Module) -> bool:
    """Tell whether all weights and statistics are numbers."""
    return all(bool(torch.isfinite(tensor).all()) for tensor in model.state_dict().values())
