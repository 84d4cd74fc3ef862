"""Which images weights were trained on and chosen by, kept beside the run or the file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from eval.manifest import ManifestError
from tdam.atomic import write_atomic
from tdam.checkpoints import is_made_of_images
from tdam.shipped_weights import SHIPPED
from tdam.strict_json import dumps, loads
from tdam.training.recipe import load_recipe
from tdam.training.run_folder import CHECKPOINTS, read_hashes
from tdam.unfinished import RECIPE, RECORD
from tdam.weights import RESULT, WeightsError, find_weights
from wsol.fingerprints import hash_file, hash_images
from wsol.overlap import USES, ImageSet, find_overlaps, of_split
from wsol.training.data import load_training_data

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tdam.events import Events
    from tdam.training.recipe import Recipe
    from wsol.training.data import TrainingData

TRAINED_ON = "trained-on.json"
_MEASURED = "measured_sha256"  # key of a hash of the validation images


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
    if recipe.select != "last" or recipe.pick_threshold == "val":
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


def write_image_sets(
    folder: Path,
    sets: tuple[ImageSet, ...],
    unknown: Sequence[str] = (),
    measured_on: ImageSet | None = None,
) -> None:
    """Write path, size and hash of every image of a run, so that copies are known anywhere.

    Args:
        folder: of the run
        sets: of `list_image_sets`; the files are read
        unknown: of `list_unknown_start`
        measured_on: of `list_validation`; what only is measured may be scored, so that a hash of
            them all is enough
    """
    more = (
        {} if measured_on is None else {_MEASURED: hash_images(measured_on.ids, measured_on.paths)}
    )
    _write_list(folder / TRAINED_ON, sets, unknown, **more)


def check_same_images(folder: Path, sets: Iterable[ImageSet], measured_on: ImageSet) -> None:
    """Refuse to go on with a run on images of another content, wherever they lie by now.

    All files are read, as one epoch does: size and time of change do not tell content.

    Args:
        folder: of the run; nothing is held against one without a list
        sets: of `list_image_sets`, as the images are now
        measured_on: of `list_validation`

    Raises:
        ManifestError: a damaged list
        ValueError: other images, the first of which is named
    """
    path = folder / TRAINED_ON
    if not path.is_file():
        return
    content = _read_list(path)
    now = [each for each in sets if not each.past]  # without those of weights that it began with
    for then, each in zip(content.sets, now, strict=False):
        before = dict(zip(then.ids, then.hashes or (), strict=True))
        for image_id, digest in zip(each.ids, each.read().hashes or (), strict=True):
            if before.get(image_id) != digest:
                raise ValueError(
                    f"Expected the images of the run in {folder} but {image_id} has another "
                    "content: put the images back, or begin anew in another folder"
                )
    if content.measured_sha256 not in (None, hash_images(measured_on.ids, measured_on.paths)):
        raise ValueError(
            f"Expected the validation images of the run in {folder} but some have another "
            "content: put the images back, or begin anew in another folder"
        )


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
        sets of images; none where nothing is known, as of weights that the run beside them did
        not write, or of a run from before such lists whose data is gone or has changed

    Raises:
        ManifestError: a damaged list
    """
    return () if weights is None else _read_images(find_weights(weights))[0]


def list_unknown(weights: str | Path | None) -> tuple[str, ...]:
    """Name weights of our own training or calibration whose images are not known.

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
        return (str(weights),) if is_made_of_images(path) else ()
    except (WeightsError, ValueError, OSError):
        return ()  # whoever loads them says why they cannot be read


def find_weights_file(network: object) -> Path | None:
    """Tell which file or folder a network's weights were read from, if that is known."""
    path = getattr(network, "weights_file", None)
    return path if isinstance(path, Path) else None


def _read_images(path: Path) -> tuple[tuple[ImageSet, ...], tuple[str, ...]]:
    """Read the images of weights, and the names of weights before them whose images are missing."""
    file = path / RESULT if path.is_dir() else path
    spellings = tuple(dict.fromkeys((file.resolve(), file)))  # a link is of the run it leads to
    for file in spellings:
        content = _read_list(name_own_list(file)) if name_own_list(file).is_file() else None
        if content is not None and content.weights_sha256 == hash_file(str(file)):
            return content.sets, content.unknown
    folder = next(filter(None, map(_find_run, spellings)), None)
    if folder is None:
        return (), ()
    listed = folder / TRAINED_ON
    if not listed.is_file():
        return _list_again(folder)
    content = _read_list(listed)
    return content.sets, content.unknown


class _List(NamedTuple):
    """What a list holds: images, weights whose images it lacks, hashes of what it is of."""

    sets: tuple[ImageSet, ...]
    unknown: tuple[str, ...]
    weights_sha256: str | None
    measured_sha256: str | None


def _read_list(path: Path) -> _List:
    try:
        content = loads(path.read_text(encoding="utf-8"))
        sets = tuple(_to_set(each) for each in content["sets"])
        unknown = tuple(map(str, list(content.get("unknown", ()))))
        return _List(sets, unknown, content.get("weights_sha256"), content.get(_MEASURED))
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ManifestError(
            f"{path}: expected a list of the run's images but {error!r}; without the file nothing "
            "is known of them"
        ) from error


def _find_run(file: Path) -> Path | None:
    """Find the folder, around a file of weights, of the run that wrote it."""
    in_checkpoint = file.parent.parent.name == CHECKPOINTS
    folder = file.parents[2] if in_checkpoint else file.parent
    if not ((folder / TRAINED_ON).is_file() or (folder / RECORD).is_file()):
        return None
    try:
        hashes = read_hashes(folder)
    except (OSError, ValueError):
        return None
    if hashes is None:  # of a run from before it noted them, whose weights have a set name
        return folder if in_checkpoint or file.name == RESULT else None
    return folder if hash_file(str(file)) in hashes else None


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
