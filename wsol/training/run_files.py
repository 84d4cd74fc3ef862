"""The folder of a training run: what is written before it begins, held against it, and removed."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tdam.atomic import write_atomic
from tdam.training.recipe import Recipe, differing_keys, load_recipe
from tdam.training.run_folder import CHECKPOINTS, HASHES
from tdam.unfinished import LOG, RECIPE, RECORD
from tdam.weights import RESULT, WeightsError
from wsol.training.curves import CURVES, EVENTS
from wsol.training.distillation import TARGETS
from wsol.training.features import FEATURES
from wsol.training.image_list import TRAINED_ON, name_own_list
from wsol.training.record import add_session, list_sessions, read_record, write_record
from wsol.training.start import hash_start

if TYPE_CHECKING:
    from wsol.training.data import TrainingData

START = "start_sha256"  # key, in a run's record, of the weights that it started from
RUN_FILES = (
    *(RECIPE, RECORD, LOG, CURVES, EVENTS, RESULT, CHECKPOINTS),
    *FEATURES,
    *(TARGETS, HASHES, TRAINED_ON, name_own_list(Path(RESULT)).name, "validation.txt", "cache"),
)


def saved_recipe(out: Path) -> Recipe:
    """Read the recipe of a run.

    Raises:
        ValueError: the folder holds no run
    """
    return load_recipe(str(out / RECIPE))


def check_same_run(out: Path, recipe: Recipe, record: dict[str, Any]) -> None:
    """Refuse to go on with a run that another recipe, other data or other weights began.

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
    start = then.get(START)
    own = Path(recipe.weights).resolve().is_relative_to(out.resolve())  # which it replaced
    if start is not None and not own and start != _hash_now(recipe, start):
        raise ValueError(
            f"Expected the weights that the run in {out} started from but {recipe.weights} has "
            "changed since: put them back, or begin anew in another folder"
        )


def _hash_now(recipe: Recipe, otherwise: str) -> str | None:
    """Hash the weights that a run started from; those that are gone cannot have changed."""
    try:
        return hash_start(recipe)
    except WeightsError:
        return otherwise


def go_on(out: Path, record: dict[str, Any], step: int) -> dict[str, Any]:
    """Write down that a run goes on, and give its record.

    Args:
        out: folder of the run
        record: of `describe_run` as it is now; only where the data lies may be new
        step: that it goes on from
    """
    then = {**read_record(out), "data": record["data"], "root": record["root"]}
    kept = add_session(then, "train", record["machine"]["device"], step=step)
    write_record(out, kept)
    return kept


def discard(out: Path) -> None:
    """Remove what an earlier run wrote."""
    for name in RUN_FILES:
        path = out / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def begin(
    out: Path, recipe: Recipe, record: dict[str, Any], training_data: TrainingData
) -> dict[str, Any]:
    """Write down what a run is made of, before it begins, and give its whole record."""
    record = {**record, "sessions": list_sessions(record)}
    out.mkdir(parents=True, exist_ok=True)
    write_record(out, record)
    write_atomic(out / RECIPE, recipe.to_toml().encode())
    ids = "".join(f"{i}\n" for i in training_data.val.ids)
    write_atomic(out / "validation.txt", ids.encode("utf-8", "surrogateescape"))
    return record
