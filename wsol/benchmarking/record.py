"""A record: what became of every image in the runs of an experiment, in one file beside it.

Tables, intervals and differences can be made from it again, without data, weights or training.
"""

from __future__ import annotations

import shutil
import zipfile
import zlib
from io import BytesIO
from pathlib import Path, PurePath, PurePosixPath
from typing import TYPE_CHECKING

from tdam.strict_json import dumps
from tdam.training.recipe import differing_keys, load_recipe
from tdam.unfinished import RECIPE
from wsol.benchmarking.score_store import VARIANTS, read_variants
from wsol.evaluation.comparison import ResultError
from wsol.evaluation.image_results import LINES, NAMES, SCORES
from wsol.folder_lock import LOCK
from wsol.out_files import write_file
from wsol.training.record import read_record
from wsol.training.run_files import saved_recipe

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tdam.training.recipe import Recipe

TRAINING = "training.json"  # what a run was made of, without paths of this machine
_TOLD = (
    "training_images", "validation_images", "data_sha256", "start_sha256", "seed", "versions",
    "machine", "revision", "sessions", "result", "overlaps",
)  # fmt: skip


def note_training(scores: Path, run: Path | None) -> None:
    """Put recipe and provenance of a training beside the scores of its weights.

    Args:
        scores: folder of the scores
        run: folder of the training; None for weights that were scored as they are
    """
    for name in (RECIPE, TRAINING):
        (scores / name).unlink(missing_ok=True)
    if run is None:
        return
    write_file(scores / RECIPE, _without_folder(saved_recipe(run)).to_toml())
    told = {key: value for key, value in read_record(run).items() if key in _TOLD}
    write_file(scores / TRAINING, dumps(told, indent=1) + "\n")


def _without_folder(recipe: Recipe) -> Recipe:
    """Name the file that a training began with, but not its folder."""
    return recipe.change(weights=PurePath(recipe.weights).name)


def write_record(path: Path, scores: Mapping[str, Path]) -> None:
    """Put the scores of runs into one file, the same bytes for the same scores.

    Args:
        path: of the file
        scores: folder of each run's scores, by the run's name
    """
    content = BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as file:
        for name, folder in sorted(scores.items()):
            parts = [folder / VARIANTS, folder / RECIPE, folder / TRAINING]
            for variant in read_variants(folder):
                for scores_file in sorted((folder / variant.folder).glob(f"*/{SCORES}")):
                    parts += [scores_file.with_name(part) for part in (SCORES, LINES, NAMES)]
            for part in filter(Path.is_file, parts):
                inner = part.relative_to(folder).as_posix()
                file.writestr(_entry(f"{name}/{inner}"), part.read_bytes())
    write_file(path, content.getvalue())


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))  # not the time: equal scores, equal bytes
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    return entry


def list_recorded(path: Path) -> list[str]:
    """Name the runs in a record; none where there is no such file.

    Raises:
        ResultError: the file is no record
    """
    if not path.is_file():
        return []
    try:
        with zipfile.ZipFile(path) as file:
            names = [PurePosixPath(name).parts for name in file.namelist()]
    except (OSError, zipfile.BadZipFile) as error:
        raise ResultError(f"{path}: expected a record of an experiment but {error}") from error
    return sorted({parts[0] for parts in names if parts[1:] == (VARIANTS,)})


def clear_run(folder: Path) -> None:
    """Remove what was unpacked into a run's folder, but not the lock that holds it."""
    for old in folder.iterdir():
        if old.is_dir():
            shutil.rmtree(old)
        elif old.name != LOCK:
            old.unlink()


def unpack_run(path: Path, name: str, folder: Path, recipe: Recipe | None) -> None:
    """Take a run's scores out of a record, in place of those that the folder had.

    Args:
        path: of the record
        name: of the run
        folder: for the scores; exists
        recipe: that the run must have been trained with, where the record knows; None for weights
            scored as they are

    Raises:
        ResultError: a damaged file, or a run of another recipe
    """
    clear_run(folder)
    try:
        with zipfile.ZipFile(path) as file:
            for entry in file.infolist():
                first, *rest = PurePosixPath(entry.filename).parts
                if first != name or not rest or ".." in rest or entry.is_dir():
                    continue
                target = folder.joinpath(*rest)
                target.parent.mkdir(parents=True, exist_ok=True)
                write_file(target, file.read(entry), sync=False)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise ResultError(f"{path}: run {name} is damaged ({error})") from error
    if recipe is None or not (folder / RECIPE).is_file():
        return
    before = load_recipe(str(folder / RECIPE))
    keys = set(differing_keys(before, _without_folder(recipe)))
    if recipe.precision == "auto":
        keys.discard("precision")  # as the machine had it that trained
    if keys:
        raise ResultError(
            f"{path}: expected run {name} to have the experiment's recipe but "
            f"{', '.join(sorted(keys))} differ"
        )
