"""YOLO label files as one split: what people correct boxes in, back into a data set.

A label file lies among `labels/`, its image at the same place among `images/`; or both lie beside
each other; or the images lie below a root of their own. A line is `class xc yc w h`, in shares of
the image's width and height, outer edges; a sixth column, the confidence, is passed over. The
classes' names are those of a `data.yaml`, `obj.names` or `classes.txt` in the folder or above.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import yaml

from eval.folders import SUFFIXES
from eval.headers import read_headers
from eval.splits import ManifestError, Split

_NEVER = ("classes", "train", "val", "test")  # what lists are called
_PROSE = ("readme", "notes")  # what begins so is for people, such as README.roboflow.txt
_NAMES = ("data.yaml", "obj.names", "classes.txt")


def load_yolo(folder: Path, name: str, root: Path | None = None) -> tuple[Split, Path]:
    """Read a folder of label files.

    Args:
        folder: holds `.txt` files at any depth
        name: of the split
        root: where images lie that are not found by the rule above, by the same stem

    Returns:
        a split with boxes as first and last pixel, float64; an image whose file is empty has none
        and is left out, since nothing tells its class; and the folder that its ids are relative to

    Raises:
        ManifestError: a line that breaks a rule, an image with boxes of two classes, no image for
            a file, or no box at all
    """
    folder = folder.absolute()
    root = None if root is None else root.absolute()
    files = sorted(path for path in folder.rglob("*.txt") if _has_labels(path.stem.lower()))
    if not files:
        raise ManifestError(f"{folder}: expected label files (.txt) but there are none")
    labels: list[int] = []
    found: list[list[tuple[float, float, float, float]]] = []
    images: list[Path] = []
    for path in files:
        label, boxes = _read_labels(path)
        if label is not None:
            labels.append(label)
            found.append(boxes)
            images.append(_find_image(path, folder, root))
    if not images:
        raise ManifestError(f"{folder}: expected boxes but all {len(files)} label files are empty")
    sizes = np.array([header.upright for header in read_headers(images)], np.int64)
    home = Path(os.path.commonpath([path.parent for path in images]))
    split = Split(
        name,
        tuple(path.relative_to(home).as_posix() for path in images),
        np.array(labels, np.int64),
        sizes,
        tuple(_to_pixels(each, size) for each, size in zip(found, sizes, strict=True)),
        class_names=_read_names(folder, max(labels)),
    )
    return split, home


def _has_labels(stem: str) -> bool:
    return stem not in _NEVER and stem.split(".")[0] not in _PROSE


def _read_labels(path: Path) -> tuple[int | None, list[tuple[float, float, float, float]]]:
    """Read one file: the class of its boxes, None without one, and their shares."""
    label: int | None = None
    boxes: list[tuple[float, float, float, float]] = []
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path}: cannot be read ({error})") from error
    for number, line in enumerate(lines, start=1):
        fields = line.split()
        if not fields:
            continue
        try:
            found = int(fields[0])
            xc, yc, width, height = (float(field) for field in fields[1:5])
        except ValueError:
            found = -1
        if found < 0 or len(fields) not in (5, 6):
            raise ManifestError(f"{path}:{number}: expected class xc yc w h but got {line!r}")
        if not (0 < width <= 1 and 0 < height <= 1 and 0 <= xc <= 1 and 0 <= yc <= 1):
            raise ManifestError(f"{path}:{number}: expected shares from 0 to 1 but got {line!r}")
        if label not in (None, found):
            raise ManifestError(
                f"{path}:{number}: expected boxes of one class an image, its label, but got "
                f"{label} and {found}"
            )
        label = found
        edges = xc - width / 2, yc - height / 2, xc + width / 2, yc + height / 2
        if min(edges) < -0.01 or max(edges) > 1.01:
            raise ManifestError(f"{path}:{number}: expected a box in the image but got {line!r}")
        boxes.append(edges)
    return label, boxes


def _find_image(path: Path, folder: Path, root: Path | None) -> Path:
    """Find the image that a label file is about."""
    inside = path.relative_to(folder)
    parts = path.parts
    places = [path]
    if "labels" in parts:
        last = len(parts) - 1 - parts[::-1].index("labels")
        places.append(Path(*parts[:last], "images", *parts[last + 1 :]))
    if root is not None:
        places += [root / inside, root / inside.name]
    for place in places:
        for suffix in SUFFIXES:
            for each in (suffix, suffix.upper()):
                candidate = place.with_suffix(each)
                if candidate.is_file():
                    return candidate
    raise ManifestError(f"{path}: expected its image beside it, or in images/, or below --root")


def _to_pixels(edges: list[tuple[float, float, float, float]], size: np.ndarray) -> np.ndarray:
    """Turn shares between outer edges into first and last pixel."""
    limits = np.tile(size, 2).astype(np.float64)
    boxes = np.clip(np.array(edges) * limits, 0, limits)
    return boxes - np.array([0, 0, 1, 1])


def _read_names(folder: Path, last: int) -> tuple[str, ...] | None:
    """Read the classes' names, if a file says them: a `data.yaml`, or a list with one a line."""
    above = (folder, *folder.parents[:2])
    path = next((f / name for f in above for name in _NAMES if (f / name).is_file()), None)
    if path is None:
        return None
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix == ".yaml":
            content = yaml.safe_load(text)
            names = content.get("names") if isinstance(content, dict) else None
        else:
            names = [line.strip() for line in text.splitlines() if line.strip()]
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ManifestError(f"{path}: cannot be read ({error})") from error
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or any(label not in names for label in range(last + 1)):
        raise ManifestError(f"{path}: expected `names` for classes 0 to {last}")
    return tuple(str(names[label]) for label in sorted(names))
