"""A record: what became of every image in the runs of an experiment, in one file beside it.

Tables, intervals and differences can be made from it again, without data, weights or training.
"""

from __future__ import annotations

import shutil
import zipfile
from io import BytesIO
from pathlib import Path, PurePath, PurePosixPath
from typing import TYPE_CHECKING, Any

from eval.parsing import read_json
from eval.splits import ManifestError
from tdam.strict_json import dumps
from tdam.training.recipe import differing_keys, load_recipe
from tdam.unfinished import RECIPE
from wsol.benchmarking.record_file import copy_entry, open_record
from wsol.benchmarking.score_store import CHOSEN, SCORED, VARIANTS, read_scores, read_variants
from wsol.evaluation.comparison import ResultError
from wsol.evaluation.image_results import LINES, NAMES, SCORES
from wsol.folder_lock import LOCK
from wsol.out_files import write_file
from wsol.training.record import read_record
from wsol.training.run_files import saved_recipe

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tdam.training.recipe import Recipe
    from wsol.training.data import TrainingData

TRAINING = "training.json"  # what a run was made of, without paths of this machine
_PARTS = (VARIANTS, RECIPE, TRAINING, SCORES, LINES, NAMES)
_TOLD = (
    "training_images", "validation_images", "held_out", "data_sha256", "start_sha256", "seed",
    "versions", "machine", "revision", "sessions", "result", "overlaps",
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
    with open_record(path) as file:
        names = [PurePosixPath(entry.filename).parts for entry in file.infolist()]
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
    with open_record(path) as file:
        for entry in file.infolist():
            first, *rest = PurePosixPath(entry.filename).parts
            if first == name and rest and rest[-1] in _PARTS and len(rest) in (1, 3):
                target = folder.joinpath(*rest)
                target.parent.mkdir(parents=True, exist_ok=True)
                try:
                    copy_entry(file, entry, target)
                except ResultError as error:
                    raise ResultError(f"{path}: run {name} is damaged ({error})") from error
    if recipe is None or not (folder / RECIPE).is_file():
        return
    try:
        before = load_recipe(str(folder / RECIPE))
    except (ValueError, RecursionError) as error:
        raise ResultError(f"{path}: run {name}: {error}") from error
    keys = set(differing_keys(before, _without_folder(recipe)))
    if recipe.precision == "auto":
        keys.discard("precision")  # as the machine had it that trained
    if keys:
        raise ResultError(
            f"{path}: expected run {name} to have the experiment's recipe but "
            f"{', '.join(sorted(keys))} differ"
        )


def read_training(folder: Path) -> dict[str, Any]:
    """Read what a run's training was made of; empty for weights that were scored as they are.

    Args:
        folder: of the run's scores

    Raises:
        ResultError: the file is broken
    """
    path = folder / TRAINING
    if not path.is_file():
        return {}
    try:
        content = read_json(path)
    except ManifestError as error:
        raise ResultError(f"{path}: expected what a training was made of but {error}") from error
    if not isinstance(content, dict):
        raise ResultError(f"{path}: expected what a training was made of but it is no record")
    return content


def check_same_data(folders: Mapping[str, Path], name: str) -> None:
    """Refuse a run that was trained or scored on other images than the runs before it.

    Trainings with the same choices of images (seed, val_share, per_class) have the same images.

    Args:
        folders: of the scores by name of the run, the one in question too
        name: of the run in question

    Raises:
        ResultError: it names the other run and what differs
    """
    mine = _describe_data(folders[name])
    for other, folder in folders.items():
        theirs = _describe_data(folder) if other != name else {}
        for key in mine.keys() & theirs.keys():
            for what, value in mine[key].items():
                then = theirs[key].get(what)
                if None not in (value, then) and value != then:
                    raise ResultError(
                        f"{folders[name]}: expected {what} {then!r}, as {other} has it, but got "
                        f"{value!r}"
                    )


def _describe_data(folder: Path) -> dict[tuple[Any, ...], dict[str, Any]]:
    """Tell what a run is of, by what makes runs comparable."""
    told: dict[tuple[Any, ...], dict[str, Any]] = {}
    training = read_training(folder)
    if training and (folder / RECIPE).is_file():
        recipe = load_recipe(str(folder / RECIPE))
        keys = ("data_sha256", "training_images", "validation_images")
        chosen = (recipe.seed, recipe.val_share, recipe.per_class)
        told[chosen] = {key: training.get(key) for key in keys}
    first = read_variants(folder)[0]
    for part in (CHOSEN, SCORED) if first.chooses else (SCORED,):
        scores = read_scores(folder / first.folder / part)
        split = (part, scores.get("split"))
        if part == SCORED or scores.get("split") != "held out":
            told[split] = {"images_sha256": scores.get("images_sha256")}
    return told


def check_training(told: Mapping[str, Any], used: TrainingData, folder: Path) -> None:
    """Refuse a run that was trained on other images than the data has.

    Args:
        told: of `read_training`
        used: what a training of this run's recipe uses
        folder: of the run's scores, for the message

    Raises:
        ResultError: it names what differs
    """
    now = {
        "data_sha256": used.digest(),
        "training_images": len(used.train),
        "validation_images": len(used.val),
    }
    for key, value in now.items():
        if told.get(key) != value:
            raise ResultError(
                f"{folder}: expected {key} {value!r}, as the data has it, but got {told.get(key)!r}"
            )
