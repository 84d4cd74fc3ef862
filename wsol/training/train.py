"""From a data set to a localizer: data, network, validation and the loop, in one run's folder."""

from __future__ import annotations

import shutil
import warnings
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from eval.splits import spread_rows
from tdam import load_checkpoint, save_checkpoint
from tdam.events import SILENT, Events
from tdam.job import find_ranks
from tdam.precision import check_precision
from tdam.reprs import brief_repr
from tdam.training.errors import TrainingError
from tdam.training.loop import train
from tdam.training.recipe import Recipe
from tdam.training.run_folder import RunFolder, note_weights
from tdam.unfinished import UnfinishedRunWarning, refuse_unfinished
from tdam.weights import RESULT, find_weights
from wsol.errors import ArgumentError
from wsol.evaluation.calibration import Calibration, choose_threshold
from wsol.evaluation.network_maps import NetworkMaps
from wsol.evaluation.unlabelled import choose_unlabelled
from wsol.folder_lock import hold_folder
from wsol.overlap import check_apart
from wsol.runtime import ask_for_memory, find_device, is_half_fast
from wsol.same_files import check_same_files
from wsol.training.data import TrainingData, load_training_data
from wsol.training.distillation import TARGETS, check_distillation, write_teacher_targets
from wsol.training.features import train_on_features
from wsol.training.image_list import (
    TRAINED_ON,
    check_same_images,
    list_image_sets,
    list_unknown_start,
    list_validation,
    warn_of_splits,
    write_image_sets,
)
from wsol.training.images import PackedImages, open_images
from wsol.training.network import begin_network
from wsol.training.record import describe_run, is_calibrated, read_record, write_record
from wsol.training.run_events import RunEvents, announce
from wsol.training.run_files import RECIPE, START, begin, check_same_run, discard, go_on
from wsol.training.start import hash_start
from wsol.training.validation import Validator

if TYPE_CHECKING:
    from eval.manifest import DataSet
    from eval.splits import Split
    from tdam.backbones.base import Backbone
    from tdam.training.batches import TrainingImages
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
        overlaps: a line for each two sets of images that share some, where that was allowed
    """

    weights: Path
    recipe: Recipe
    data: TrainingData
    best: dict[str, Any]
    history: list[dict[str, Any]]
    unreadable: dict[str, str]
    calibration: Calibration | None
    overlaps: tuple[str, ...] = ()

    __repr__ = brief_repr


def prepare_recipe(recipe: Recipe, device: torch.device) -> Recipe:
    """Settle what a recipe leaves to the machine: the input's size and the precision.

    Raises:
        ValueError: choices that do not go together, or that the device cannot do
    """
    from tdam.registry import find_spec

    if recipe.size == 0:
        recipe = recipe.change(size=find_spec(recipe.model).preprocessing.size)
    if recipe.starts_from_file:
        recipe = recipe.change(weights=str(find_weights(recipe.weights).absolute()))
    if recipe.weights == "random" and recipe.freeze_norms:
        raise ValueError(
            "Expected weights that have statistics to keep, but random ones have none: take "
            "--recipe scratch_small, or --set freeze_norms=false"
        )
    if recipe.targets == "plain":
        check_distillation(recipe)
    if recipe.learns == "classifier" and recipe.weights == "random":
        raise ValueError("Expected weights whose features are worth a classifier but got random")
    if recipe.precision == "auto":
        recipe = recipe.change(precision="bfloat16" if is_half_fast(device) else "float32")
    recipe.check_together()
    check_precision(recipe.precision, device)
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
    allow_overlap: bool = False,
    events: Events = SILENT,
) -> TrainedRun:
    """Train a classifier on image labels, so that it can localize.

    Of the processes of a job the first one calls this; the others work on their part of each batch.

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
        allow_overlap: go on where images are trained on and chosen by, and say so
        events: told of what is done

    Raises:
        KeyboardInterrupt: somebody asked to stop; everything is saved
        eval.manifest.ManifestError: data that cannot be trained on, or that the processes of a job
            do not all see alike
        tdam.training.TrainingError: a training that cannot go on
        tdam.weights.WeightsError: weights that cannot be had
        wsol.folder_lock.FolderHeldError: another process trains in `out`
        ValueError: choices that do not go together, or a run to go on with that does not match
    """
    out = Path(out)
    where = find_device(device)
    recipe = prepare_recipe(recipe, where)
    training_data = load_training_data(data, root, recipe.val_share, recipe.seed, recipe.per_class)
    if not resume:
        refuse_unfinished(recipe.weights)
    check_training(recipe, training_data, out, cache)
    measured_on = spread_rows(training_data.val, recipe.val_limit)
    record = describe_run(training_data.source.path, training_data, recipe.seed, str(where)) | {
        "measured_images": len(measured_on)
    }
    if resume:
        check_same_run(out, recipe, record)
        allow_overlap |= bool(read_record(out).get("overlaps"))
    sets = list_image_sets(training_data, recipe, out.resolve().name)
    chosen_by = list_validation(training_data, out.resolve().name)
    unknown = list_unknown_start(recipe)
    overlaps = check_apart([*sets, chosen_by], allow_overlap, events, unknown) or ()
    record["overlaps"] = overlaps
    warn_of_splits(training_data, sets, events)
    with hold_folder(out):
        saved = RunFolder(out).list_checkpoints() if resume else []
        model, teacher, classes = begin_network(recipe, training_data, out, saved)
        check_same_files(training_data.list_files())
        if not resume:
            record[START] = hash_start(recipe)
            if not force and (out / RECIPE).is_file():  # another process was faster
                raise ValueError(f"{out} holds a run already; choose another folder")
            if force:
                discard(out)
            record = begin(out, recipe, record, training_data)
        else:
            check_same_images(out, sets, chosen_by)
            step = int(saved[0].name.removeprefix("step-")) if saved else 0
            record = go_on(out, record, step)
        if not (out / TRAINED_ON).is_file():  # nor had runs of before one
            write_image_sets(out, sets, unknown, chosen_by)
        announce(training_data, recipe, events)
        packed = Path(cache or out / "cache")
        ended = read_record(out).get("result", {}) if resume else {}  # which is not done again
        unreadable = ended.get("unreadable", {})
        if teacher is not None:
            unreadable |= write_teacher_targets(
                out / TARGETS, teacher, training_data.train, training_data.root, str(where),
                recipe.batch_size, workers, events,
            )  # fmt: skip
        del teacher
        with RunEvents(out, recipe.epochs, len(training_data.train), events) as told:
            state = _learn(
                model, classes, training_data, measured_on, recipe, out, packed,
                resume=resume, device=str(where), workers=workers, save_every=save_every,
                events=told,
            )  # fmt: skip
        best = state.best or state.history[-1]
        unreadable |= state.unreadable
        calibration = None
        calibrated = bool(ended) and is_calibrated(record)  # by a person, after the training
        if recipe.pick_threshold != "none" and not calibrated:
            calibration = _pick(
                out / RESULT, training_data, classes, recipe, str(where), workers, events
            )
            note_weights(out, [out / RESULT])
        if cache is None:
            shutil.rmtree(packed, ignore_errors=True)
        record["result"] = {
            "best": best,
            "selected_by": recipe.select,
            "unreadable": unreadable,
            "threshold": None if calibration is None else calibration.threshold,
        } | ({"threshold": ended.get("threshold")} if calibrated else {})
        write_record(out, record)
    return TrainedRun(
        out / RESULT, recipe, training_data, best, state.history, unreadable, calibration, overlaps
    )


def check_training(
    recipe: Recipe, training_data: TrainingData, out: Path, cache: str | Path | None
) -> None:
    """Refuse what would fail, or spoil something, only after hours.

    Args:
        recipe: of the run
        training_data: what is trained on
        out: folder of the run
        cache: folder of packed images, or None

    Raises:
        ValueError: it says what is missing, or in the way
    """
    if not any(map(len, training_data.val.boxes or ())):
        for argument, value in (("select", "localization"), ("pick_threshold", "val")):
            if getattr(recipe, argument) == value:
                raise ValueError(  # of which train makes its argument, and reproduce another one
                    f"Expected {argument} to be another than {value}, which needs boxes of "
                    f"validation images: {training_data.source.path} has none"
                )
    for name, folder in (("out", out), ("cache", cache)):
        _check_apart(name, folder, training_data.source.path, training_data.root)


def _learn(
    model: Backbone,
    classes: dict[int, int],
    training_data: TrainingData,
    measured_on: Split,
    recipe: Recipe,
    out: Path,
    packed: Path,
    *,
    resume: bool,
    device: str,
    workers: int,
    save_every: float,
    events: Events,
) -> TrainState:
    """Open images, or compute what is said of them once, and train."""
    if recipe.learns == "classifier":
        return train_on_features(
            model, training_data, measured_on, recipe, out, resume=resume, device=device,
            workers=workers, events=events,
        )  # fmt: skip
    images = open_images(recipe, training_data, packed, workers, events)
    validator = Validator(
        measured_on, training_data.root, device, recipe.batch_size, workers, classes
    )
    state = _run_loop(
        model, images, recipe, out, validate=validator, resume=resume, device=device,
        workers=workers, save_every=save_every, events=events,
    )  # fmt: skip
    state.unreadable |= validator.unreadable
    return state


def _run_loop(
    model: Backbone,
    images: TrainingImages,
    recipe: Recipe,
    out: Path,
    *,
    events: Events,
    **options: Any,
) -> TrainState:
    """Run the training loop, and say in one sentence why torch broke it off, if it did."""
    packed = [images.path] if isinstance(images, PackedImages) else []
    check_same_files([*packed, out / TARGETS])
    try:
        return find_ranks().run(
            partial(_train_together, model, images, recipe, out, **options), events=events
        )
    except TrainingError:
        raise
    except (RuntimeError, ValueError) as error:  # of torch: memory, workers, an input too small
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise TrainingError(f"the training broke off: {reason[0]}") from error


def _train_together(
    model: Backbone,
    images: TrainingImages,
    recipe: Recipe,
    out: Path,
    *,
    device: str,
    events: Events = SILENT,
    **options: Any,
) -> TrainState:
    """Train, in every process of a job."""
    ask_for_memory()
    with find_ranks().together():
        where = find_device(device)  # this process's own
        plain = recipe.targets == "plain"
        targets = np.load(out / TARGETS, mmap_mode="r") if plain else None
    return train(
        model, images, recipe, out, targets=targets, device=where, events=events, **options
    )


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


def _pick(
    weights: Path,
    training_data: TrainingData,
    classes: dict[int, int],
    recipe: Recipe,
    device: str,
    workers: int,
    events: Events,
) -> Calibration | None:
    """Choose the threshold that the recipe asks for, and store it with the weights.

    Too few training images, or maps that show nothing, ask for none: that is told.
    """
    with warnings.catch_warnings():  # this is what ends the training
        warnings.simplefilter("ignore", UnfinishedRunWarning)
        model, _ = load_checkpoint(weights)
    by_boxes = recipe.pick_threshold == "val"
    source = NetworkMaps(
        model,
        training_data.val if by_boxes else training_data.train,
        training_data.root,
        model.spec.method,
        classes,
        batch_size=recipe.batch_size,
        workers=workers,
        device=device,
    )
    if by_boxes:
        chosen = choose_threshold(source)
    else:
        try:
            chosen = choose_unlabelled(source, events)
        except ValueError as error:
            events.say(f"no threshold is stored: {error}")
            return None
    model.threshold = chosen.threshold
    save_checkpoint(model, weights)
    return chosen
