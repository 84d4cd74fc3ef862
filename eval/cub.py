"""The tables of the official CUB-200-2011 download: paths, classes, official split, boxes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from eval.splits import ManifestError, leaves_root
from eval.tables import read_lines

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class CubImage:
    """One image of the download.

    Args:
        path: below the folder `images`
        label: rank of its class number among those of `classes.txt`
        train: it is in the official training set
        where: file and line of the box
        corners: x, y, x + width, y + height
    """

    path: str
    label: int
    train: bool
    where: str
    corners: tuple[float, float, float, float]


def read_cub(folder: Path) -> tuple[list[str], list[CubImage]]:
    """Read all tables; lines about images that `images.txt` does not list are passed over.

    Args:
        folder: with `images.txt`

    Returns:
        names by label, such as `001.Black_footed_Albatross`; images in the order of `images.txt`

    Raises:
        ManifestError: a missing file, or a line that breaks a rule
    """
    paths = _read_numbered(folder / "images.txt")
    names = _read_numbered(folder / "classes.txt")
    classes = _read_numbered(folder / "image_class_labels.txt")
    parts = _read_numbered(folder / "train_test_split.txt")
    boxes = _read_numbered(folder / "bounding_boxes.txt")
    labels = {number: label for label, number in enumerate(sorted(names))}
    found: dict[str, CubImage] = {}
    for number, (line, path) in paths.items():
        if leaves_root(path):
            raise ManifestError(f"{line}: expected a path below images but got {path!r}")
        if path in found:
            raise ManifestError(f"{line}: expected every image once but got {path!r} again")
        for table, file in (
            (classes, "image_class_labels.txt"),
            (parts, "train_test_split.txt"),
            (boxes, "bounding_boxes.txt"),
        ):
            if number not in table:
                raise ManifestError(
                    f"{folder / file}: expected a line for every image but {number} ({path}) has "
                    "none"
                )
        line, text = classes[number]
        if not text.isdecimal() or int(text) not in names:
            raise ManifestError(f"{line}: expected a class of classes.txt but got {text!r}")
        if path.split("/")[0] != names[int(text)][1]:
            raise ManifestError(
                f"{line}: expected the class of {path!r} but got {names[int(text)][1]!r}"
            )
        where, part = parts[number]
        if part not in ("0", "1"):
            raise ManifestError(f"{where}: expected 1 (train) or 0 (test) but got {part!r}")
        where, box = boxes[number]
        found[path] = CubImage(path, labels[int(text)], part == "1", where, _corners(where, box))
    return [names[number][1] for number in sorted(names)], list(found.values())


def _corners(where: str, text: str) -> tuple[float, float, float, float]:
    try:
        x, y, width, height = map(float, text.split())
    except ValueError:
        x = y = width = height = math.nan
    if not (math.isfinite(x + y + width + height) and width > 0 and height > 0):
        raise ManifestError(f"{where}: expected x y width height, with an area, but got {text!r}")
    return x, y, x + width, y + height


def _read_numbered(path: Path) -> dict[int, tuple[str, str]]:
    """Read lines `number rest`: (file and line, rest) by number."""
    found: dict[int, tuple[str, str]] = {}
    for where, text in read_lines(path):
        number, _, rest = text.partition(" ")
        if not number.isdecimal() or not rest or int(number) in found:
            raise ManifestError(f"{where}: expected a new number and a value but got {text!r}")
        found[int(number)] = where, rest.strip()
    return found
