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
from tdam.events import Events
from tdam.training.errors import TrainingError
from tdam.training.loop import train
from tdam.training.ranks import find_ranks
from tdam.training.recipe import Recipe
from tdam.training.run_folder import RunFolder, TrainState
from tdam.weights import RESULT, find_weights
from wsol.evaluation.calibration import Calibration, calibrate
from wsol.evaluation.network_maps import NetworkMaps
from wsol.fingerprints import hash_files
from wsol.folder_lock import hold_folder
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
from wsol.training.run_files import begin, check_same_run, discard
from wsol.training.validation import Validator

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tdam.training.batches import TrainingImages
    from tdam.training.ranks import Ranks


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
    data: str | Path,
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
    on_data: Callable[[TrainingData, Recipe], None] = lambda data, recipe: None,
    on_packed: Callable[[int], None] = lambda done: None,
    on_batch: Callable[[int, float], None] = lambda images, loss: None,
    on_epoch: Callable[[TrainState], None] = lambda state: None,
) -> TrainedRun:
    """Train a classifier on image labels, so that it can localize.

    Where torch.distributed is on, every process calls this; the first one writes and reports.

    Args:
        data: folder with one folder a split, COCO data set file, or folder of class folders
        out: folder of the run: recipe, record, log, curves, checkpoints and the weights
        recipe: every choice of the training
        root: image root; None: as the data set has it
        resume: go on with the run in `out`
        force: put the run in the place of one that is in `out`
        device: `auto`, `cpu`, `cuda`, or any name that torch knows
        workers: processes that read images
        cache: folder for packed images, which runs may share; by default in `out`, and removed
        save_every: seconds after which an epoch that still runs is saved
        on_data: called once data and recipe are settled
        on_packed: called with the number of images packed since the last call, or of those for
            which targets were found
        on_batch: called with the number of images trained on and the epoch's mean loss
        on_epoch: called with where the run stands, after each validation

    Raises:
        KeyboardInterrupt: somebody asked to stop; everything is saved
        eval.manifest.ManifestError: data that cannot be trained on
        tdam.training.TrainingError: a training that cannot go on
        tdam.weights.WeightsError: weights that cannot be had
        wsol.folder_lock.FolderHeldError: another process trains in `out`
        ValueError: choices that do not go together, or a run to go on with that is another one
    """
    data, out = Path(data), Path(out)
    where = find_device(device)
    recipe = prepare_recipe(recipe, where)
    found = load_training_data(
        data,
        None if root is None else Path(root),
        recipe.val_share,
        recipe.seed,
        recipe.per_class,
    )
    if not any(map(len, found.val.boxes or ())) and (
        recipe.select == "localization" or recipe.pick_threshold
    ):
        raise ValueError(f"Expected boxes of validation images but {data} has none")
    for name, folder in (("out", out), ("cache", cache)):
        _check_apart(name, folder, data, found.root)
    record = describe_run(data, found, recipe.seed, str(where))
    if resume:
        check_same_run(out, recipe, record)
    ranks = find_ranks(where)
    with hold_folder(out) if ranks.first else nullcontext():
        saved = RunFolder(out).list_checkpoints() if resume else []
        model, plain, classes = begin_network(recipe, data, found, out, saved)
        if ranks.first and not resume:
            if force:
                discard(out)
            begin(out, recipe, record, found)
        on_data(found, recipe)
        place = Path(cache or out / "cache")
        images = _open_images(recipe, found, place, ranks, workers, on_packed)
        validator = Validator(
            found.val, found.root, str(where), recipe.batch_size, workers, classes
        )
        told = _Told(out, on_batch, on_epoch)
        without: dict[str, str] = {}
        if resume:  # a run that had ended does not validate again
            without |= read_record(out).get("result", {}).get("unreadable", {})
        targets = None
        try:
            if plain is not None and ranks.first:
                options = (str(where), recipe.batch_size, workers, on_packed)
                without |= write_teacher_targets(
                    out / TARGETS, plain, found.train, found.root, *options
                )
            if recipe.targets == "plain":
                plain = None
                ranks.agree(None)  # so that what the first process writes is there
                targets = np.load(out / TARGETS, mmap_mode="r")
            state = train(
                model,
                images,
                recipe,
                out,
                validate=validator,
                targets=targets,
                resume=resume,
                device=where,
                workers=workers,
                save_every=save_every,
                events=told,
            )
        except TrainingError:
            raise
        except (RuntimeError, ValueError) as error:  # of torch: memory, workers, an input too small
            reason = str(error).strip().splitlines() or [type(error).__name__]
            raise TrainingError(f"the training broke off: {reason[0]}") from error
        finally:
            if told.curves is not None:
                told.curves.close()
        calibration = None
        best = state.best or state.history[-1]
        unreadable = {**without, **state.unreadable, **validator.unreadable}
        if ranks.first:
            if recipe.pick_threshold:
                calibration = _pick(out / RESULT, found, classes, recipe, str(where), workers)
            if cache is None:
                shutil.rmtree(place, ignore_errors=True)
            record["result"] = {
                "best": best,
                "selected_by": recipe.select,
                "unreadable": unreadable,
                "threshold": None if calibration is None else calibration.threshold,
            }
            write_record(out, record)
        return TrainedRun(out / RESULT, recipe, found, best, state.history, unreadable, calibration)


class _Told(Events):
    """Draws curves, and passes on what the loop tells."""

    def __init__(
        self,
        out: Path,
        on_batch: Callable[[int, float], None],
        on_epoch: Callable[[TrainState], None],
    ) -> None:
        self.out, self.on_batch, self.on_epoch = out, on_batch, on_epoch
        self.curves: CurveWriter | None = None

    def advance(self, count: int = 1, **figures: float) -> None:
        self.on_batch(count, figures["loss"])

    def epoch(self, history: Sequence[dict[str, Any]], best: dict[str, Any] | None) -> None:
        rows = [*history]
        self.curves = self.curves or CurveWriter(self.out, len(rows) - 1)
        self.curves.add(rows, best)
        self.on_epoch(TrainState(history=rows, best=best))


def _open_images(
    recipe: Recipe,
    found: TrainingData,
    folder: Path,
    ranks: Ranks,
    workers: int,
    on_packed: Callable[[int], None],
) -> TrainingImages:
    """Open the training images, packed into one file of a folder where the recipe says so."""
    if not recipe.packed:
        least = side_needed(recipe.size, recipe.min_scale)
        return SplitImages(found.train, found.root, least)
    packed = _packed_file(found, recipe.size, folder)
    if ranks.first and not packed.is_file():
        side = packed_side(recipe.size)
        pack_images(found.whole, found.root, side, packed, workers, on_packed)
    ranks.agree(None)  # so that what the first process writes is there
    return PackedImages(found.train, packed)


def _check_apart(name: str, folder: str | Path | None, data: Path, root: Path) -> None:
    """Refuse a folder to write that lies among the images, or that holds them."""
    if folder is None:
        return
    place = Path(folder).resolve()
    for other in (data.resolve(), root.resolve()):
        if other.is_relative_to(place):
            raise ValueError(f"Expected {name} to be apart from the data but {place} holds {other}")
    if data.is_dir() and data.resolve() == root.resolve() and place.is_relative_to(root.resolve()):
        raise ValueError(
            f"Expected {name} to be apart from the data but {place} lies among its class folders"
        )


def _packed_file(found: TrainingData, size: int, folder: Path) -> Path:
    """Name the file of all training images, the held-out ones too, which runs may share."""
    key = hash_files(found.whole, found.root.joinpath, times=True)[:16]
    return folder / f"{key}-{packed_side(size)}.u8"


def _pick(
    weights: Path,
    found: TrainingData,
    classes: dict[int, int],
    recipe: Recipe,
    device: str,
    workers: int,
) -> Calibration:
    model, _ = load_checkpoint(weights)
    source = NetworkMaps(
        model,
        found.val,
        found.root,
        model.spec.method,
        classes,
        batch_size=recipe.batch_size,
        workers=workers,
        device=device,
    )
    chosen = calibrate(source)
    model.threshold = chosen.threshold
    save_checkpoint(model, weights)
    return chosen
