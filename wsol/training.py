"""From a data set to a localizer: data, network, validation and the loop, in one run's folder."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from tdam import create_model, save_checkpoint
from tdam.training.loop import train
from tdam.training.ranks import find_ranks
from tdam.training.recipe import Recipe, differing_keys, load_recipe
from tdam.weights import RESULT
from wsol.calibration import Calibration, calibrate
from wsol.curves import CurveWriter
from wsol.map_sources import NetworkMaps
from wsol.maps.names import check_method
from wsol.run_record import describe_run, read_record, write_record
from wsol.runtime import find_device, is_half_fast
from wsol.training_data import TrainingData, hash_images, load_training_data
from wsol.training_images import (
    PackedImages,
    SplitImages,
    pack_images,
    packed_side,
    side_needed,
)
from wsol.validation import Validator

if TYPE_CHECKING:
    from collections.abc import Callable

    from tdam.backbones.base import Backbone
    from tdam.training.batches import TrainingImages
    from tdam.training.run_folder import TrainState

RECIPE = "recipe.toml"


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
    if recipe.precision == "auto":
        recipe = recipe.change(precision="bfloat16" if is_half_fast(device) else "float32")
    return recipe


def create_network(recipe: Recipe, class_names: tuple[str, ...]) -> Backbone:
    """Build the network that a recipe begins with.

    Args:
        recipe: gives architecture, weights, input size and the seed of what is random
        class_names: by label

    Raises:
        ValueError: an unknown name, or weights that do not fit
        tdam.weights.WeightsError: weights that cannot be had
    """
    torch.manual_seed(recipe.seed)
    model = create_model(
        recipe.model,
        attention=recipe.attention,
        steps=recipe.steps,
        distance=recipe.distance,
        searchlight=recipe.searchlight,
        output_stride=recipe.output_stride,
        num_classes=len(class_names),
        weights=None if recipe.weights == "random" else recipe.weights,
        new_head=recipe.new_head,
    )
    model.class_names = class_names
    shown = replace(model.spec.preprocessing, size=recipe.size or model.spec.preprocessing.size)
    method = model.spec.method if recipe.method == "auto" else check_method(recipe.method)
    model.spec = replace(model.spec, method=method, preprocessing=shown)
    return model


def train_localizer(
    data: str | Path,
    out: str | Path,
    recipe: Recipe,
    *,
    root: str | Path | None = None,
    resume: bool = False,
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
        device: `auto`, `cpu`, `cuda`, or any name that torch knows
        workers: processes that read images
        cache: folder for packed images, which runs may share; by default in `out`, and removed
        save_every: seconds after which an epoch that still runs is saved
        on_data: called once data and recipe are settled
        on_packed: called with the number of images packed since the last call
        on_batch: called with the number of images trained on and the epoch's mean loss
        on_epoch: called with where the run stands, after each validation

    Raises:
        KeyboardInterrupt: somebody asked to stop; everything is saved
        eval.manifest.ManifestError: data that cannot be trained on
        tdam.training.TrainingError: a training that cannot go on
        tdam.weights.WeightsError: weights that cannot be had
        ValueError: choices that do not go together, or a run to go on with that is another one
    """
    data, out = Path(data), Path(out)
    where = find_device(device)
    recipe = prepare_recipe(recipe, where)
    found = load_training_data(
        data, None if root is None else Path(root), recipe.val_share, recipe.seed
    )
    if found.val.boxes is None and (recipe.select == "localization" or recipe.pick_threshold):
        raise ValueError(f"Expected boxes of validation images but {data} has none")
    record = describe_run(data, found, recipe.seed, str(where))
    if resume:
        _check_same(out, recipe, record)
    model = create_network(recipe, found.class_names)
    ranks = find_ranks(where)
    if ranks.first and not resume:
        _begin(out, recipe, record, found)
    on_data(found, recipe)
    place = Path(cache or out / "cache")
    if recipe.packed and ranks.first:
        _pack(found, recipe.size, place, workers, on_packed)
    ranks.agree(None)  # so that what the first process writes is there
    images = _find_images(found, recipe, place)
    validator = Validator(found.val, found.root, str(where), recipe.batch_size, workers)
    curves: CurveWriter | None = None

    def note_epoch(state: TrainState) -> None:
        nonlocal curves
        curves = curves or CurveWriter(out, len(state.history) - 1)
        curves.add(state.history, state.best)
        on_epoch(state)

    try:
        state = train(
            model,
            images,
            recipe,
            out,
            validate=validator,
            resume=resume,
            device=where,
            workers=workers,
            save_every=save_every,
            on_batch=on_batch,
            on_epoch=note_epoch,
        )
    finally:
        if curves is not None:
            curves.close()
    calibration = None
    best = state.best or state.history[-1]
    unreadable = {**state.unreadable, **validator.unreadable}
    if ranks.first:
        if recipe.pick_threshold:
            calibration = _pick(out / RESULT, found, recipe, str(where), workers)
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


def saved_recipe(out: Path) -> Recipe:
    """Read the recipe of a run.

    Raises:
        ValueError: the folder holds no run
    """
    return load_recipe(str(out / RECIPE))


def _check_same(out: Path, recipe: Recipe, record: dict[str, Any]) -> None:
    """Refuse to go on with a run that another recipe or other data began."""
    before = saved_recipe(out)
    keys = differing_keys(before, recipe)
    if keys:
        raise ValueError(f"Expected the recipe of the run in {out} but {', '.join(keys)} differ")
    then = read_record(out)
    for key in ("data_sha256", "classes"):
        if then.get(key) != record[key]:
            raise ValueError(f"Expected the data of the run in {out} but the images differ ({key})")


def _begin(out: Path, recipe: Recipe, record: dict[str, Any], found: TrainingData) -> None:
    """Write down what a run is made of, before it begins."""
    out.mkdir(parents=True, exist_ok=True)
    write_record(out, record)
    (out / RECIPE).write_text(recipe.to_toml(), encoding="utf-8")
    (out / "validation.txt").write_text(
        "".join(f"{i}\n" for i in found.val.ids), encoding="utf-8", errors="surrogateescape"
    )


def _packed_file(found: TrainingData, size: int, folder: Path) -> Path:
    """Name the file of all training images, the held-out ones too, which runs may share."""
    return folder / f"{hash_images(found.whole, found.root)[:16]}-{packed_side(size)}.u8"


def _pack(
    found: TrainingData,
    size: int,
    folder: Path,
    workers: int,
    progress: Callable[[int], None],
) -> None:
    """Pack all training images, unless an earlier run did."""
    path = _packed_file(found, size, folder)
    if not path.is_file():
        pack_images(found.whole, found.root, packed_side(size), path, workers, progress)


def _find_images(found: TrainingData, recipe: Recipe, folder: Path) -> TrainingImages:
    """Open the packed images, or those of the files."""
    if recipe.packed:
        return PackedImages(found.train, _packed_file(found, recipe.size, folder))
    return SplitImages(found.train, found.root, side_needed(recipe.size, recipe.min_scale))


def _pick(
    weights: Path, found: TrainingData, recipe: Recipe, device: str, workers: int
) -> Calibration:
    from tdam import load_checkpoint

    model, _ = load_checkpoint(weights)
    source = NetworkMaps(
        model,
        found.val,
        found.root,
        model.spec.method,
        {label: label for label in range(len(found.class_names))},
        batch_size=recipe.batch_size,
        workers=workers,
        device=device,
    )
    chosen = calibrate(source)
    model.threshold = chosen.threshold
    save_checkpoint(model, weights)
    return chosen
