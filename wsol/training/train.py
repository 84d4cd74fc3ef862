"""From a data set to a localizer: data, network, validation and the loop, in one run's folder."""

from __future__ import annotations

import shutil
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from tdam import load_checkpoint, save_checkpoint
from tdam.events import SILENT, Events
from tdam.training.errors import TrainingError
from tdam.training.loop import train
from tdam.training.ranks import find_ranks
from tdam.training.recipe import Recipe
from tdam.training.run_folder import RunFolder
from tdam.weights import RESULT, find_weights
from wsol.errors import ArgumentError
from wsol.evaluation.calibration import Calibration, choose_threshold
from wsol.evaluation.network_maps import NetworkMaps
from wsol.fingerprints import hash_files
from wsol.folder_lock import hold_file, hold_folder
from wsol.runtime import find_device, is_half_fast
from wsol.training.curves import CurveWriter
from wsol.training.data import TrainingData, load_training_data
from wsol.training.distillation import TARGETS, check_distillation, write_teacher_targets
from wsol.training.images import (
    PackedImages,
    SplitImages,
    pack_images,
    packed_side,
    side_needed,
)
from wsol.training.network import begin_network
from wsol.training.record import describe_run, read_record, write_record
from wsol.training.run_files import RECIPE, begin, check_same_run, discard
from wsol.training.validation import Validator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eval.manifest import DataSet
    from tdam.backbones.base import Backbone
    from tdam.training.batches import TrainingImages
    from tdam.training.ranks import Ranks
    from tdam.training.run_folder import TrainState


@dataclass(frozen=True)
class TrainedRun:
    """What came out of a run.

    Args:
        weights: file that `load_checkpoint`, predict and evaluate take
        recipe: with everything resolved
        data: that it was trained on
        best: row of the epoch that the weights are from
        history: rows of all epochs, the first before any training
        unreadable: reason by id of images that could not be read
        calibration: of the threshold, where one was asked for
    """

    weights: Path
    recipe: Recipe
    data: TrainingData
    best: dict[str, Any]
    history: list[dict[str, Any]]
    unreadable: dict[str, str]
    calibration: Calibration | None


def prepare_recipe(recipe: Recipe, device: torch.device) -> Recipe:
    """Settle what a recipe leaves to the machine: the input's size and the precision."""
    from tdam.registry import find_spec

    if recipe.size == 0:
        recipe = recipe.change(size=find_spec(recipe.model).preprocessing.size)
    if recipe.weights not in ("pretrained", "random"):
        recipe = recipe.change(weights=str(find_weights(recipe.weights).absolute()))
    if recipe.weights == "random" and recipe.freeze_norms:
        raise ValueError(
            "Expected weights that have statistics to keep, but random ones have none: take "
            "--recipe scratch_small, or --set freeze_norms=false"
        )
    if recipe.targets == "plain":
        check_distillation(recipe)
    if recipe.precision == "auto":
        recipe = recipe.change(precision="bfloat16" if is_half_fast(device) else "float32")
    return recipe


def train_localizer(
    data: str | Path | DataSet,
    out: str | Path,
    recipe: Recipe,
    *,
    root: str | Path | None = None,
    resume: bool = False,
    force: bool = False,
    device: str = "auto",
    workers: int = 2,
    cache: str | Path | None = None,
    save_every: float = 300.0,
    events: Events = SILENT,
) -> TrainedRun:
    """Train a classifier on image labels, so that it can localize.

    Where torch.distributed is on, every process calls this; the first one writes and reports.

    Args:
        data: as for `eval.manifest.open_data_set`
        out: folder of the run: recipe, record, log, curves, checkpoints and the weights
        recipe: every choice of the training
        root: image root; None: as the data set has it
        resume: go on with the run in `out`
        force: replace a run that is in `out`
        device: `auto`, `cpu`, `cuda`, or any name that torch knows
        workers: processes that read images
        cache: folder for packed images, which runs may share; by default in `out`, and removed
        save_every: seconds after which an epoch that still runs is saved
        events: told of what is done

    Raises:
        KeyboardInterrupt: somebody asked to stop; everything is saved
        eval.manifest.ManifestError: data that cannot be trained on
        tdam.training.TrainingError: a training that cannot go on
        tdam.weights.WeightsError: weights that cannot be had
        wsol.folder_lock.FolderHeldError: another process trains in `out`
        ValueError: choices that do not go together, or a run to go on with that does not match
    """
    out = Path(out)
    where = find_device(device)
    recipe = prepare_recipe(recipe, where)
    training_data = load_training_data(data, root, recipe.val_share, recipe.seed, recipe.per_class)
    _check(recipe, training_data, out, cache)
    record = describe_run(training_data.source.path, training_data, recipe.seed, str(where))
    if resume:
        check_same_run(out, recipe, record)
    ranks = find_ranks(where)
    with hold_folder(out) if ranks.first else nullcontext():
        saved = RunFolder(out).list_checkpoints() if resume else []
        model, teacher, classes = begin_network(recipe, training_data, out, saved)
        if ranks.first and not resume:
            if not force and (out / RECIPE).is_file():  # another process was faster
                raise ValueError(f"{out} holds a run already; choose another folder")
            if force:
                discard(out)
            begin(out, recipe, record, training_data)
        _tell(training_data, recipe, events)
        packed = Path(cache or out / "cache")
        images = _open_images(recipe, training_data, packed, ranks, workers, events)
        unreadable: dict[str, str] = {}
        if resume:  # a run that had ended does not validate again
            unreadable |= read_record(out).get("result", {}).get("unreadable", {})
        if teacher is not None and ranks.first:
            unreadable |= write_teacher_targets(
                out / TARGETS, teacher, training_data.train, training_data.root, str(where),
                recipe.batch_size, workers, events,
            )  # fmt: skip
        del teacher
        validator = Validator(
            training_data.val, training_data.root, str(where), recipe.batch_size, workers, classes
        )
        with _RunEvents(out, recipe.epochs, len(training_data.train), events) as told:
            state = _run_loop(
                model, images, recipe, out, ranks, validate=validator, resume=resume,
                device=where, workers=workers, save_every=save_every, events=told,
            )  # fmt: skip
        best = state.best or state.history[-1]
        unreadable |= state.unreadable | validator.unreadable
        calibration = None
        if ranks.first:
            if recipe.pick_threshold:
                calibration = _pick(
                    out / RESULT, training_data, classes, recipe, str(where), workers
                )
            if cache is None:
                shutil.rmtree(packed, ignore_errors=True)
            record["result"] = {
                "best": best,
                "selected_by": recipe.select,
                "unreadable": unreadable,
                "threshold": None if calibration is None else calibration.threshold,
            }
            write_record(out, record)
    return TrainedRun(
        out / RESULT, recipe, training_data, best, state.history, unreadable, calibration
    )


def _check(
    recipe: Recipe, training_data: TrainingData, out: Path, cache: str | Path | None
) -> None:
    """Refuse what would fail, or spoil something, only after hours."""
    needs_boxes = recipe.select == "localization" or recipe.pick_threshold
    if needs_boxes and not any(map(len, training_data.val.boxes or ())):
        raise ValueError(
            f"Expected boxes of validation images but {training_data.source.path} has none"
        )
    for name, folder in (("out", out), ("cache", cache)):
        _check_apart(name, folder, training_data.source.path, training_data.root)


def _run_loop(
    model: Backbone,
    images: TrainingImages,
    recipe: Recipe,
    out: Path,
    ranks: Ranks,
    **options: Any,
) -> TrainState:
    """Run the training loop, and say in one sentence why torch broke it off, if it did."""
    targets = None
    try:
        if recipe.targets == "plain":
            ranks.agree(None)  # so that what the first process writes is there
            targets = np.load(out / TARGETS, mmap_mode="r")
        return train(model, images, recipe, out, targets=targets, **options)
    except TrainingError:
        raise
    except (RuntimeError, ValueError) as error:  # of torch: memory, workers, an input too small
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise TrainingError(f"the training broke off: {reason[0]}") from error


class _RunEvents(Events):
    """Keeps curves of a training, and says in a line how each epoch went."""

    def __init__(self, out: Path, epochs: int, images: int, events: Events) -> None:
        self._out, self._epochs, self._images = out, epochs, images
        self._events = events
        self._curves: CurveWriter | None = None
        self.begin, self.advance = events.begin, events.advance  # type: ignore[method-assign]
        self.end, self.say = events.end, events.say  # type: ignore[method-assign]

    def epoch(self, history: Sequence[dict[str, Any]], best: dict[str, Any] | None) -> None:
        rows = list(history)
        self._curves = self._curves or CurveWriter(self._out, len(rows) - 1)
        self._curves.add(rows, best)
        self.say(describe_epoch(rows, best, self._epochs, self._images))
        self._events.epoch(history, best)

    def __enter__(self) -> _RunEvents:
        return self

    def __exit__(self, *error: object) -> None:
        self.end()
        if self._curves is not None:
            self._curves.close()


def describe_epoch(
    history: Sequence[dict[str, Any]], best: dict[str, Any] | None, epochs: int, images: int
) -> str:
    """Say in a line how the last epoch's validation went.

    Args:
        history: a row an epoch
        best: the row whose weights are the result so far
        epochs: of the training
        images: that every epoch sees
    """
    row = history[-1]
    words = [f"epoch {row['epoch']}/{epochs}"]
    if row["train_loss"] is not None:
        words.append(f"loss {row['train_loss']:.3f}")
    words.append(f"validation: accuracy {row['val_accuracy']:.1f}")
    words.append(f"loss {row['val_loss']:.3f}")
    if "val_max_box_acc" in row:
        words.append(f"MaxBoxAcc {row['val_max_box_acc']:.1f}")
    if len(history) > 1:  # of the epoch as a whole, cut off or not
        spent = row["seconds"] - history[-2]["seconds"]
        words.append(f"{images / max(spent, 0.01):.1f} images/s")
    if best is row:
        words.append("(best)")
    return "  ".join(words)


def _tell(training_data: TrainingData, recipe: Recipe, events: Events) -> None:
    """Say what is trained on and how the result will be chosen, and begin to prepare."""
    events.say(training_data.describe())
    attention = "" if recipe.attention == "none" else f" + {recipe.attention}"
    chosen = {
        "accuracy": "best validation accuracy (image labels only)",
        "localization": "best validation MaxBoxAccV2 (boxes)",
        "last": "the last epoch",
    }[recipe.select]
    events.say(
        f"{recipe.model}{attention}, {recipe.size} px, {recipe.precision}, recipe {recipe.name}, "
        f"seed {recipe.seed}; result: {chosen}"
    )
    total = len(training_data.whole) if recipe.packed else 0
    if recipe.targets == "plain":
        total += len(training_data.train)
    if total:
        events.begin("prepare", total)


def _open_images(
    recipe: Recipe,
    training_data: TrainingData,
    folder: Path,
    ranks: Ranks,
    workers: int,
    events: Events,
) -> TrainingImages:
    """Open the training images, packed into one file of a folder where the recipe says so."""
    if not recipe.packed:
        least = side_needed(recipe.size, recipe.min_scale)
        return SplitImages(training_data.train, training_data.root, least)
    packed = _packed_file(training_data, recipe.size, folder)
    if ranks.first and not packed.is_file():
        with hold_file(packed, patient=True, tell=events.say):  # runs may share it
            if not packed.is_file():
                side = packed_side(recipe.size)
                pack_images(training_data.whole, training_data.root, side, packed, workers, events)
    ranks.agree(None)  # so that what the first process writes is there
    return PackedImages(training_data.train, packed)


def _check_apart(name: str, folder: str | Path | None, data: Path, root: Path) -> None:
    """Refuse a folder to write that lies among the images, or that holds them."""
    if folder is None:
        return
    resolved = Path(folder).resolve()
    for other in (data.resolve(), root.resolve()):
        if other.is_relative_to(resolved):
            raise ArgumentError(
                name, f"Expected {name} to be apart from the data but {resolved} holds {other}"
            )
    if (
        data.is_dir()
        and data.resolve() == root.resolve()
        and resolved.is_relative_to(root.resolve())
    ):
        raise ArgumentError(
            name,
            f"Expected {name} to be apart from the data but {resolved} lies among its class "
            "folders",
        )


def _packed_file(training_data: TrainingData, size: int, folder: Path) -> Path:
    """Name the file of all training images, the held-out ones too, which runs may share."""
    key = hash_files(training_data.whole, training_data.root.joinpath, times=True)[:16]
    return folder / f"{key}-{packed_side(size)}.u8"


def _pick(
    weights: Path,
    training_data: TrainingData,
    classes: dict[int, int],
    recipe: Recipe,
    device: str,
    workers: int,
) -> Calibration:
    model, _ = load_checkpoint(weights)
    source = NetworkMaps(
        model,
        training_data.val,
        training_data.root,
        model.spec.method,
        classes,
        batch_size=recipe.batch_size,
        workers=workers,
        device=device,
    )
    chosen = choose_threshold(source)
    model.threshold = chosen.threshold
    save_checkpoint(model, weights)
    return chosen
