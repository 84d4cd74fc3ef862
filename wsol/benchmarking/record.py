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
from wsol.benchmarking.score_store import CHOSEN, SCORED, VARIANTS, digest_truth, read_variants
from wsol.evaluation.comparison import ResultError, read_results
from wsol.evaluation.image_results import LINES, NAMES, SCORES
from wsol.folder_lock import LOCK
from wsol.out_files import write_file
from wsol.training.record import read_record
from wsol.training.run_files import saved_recipe

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tdam.training.recipe import Recipe
    from wsol.training.data import TrainingData

Description = dict[tuple[Any, ...], Any]  # of `describe_data`

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


def list_other_choices(trained: Recipe, wanted: Recipe) -> list[str]:
    """Name the keys in which a run's recipe is not the experiment's, wherever it was trained.

    Args:
        trained: of the run
        wanted: of the experiment, with the run's seed
    """
    keys = set(differing_keys(_without_folder(trained), _without_folder(wanted)))
    if wanted.precision == "auto":
        keys.discard("precision")  # as the machine had it that trained
    return sorted(keys)


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
                for results in (folder / variant.results(part) for part in (CHOSEN, SCORED)):
                    parts += [results / part for part in (SCORES, LINES, NAMES)]
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
        recipe: that the run must have been trained with, its seed too, where the record knows;
            None for weights scored as they are

    Raises:
        ResultError: a damaged file, or a run of another recipe
    """
    clear_run(folder)
    with open_record(path) as file:
        for entry in file.infolist():
            first, *rest = PurePosixPath(entry.filename).parts
            if first == name and rest and rest[-1] in _PARTS and len(rest) in (1, 3, 4):
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
    keys = list_other_choices(before, recipe)
    if keys:
        raise ResultError(
            f"{path}: expected run {name} to have the experiment's recipe but "
            f"{', '.join(keys)} differ"
        )
    seed = read_training(folder).get("seed", recipe.seed)
    if type(seed) is not int or seed != recipe.seed:
        raise ResultError(
            f"{path}: expected run {name} to have seed {recipe.seed} but {TRAINING} has {seed!r}"
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


def find_odd_runs(told: Mapping[str, Description]) -> dict[str, str]:
    """Find the runs that are of other images than most.

    Trainings with the same choices of images (seed, val_share, per_class) have the same images.

    Args:
        told: `describe_data` of every run, by name

    Returns:
        by the name of a run, what it says otherwise than most runs; where as many say one thing as
        another, every run of them is odd
    """
    facts: dict[tuple[Any, ...], dict[str, list[str]]] = {}
    for name, description in told.items():
        for key, value in description.items():
            if value is not None:
                facts.setdefault(key, {}).setdefault(dumps(value), []).append(name)
    odd: dict[str, str] = {}
    for (*_, what), by_value in facts.items():
        most, *others = sorted(by_value.values(), key=len, reverse=True)
        if others and len(others[0]) == len(most):
            sides = " and ".join(", ".join(names) for names in (most, *others))
            reason = f"expected runs of the same images but {what} differ between {sides}, and "
            reason += "neither is the majority"
            odd |= {name: reason for names in (most, *others) for name in names} | odd
            continue
        reason = f"expected {what} as most runs have them ({', '.join(most)}) but they differ"
        odd |= {name: reason for names in others for name in names} | odd
    return odd


def describe_data(folder: Path) -> Description:
    """Tell what a run was trained, chosen by and scored on.

    Args:
        folder: of the run's scores

    Returns:
        by what makes runs comparable and the name of what they must share, its value; None where
        the record does not know

    Raises:
        ResultError: records of something else
    """
    told: Description = {}
    training, chosen = read_training(folder), None
    if training and (folder / RECIPE).is_file():
        recipe = load_recipe(str(folder / RECIPE))
        chosen = (recipe.seed, recipe.val_share, recipe.per_class)
        for what in ("data_sha256", "training_images", "validation_images"):
            told["training", chosen, what] = training.get(what)
    first = read_variants(folder)[0]
    for part in (CHOSEN, SCORED) if first.chooses else (SCORED,):
        results = read_results(folder / first.results(part), slim=True)
        split = results.scores.get("split")
        # What was held out depends on the choices of the training.
        of = (part, split, chosen if part == CHOSEN and split == "held out" else None)
        told |= {(*of, what): digest for what, digest in digest_truth(results).items()}
        for what in ("images_sha256", "contents_sha256"):
            told[(*of, what)] = results.scores.get(what)
        if of[2] is not None and training.get("validation_images") != len(results.rows):
            raise ResultError(
                f"{results.folder}: expected the {training.get('validation_images')} images that "
                f"were held out but got {len(results.rows)}"
            )
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
