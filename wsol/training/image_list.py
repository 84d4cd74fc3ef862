"""Which images weights were trained on and chosen by, kept beside the run or the file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eval.manifest import ManifestError
from tdam.atomic import write_atomic
from tdam.checkpoints import read_class_names
from tdam.strict_json import dumps, loads
from tdam.training.recipe import load_recipe
from tdam.training.run_folder import CHECKPOINTS
from tdam.unfinished import RECIPE, RECORD
from tdam.weights import RESULT, SHIPPED, WeightsError, find_weights
from wsol.overlap import USES, ImageSet, find_overlaps, hash_file, of_split
from wsol.training.data import load_training_data

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tdam.events import Events
    from tdam.training.recipe import Recipe
    from wsol.training.data import TrainingData

TRAINED_ON = "trained-on.json"


def list_image_sets(training_data: TrainingData, recipe: Recipe, run: str) -> tuple[ImageSet, ...]:
    """List the images that a training depends on, those of the run that it begins with too.

    Args:
        training_data: what is learned from, and what the epoch is chosen by
        recipe: of the training, which may choose nothing by validation images
        run: its name, for messages

    Raises:
        ManifestError: a damaged list of the run that it begins with
    """
    name = f"the training images of {run}"
    sets = [of_split(training_data.train, "training", training_data.root, name)]
    if recipe.select != "last" or recipe.pick_threshold:
        sets.append(list_validation(training_data, run))
    before = () if not recipe.starts_from_file else read_image_sets(recipe.weights)
    return (*sets, *before)


def list_validation(training_data: TrainingData, run: str) -> ImageSet:
    """List the images that a training measures itself on."""
    name = f"the validation images of {run}"
    return of_split(training_data.val, "choosing", training_data.root, name)


def warn_of_splits(training_data: TrainingData, sets: Iterable[ImageSet], events: Events) -> None:
    """Say which images of the data set's other splits, which may be scored one day, are trained on.

    Args:
        training_data: a data set, of which a split `test` is no part of the training
        sets: of `list_image_sets`
        events: told
    """
    source = training_data.source
    others = set(source.splits) - {training_data.train.name, training_data.val.name}
    if training_data.train.name not in source.splits:
        return
    for name in sorted(others):
        try:
            scored = of_split(source.load(name), "scoring", training_data.root)
        except ManifestError:
            continue  # of no concern to a training
        for line in find_overlaps([scored, *(each for each in sets if each.use == "training")]):
            events.say(f"{name} cannot be scored with these weights but by --allow-overlap: {line}")


def list_unknown_start(recipe: Recipe) -> tuple[str, ...]:
    """Name the weights that a training begins with, or that these began with, as `list_unknown`."""
    return () if not recipe.starts_from_file else list_unknown(recipe.weights)


def write_image_sets(folder: Path, sets: tuple[ImageSet, ...], unknown: Sequence[str] = ()) -> None:
    """Write path, size and hash of every image of a run, so that copies are known anywhere.

    Args:
        folder: of the run
        sets: of `list_image_sets`; the files are read
        unknown: of `list_unknown_start`
    """
    _write_list(folder / TRAINED_ON, sets, unknown)


def write_own_list(weights: Path, sets: Sequence[ImageSet], unknown: Sequence[str] = ()) -> None:
    """Write the images of one file of weights beside it, named after it, with its hash.

    Args:
        weights: the file, as it stays
        sets: of its images; the files are read
        unknown: weights whose images are among them, but not known
    """
    digest = hash_file(str(weights))
    _write_list(name_own_list(weights), sets, unknown, weights_sha256=digest)


def name_own_list(weights: Path) -> Path:
    """Name the list of one file of weights, which may lie beside others."""
    return weights.with_suffix(f".{TRAINED_ON}")


def _write_list(
    path: Path, sets: Sequence[ImageSet], unknown: Sequence[str], **more: str | None
) -> None:
    content = []
    for each in map(ImageSet.read, sets):
        rows = zip(each.ids, each.sizes or (), each.hashes or (), strict=True)
        root = None if each.root is None else str(each.root.resolve())
        content.append({"name": each.name, "use": each.use, "root": root, "images": list(rows)})
    head = {"schema": 1, **more, **({"unknown": list(unknown)} if unknown else {})}
    text = dumps({**head, "sets": content}, separators=(",", ":")).replace("],[", "],\n[")
    write_atomic(path, f"{text}\n".encode())


def read_image_sets(weights: str | Path | None) -> tuple[ImageSet, ...]:
    """Tell which images weights depend on, as far as a list beside them or their run knows.

    Args:
        weights: a run's folder, a file in it, or any other weights; None for a network that was
            read from no file

    Returns:
        sets of images; none where nothing is known, as of weights whose run is not beside them, or
        of a run from before such lists whose data is gone or has changed

    Raises:
        ManifestError: a damaged list
    """
    return () if weights is None else _read_images(find_weights(weights))[0]


def list_unknown(weights: str | Path | None) -> tuple[str, ...]:
    """Name weights of our own training whose images are not known.

    Networks that come along, and those of other programs, tell elsewhere what they learned from.

    Args:
        weights: as for `read_image_sets`

    Returns:
        these weights, or others that they began with; nothing where all is known

    Raises:
        ManifestError: a damaged list
    """
    if weights is None:
        return ()
    path = find_weights(weights)
    sets, unknown = _read_images(path)
    if sets or path.parent == SHIPPED:
        return unknown
    try:
        return () if read_class_names(path) is None else (str(weights),)
    except (WeightsError, ValueError, OSError):
        return ()  # whoever loads them says why they cannot be read


def find_weights_file(network: object) -> Path | None:
    """Tell which file or folder a network's weights were read from, if that is known."""
    path = getattr(network, "weights_file", None)
    return path if isinstance(path, Path) else None


def _read_images(path: Path) -> tuple[tuple[ImageSet, ...], tuple[str, ...]]:
    """Read the images of weights, and the names of weights before them whose images are missing."""
    for each in dict.fromkeys((path, path.resolve())):
        file = each / RESULT if each.is_dir() else each
        content = _read_list(name_own_list(file)) if name_own_list(file).is_file() else None
        if content is not None and content[2] == hash_file(str(file)):
            return content[:2]
    folder = _find_run(path)
    if folder is None:
        return (), ()
    listed = folder / TRAINED_ON
    return _read_list(listed)[:2] if listed.is_file() else _list_again(folder)


def _read_list(path: Path) -> tuple[tuple[ImageSet, ...], tuple[str, ...], str | None]:
    """Read a list: its sets, the weights whose images it lacks, and the hash of those it is of."""
    try:
        content = loads(path.read_text(encoding="utf-8"))
        sets = tuple(_to_set(each) for each in content["sets"])
        unknown = tuple(map(str, list(content.get("unknown", ()))))
        return sets, unknown, content.get("weights_sha256")
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ManifestError(
            f"{path}: expected a list of the run's images but {error!r}; without the file nothing "
            "is known of them"
        ) from error


def _find_run(path: Path) -> Path | None:
    """Find the folder of the run that weights are of, be they a link to it or a checkpoint."""
    for each in dict.fromkeys((path, path.resolve())):
        folder = each if each.is_dir() else each.parent
        if folder.parent.name == CHECKPOINTS:
            folder = folder.parent.parent
        if (folder / TRAINED_ON).is_file() or (folder / RECORD).is_file():
            return folder
    return None


def _to_set(content: dict[str, Any]) -> ImageSet:
    rows = content["images"]
    root, name, use = content["root"], str(content["name"]), content["use"]
    if use not in USES or not all(
        isinstance(image_id, str)
        and isinstance(size, int)
        and (digest is None or isinstance(digest, str))
        for image_id, size, digest in rows
    ):
        raise ValueError("a record of another form")
    ids, sizes, hashes = (tuple(row[column] for row in rows) for column in range(3))
    return ImageSet(name, use, ids, None if root is None else Path(root), sizes, hashes, past=True)


def _list_again(folder: Path) -> tuple[tuple[ImageSet, ...], tuple[str, ...]]:
    """List the images of a run that kept no list, if its data is there as it was."""
    try:
        record = loads((folder / RECORD).read_text(encoding="utf-8"))
        recipe = load_recipe(str(folder / RECIPE))
        training_data = load_training_data(
            record["data"], record["root"], recipe.val_share, recipe.seed, recipe.per_class
        )
        known = training_data.digest() == record["data_sha256"]
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return (), ()
    if not known:
        return (), ()
    sets = list_image_sets(training_data, recipe, folder.resolve().name)
    return tuple(replace(each, past=True) for each in sets), list_unknown_start(recipe)
