"""YOLO label files as one split: what people correct boxes in, back into a data set.

Where a label file's image lies is told in `eval.label_files`. A line is `class xc yc w h`, in
shares of the image's width and height, outer edges; a sixth column, the confidence, is passed over.
Of a line of three points or more, a segment or a turned box, the box around it counts. The classes'
names are those of a `data.yaml`, `obj.names` or `classes.txt` in the folder or above; lists such as
`train.txt` and notes are no label files unless an image has their name and they begin with a box.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from eval.box_edges import ROUNDED_SHARE, lies_in
from eval.label_files import ImagePairs, SeveralClassesError, list_label_files, make_split
from eval.parsing import read_yaml, show
from eval.splits import MOST_CLASSES, ManifestError, Split, is_text
from eval.tables import parse_float, parse_int, read_lines, read_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

_LISTS = ("classes", "train", "val", "valid", "test")  # names of lists of classes and images
_PROSE = ("readme", "notes")  # names of files for people begin so, such as README.roboflow.txt
_NAMES = ("data.yaml", "data.yml", "obj.names", "classes.txt")


def load_yolo(
    folder: Path,
    name: str,
    root: Path | None = None,
    skip: Callable[[str], object] | None = None,
    data: Path | None = None,
) -> tuple[Split, Path]:
    """Read a folder of label files.

    Args:
        folder: holds `.txt` files at any depth
        name: of the split
        root: where images lie that are not found beside the labels
        skip: is told of every image with boxes of several classes, and leaves it out; default:
            such an image is a fault
        data: as for `eval.label_files.ImagePairs`; ids are relative to the root then

    Returns:
        a split with boxes as first and last pixel, float64; an image whose file is empty has none
        and is left out, since nothing tells its class; and the folder that its ids are relative to

    Raises:
        ManifestError: a line that breaks a rule, an image with boxes of two classes, no image for
            a file, one image for two files, or no box at all
    """
    folder = folder.absolute()
    root = None if root is None else root.absolute()
    finder = ImagePairs(folder, root, data)
    pairs = pair_images(folder, finder)
    labels: list[int] = []
    shares: list[np.ndarray] = []
    images: list[Path] = []
    for path, image in pairs:
        try:
            label, boxes = _read_labels(path)
        except SeveralClassesError as error:
            if skip is None:
                raise
            skip(str(error))
            continue
        if label is None:
            continue
        if image is None:
            raise ManifestError(finder.tell_missing(path, "images/"))
        labels.append(label)
        shares.append(np.array(boxes))
        images.append(image)
    if not images:
        raise ManifestError(
            f"{folder}: expected boxes of one class an image but none of {len(pairs)} label files "
            "has any"
        )
    home = None if data is None else root
    split, home = make_split(name, images, labels, None, shares, home)
    class_names = read_names(folder, max(labels))
    if class_names is not None:
        _check_names(folder, class_names, labels)
    return replace(split, class_names=class_names), home


def _check_names(folder: Path, names: Sequence[str], labels: Iterable[int]) -> None:
    """See to it that no class that occurs has the name of another one."""
    numbers: dict[str, list[int]] = {}
    for number, name in enumerate(names):
        numbers.setdefault(name, []).append(number)
    for label in sorted(set(labels)):
        first, *more = numbers[names[label]]
        if more:
            raise ManifestError(
                f"{folder}: expected every class of `names` to have a name of its own but "
                f"{show(names[label])} is that of {first} and {more[0]}: rename one of them"
            )


def pair_images(folder: Path, finder: ImagePairs) -> list[tuple[Path, Path | None]]:
    """List the label files, each with its image, or None where there is none."""
    pairs: list[tuple[Path, Path | None]] = []
    for path in sorted(list_label_files(folder, ".txt")):
        image = finder.find(path)
        if _is_list(path.stem.lower()) and (image is None or not begins_with_a_box(path)):
            continue
        if image is not None:
            finder.claim(image, path)
        pairs.append((path, image))
    if not pairs:
        raise ManifestError(f"{folder}: expected label files (.txt) but there are none")
    return pairs


def begins_with_a_box(path: Path) -> bool:
    """Tell whether the first line of a file is that of a box."""
    try:
        lines = read_text(path).splitlines()
        first = next((line.split() for line in lines if line.strip()), [])
        return len([parse_float(field) for field in first]) >= 5
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
            raise SeveralClassesError(
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
            class_id = _parse_class(fields[0])
            numbers = [parse_float(field) for field in fields[1:]]
        except ValueError:
            class_id, numbers = -1, []
        if not 0 <= class_id <= MOST_CLASSES or len(numbers) < 4:
            raise ManifestError(f"{where}: expected class xc yc w h but got {show(line)}")
        confidence = numbers.pop() if len(numbers) % 2 else None
        if any(not -ROUNDED_SHARE <= each <= 1 + ROUNDED_SHARE for each in numbers):
            raise ManifestError(f"{where}: expected shares from 0 to 1 but got {show(line)}")
        if len(numbers) == 4:
            xc, yc, width, height = numbers
            edges = xc - width / 2, yc - height / 2, xc + width / 2, yc + height / 2
        else:
            xs, ys = numbers[::2], numbers[1::2]
            edges = min(xs), min(ys), max(xs), max(ys)
        if edges[0] >= edges[2] or edges[1] >= edges[3]:
            raise ManifestError(f"{where}: expected shares from 0 to 1 but got {show(line)}")
        if not lies_in(edges, (1, 1), ROUNDED_SHARE):
            raise ManifestError(f"{where}: expected a box in the image but got {show(line)}")
        yield where, class_id, edges, confidence


def _parse_class(text: str) -> int:
    """Read the number of a class, which some programs write as 1.0."""
    try:
        return parse_int(text)
    except ValueError:
        value = parse_float(text)
        return int(value) if value.is_integer() and abs(value) <= MOST_CLASSES else -1


def read_names(folder: Path, last: int) -> tuple[str, ...] | None:
    """Read the classes' names, if a file gives them: a `data.yaml`, or a list with one a line."""
    above = (folder, *folder.parents[:2])
    path = next((f / name for f in above for name in _NAMES if (f / name).is_file()), None)
    if path is None:
        return None
    if path.suffix in (".yaml", ".yml"):
        content = read_yaml(path)
        names = content.get("names") if isinstance(content, dict) else None
    else:
        names = [line for _, line in read_lines(path) if line]
    if isinstance(names, list):
        names = dict(enumerate(names))
    if isinstance(names, dict):
        names = _number_names(path, names)
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


def _number_names(path: Path, names: dict[object, object]) -> dict[object, object]:
    """Turn keys that are numbers in quotes into numbers."""
    numbered: dict[object, object] = {}
    for key, name in names.items():
        try:
            number: object = parse_int(key) if isinstance(key, str) else key
        except ValueError:
            number = key
        if number in numbered:
            raise ManifestError(f"{path}: expected every class of `names` once but got {show(key)}")
        numbered[number] = name
    return numbered
