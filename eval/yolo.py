"""YOLO label files as one split: what people correct boxes in, back into a data set.

A label file lies below `labels/` and its image at the same path below `images/`; or both lie side
by side; or the images lie below a root of their own, where as much of the label file's path
counts as there is. A line is `class xc yc w h`, in shares of the image's width and height, outer
edges; a sixth column, the confidence, is passed over. The classes' names are those of a
`data.yaml`, `obj.names` or `classes.txt` in the folder or above; lists such as `train.txt` and
notes are no label files unless an image has their name and they begin with a box.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn
from unicodedata import normalize

import numpy as np

from eval.headers import read_headers
from eval.image_names import SUFFIXES, is_passed_over, walk_folders
from eval.parsing import read_yaml, show
from eval.splits import MOST_CLASSES, ManifestError, Split, is_text
from eval.tables import parse_float, parse_int, read_lines, read_text
from eval.written_files import WrittenFiles, warn_of_written

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_LISTS = ("classes", "train", "val", "test")  # names of lists of classes and images
_PROSE = ("readme", "notes")  # names of files for people begin so, such as README.roboflow.txt
_NAMES = ("data.yaml", "obj.names", "classes.txt")


def load_yolo(
    folder: Path,
    name: str,
    root: Path | None = None,
    skip: Callable[[str], object] | None = None,
) -> tuple[Split, Path]:
    """Read a folder of label files.

    Args:
        folder: holds `.txt` files at any depth
        name: of the split
        root: where images lie that are not found by the rule above, by the same stem
        skip: is told of every image with boxes of several classes, and leaves it out; default:
            such an image is a fault

    Returns:
        a split with boxes as first and last pixel, float64; an image whose file is empty has none
        and is left out, since nothing tells its class; and the folder that its ids are relative to

    Raises:
        ManifestError: a line that breaks a rule, an image with boxes of two classes, no image for
            a file, one image for two files, or no box at all
    """
    folder = folder.absolute()
    pairs = pair_images(folder, None if root is None else root.absolute())
    labels: list[int] = []
    shares: list[np.ndarray] = []
    images: list[Path] = []
    for path, image in pairs:
        try:
            label, boxes = _read_labels(path)
        except _SeveralClassesError as error:
            if skip is None:
                raise
            skip(str(error))
            continue
        if label is None:
            continue
        if image is None:
            raise ManifestError(
                f"{path}: expected its image beside it, or in images/, or below --root"
            )
        labels.append(label)
        shares.append(np.array(boxes))
        images.append(image)
    if not images:
        raise ManifestError(
            f"{folder}: expected boxes of one class an image but none of {len(pairs)} label files "
            "has any"
        )
    sizes = np.array([header.upright for header in read_headers(images)], np.int64)
    home = Path(os.path.commonpath([path.parent for path in images]))
    split = Split(
        name,
        tuple(path.relative_to(home).as_posix() for path in images),
        np.array(labels, np.int64),
        sizes,
        tuple(_to_pixels(each, size) for each, size in zip(shares, sizes, strict=True)),
        class_names=read_names(folder, max(labels)),
    )
    return split, home


class _SeveralClassesError(ManifestError):
    """An image has boxes of more than one class."""


def pair_images(folder: Path, root: Path | None) -> list[tuple[Path, Path | None]]:
    """List the label files, each with its image, or None where there is none."""
    images_of = cache(_list_images)
    owners: dict[Path, Path] = {}
    pairs: list[tuple[Path, Path | None]] = []
    for path in sorted(_list_texts(folder)):
        images = (_find_image(each, images_of) for each in _list_candidates(path, folder, root))
        image = next((each for each in images if each is not None), None)
        if _is_list(path.stem.lower()) and (image is None or not _begins_with_a_box(path)):
            continue
        if image is not None and owners.setdefault(image, path) != path:
            raise ManifestError(
                f"{path}: expected an image of its own but {image} is that of {owners[image]}; "
                "images below --root must lie in the same folders as their labels"
            )
        pairs.append((path, image))
    if not pairs:
        raise ManifestError(f"{folder}: expected label files (.txt) but there are none")
    return pairs


def _list_texts(folder: Path) -> Iterator[Path]:
    told: list[Path] = []
    written = WrittenFiles(told.append, ".txt")
    for current, names in walk_folders(folder, _raise, written):
        yield from (current / name for name in names if name.endswith(".txt"))
    warn_of_written(told)


def _raise(error: OSError) -> NoReturn:
    raise ManifestError(f"{error.filename}: cannot be read ({error.strerror})") from error


def _find_image(candidate: Path, images_of: Callable[[Path], dict[str, Path]]) -> Path | None:
    """Find the image at a path, under any suffix."""
    image = images_of(candidate.parent).get(normalize("NFC", candidate.stem))
    alike = (candidate.with_name(f"{candidate.stem}{suffix}") for suffix in SUFFIXES)
    return image or next((path for path in alike if path.is_file()), None)  # as the disk has it


def _list_images(folder: Path) -> dict[str, Path]:
    """List the images of a folder by their stems; of two with one stem the commoner format."""
    order = {suffix: rank for rank, suffix in enumerate(SUFFIXES)}
    files = folder.iterdir() if folder.is_dir() else ()
    images = [p for p in files if p.suffix.lower() in order and not is_passed_over(p.name)]
    images.sort(key=lambda path: (-order[path.suffix.lower()], path.name))
    return {normalize("NFC", path.stem): path for path in images}


def _list_candidates(path: Path, folder: Path, root: Path | None) -> list[Path]:
    """List where the image of a label file may lie, under any suffix, the likeliest first."""
    parts = path.parts
    candidates = [path]
    if "labels" in parts:
        last = len(parts) - 1 - parts[::-1].index("labels")
        candidates.append(Path(*parts[:last], "images", *parts[last + 1 :]))
    if root is not None:
        inside = path.relative_to(folder).parts
        candidates += [root.joinpath(*inside[i:]) for i in range(len(inside))]
    return candidates


def _begins_with_a_box(path: Path) -> bool:
    """Tell whether the first line of a file is that of a box."""
    try:
        lines = read_text(path).splitlines()
        first = next((line.split() for line in lines if line.strip()), [])
        return len([parse_float(field) for field in first]) in (5, 6)
    except (OSError, ValueError):
        return False


def _is_list(stem: str) -> bool:
    return stem in _LISTS or stem.split(".")[0] in _PROSE


def _read_labels(path: Path) -> tuple[int | None, list[tuple[float, float, float, float]]]:
    """Read one file: the class of its boxes, None without one, and their shares."""
    label: int | None = None
    boxes: list[tuple[float, float, float, float]] = []
    for where, class_id, edges, _ in read_label_file(path):
        if label not in (None, class_id):
            raise _SeveralClassesError(
                f"{where}: expected boxes of one class an image, its label, but got "
                f"{label} and {class_id}"
            )
        label = class_id
        boxes.append(edges)
    return label, boxes


def read_label_file(
    path: Path,
) -> Iterator[tuple[str, int, tuple[float, float, float, float], float | None]]:
    """Read the boxes of one image.

    Yields:
        file and line, class, outer edges x0 y0 x1 y1 in shares of the image, and the confidence

    Raises:
        ManifestError: a line that breaks a rule
    """
    for where, line in read_lines(path):
        fields = line.split()
        if not fields:
            continue
        try:
            class_id = parse_int(fields[0])
            xc, yc, width, height = (parse_float(field) for field in fields[1:5])
            confidence = parse_float(fields[5]) if len(fields) == 6 else None
        except ValueError:
            class_id = -1
        if not 0 <= class_id <= MOST_CLASSES or len(fields) not in (5, 6):
            raise ManifestError(f"{where}: expected class xc yc w h but got {show(line)}")
        if not (0 < width <= 1 and 0 < height <= 1 and 0 <= xc <= 1 and 0 <= yc <= 1):
            raise ManifestError(f"{where}: expected shares from 0 to 1 but got {show(line)}")
        edges = xc - width / 2, yc - height / 2, xc + width / 2, yc + height / 2
        if min(edges) < -0.01 or max(edges) > 1.01:
            raise ManifestError(f"{where}: expected a box in the image but got {show(line)}")
        yield where, class_id, edges, confidence


def _to_pixels(edges: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Turn shares between outer edges into first and last pixel."""
    limits = np.tile(size, 2).astype(np.float64)
    boxes = np.clip(edges * limits, 0, limits)
    return boxes - np.array([0, 0, 1, 1])


def read_names(folder: Path, last: int) -> tuple[str, ...] | None:
    """Read the classes' names, if a file gives them: a `data.yaml`, or a list with one a line."""
    above = (folder, *folder.parents[:2])
    path = next((f / name for f in above for name in _NAMES if (f / name).is_file()), None)
    if path is None:
        return None
    if path.suffix == ".yaml":
        content = read_yaml(path)
        names = content.get("names") if isinstance(content, dict) else None
    else:
        names = [line for _, line in read_lines(path) if line]
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or any(label not in names for label in range(last + 1)):
        raise ManifestError(f"{path}: expected `names` for classes 0 to {last}")
    for label, name in names.items():
        if type(label) is not int or not isinstance(name, (str, int, float)):
            raise ManifestError(
                f"{path}: expected `names` to be texts by number but got {show({label: name})}"
            )
        if not is_text(str(name)):
            raise ManifestError(f"{path}: expected `names` to be texts but got {show(name)}")
    return tuple(str(names[label]) for label in sorted(names))
