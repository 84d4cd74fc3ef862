"""The folder of a training run: what is written before it begins, held against it, and removed."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

from tdam.atomic import write_atomic
from tdam.training.recipe import Recipe, differing_keys, load_recipe
from tdam.training.run_folder import CHECKPOINTS, LOG
from tdam.weights import RESULT
from wsol.training.curves import CURVES, EVENTS
from wsol.training.distillation import TARGETS
from wsol.training.record import RECORD, read_record, write_record

if TYPE_CHECKING:
    from pathlib import Path

    from wsol.training.data import TrainingData

RECIPE = "recipe.toml"
RUN_FILES = (
    *(RECIPE, RECORD, LOG, CURVES, EVENTS, RESULT, CHECKPOINTS),
    *(TARGETS, "validation.txt", "cache"),
)


def saved_recipe(out: Path) -> Recipe:
    """Read the recipe of a run.

    Raises:
        ValueError: the folder holds no run
    """
    return load_recipe(str(out / RECIPE))


def check_same_run(out: Path, recipe: Recipe, record: dict[str, Any]) -> None:
    """Refuse to go on with a run that another recipe or other data began.

    Args:
        out: folder of the run
        recipe: with everything resolved, as `prepare_recipe` does
        record: of `describe_run`

    Raises:
        ValueError: they differ, or the folder holds no run
    """
    before = saved_recipe(out)
    keys = differing_keys(before, recipe)
    if keys:
        raise ValueError(f"Expected the recipe of the run in {out} but {', '.join(keys)} differ")
    then = read_record(out)
    for key in ("data_sha256", "classes"):
        if then.get(key) != record[key]:
            raise ValueError(f"Expected the data of the run in {out} but the images differ ({key})")


def discard(out: Path) -> None:
    """Remove what an earlier run wrote."""
    for name in RUN_FILES:
        path = out / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def begin(out: Path, recipe: Recipe, record: dict[str, Any], training_data: TrainingData) -> None:
    """Write down what a run is made of, before it begins."""
    out.mkdir(parents=True, exist_ok=True)
    write_record(out, record)
    write_atomic(out / RECIPE, recipe.to_toml().encode())
    ids = "".join(f"{i}\n" for i in training_data.val.ids)
    write_atomic(out / "validation.txt", ids.encode("utf-8", "surrogateescape"))
