"""What the builders of official downloads share: a share for val, boxes cut to size, splits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from eval.splits import ManifestError, Split, choose_share

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path


@dataclass(frozen=True)
class Built:
    """What a builder wrote.

    Args:
        root: folder that the ids are relative to
        splits: `train`, `val` if asked for, `test`; without those that the download lacks
    """

    root: Path
    splits: tuple[Split, ...]


class BuiltImage(NamedTuple):
    """An image of a split to be built.

    Args:
        id: relative to the image root
        label: of its class
        size: width and height; None where the split has labels alone
        boxes: x0 y0 x1 y1, both corners inside; None where the split has labels alone
    """

    id: str
    label: int
    size: tuple[int, int] | None = None
    boxes: list[list[int]] | None = None


def find_folder(source: Path, sign: str, below: str) -> Path:
    """Find the folder of a download: the one that is given, or one in it.

    Args:
        source: that is given
        sign: file that the folder has
        below: the official name of the folder

    Raises:
        ManifestError: neither has the file
    """
    for folder in (source, source / below):
        if (folder / sign).is_file():
            return folder
    raise ManifestError(f"{source}: expected {sign} here or in {below}")


def list_classes(
    names: Mapping[str, str], outputs: Mapping[str, int]
) -> list[dict[str, str | int]]:
    """List rows of `classes.csv`, of classes that have WordNet ids.

    Args:
        names: by wnid, in the order of the labels
        outputs: of the networks that know ImageNet's 1000 classes, by wnid; empty where they are
            not known, which leaves out their column
    """
    rows: list[dict[str, str | int]] = []
    for label, (wnid, name) in enumerate(names.items()):
        index = {"imagenet1k_index": outputs[wnid]} if outputs else {}
        rows.append({"label": label, "wnid": wnid, **index, "name": name})
    return rows


def check_share(val: float | None) -> None:
    """Check that a share of the training images, if asked for, is one.

    Raises:
        ValueError: it is not between 0 and 1
    """
    if val is not None and not 0 < val < 1:
        raise ValueError(f"Expected val to be a share between 0 and 1 but got {val}")


def describe_val(val: float | None, seed: int) -> str:
    """Say where a split `val` comes from, for a description; nothing where there is none."""
    return "" if val is None else f"; val is {val:g} of the training images, seed {seed}"


def choose_val(
    images: Sequence[BuiltImage], share: float | None, seed: int, boxed: Iterable[str] | None = None
) -> dict[str, None]:
    """Choose a share of every class's images.

    Args:
        images: to choose from
        share: of each class; None chooses none
        seed: chooses which
        boxed: ids of those with boxes; None where all have some

    Returns:
        the chosen ids, in the given order
    """
    if share is None:
        return {}
    ids, labels = [image.id for image in images], [image.label for image in images]
    usable = None if boxed is None else set(boxed)
    return {ids[row]: None for row in choose_share(ids, labels, share, seed, usable)}


def clip_box(where: str, corners: Sequence[float], size: tuple[int, int]) -> list[int]:
    """Cut what lies outside the image off a box, and fractions of a pixel.

    Args:
        where: file and line of the box
        corners: x0 y0 x1 y1, both pixels inside
        size: width and height of the image

    Raises:
        ManifestError: a box that is reversed, or that lies mostly outside
    """
    (x0, y0, x1, y1), (width, height) = corners, size
    box = [int(v) for v in (max(x0, 0), max(y0, 0), min(x1, width - 1), min(y1, height - 1))]
    inside = max(box[2] - box[0] + 1, 0) * max(box[3] - box[1] + 1, 0)
    if x1 < x0 or y1 < y0 or not inside or inside < (x1 - x0) * (y1 - y0) / 2:
        raise ManifestError(
            f"{where}: expected a box x0 y0 x1 y1 in an image of {width} x {height} but got "
            f"{x0:g} {y0:g} {x1:g} {y1:g}; boxes go with images of the original size"
        )
    return box


def to_splits(parts: dict[str, list[BuiltImage]], names: list[str]) -> tuple[Split, ...]:
    """Turn lists of images into splits.

    Args:
        parts: images by the name of their split; an empty list makes none
        names: of all classes
    """
    splits = []
    for name, images in parts.items():
        if images:
            boxed = images[0].boxes is not None
            ids = tuple(image.id for image in images)
            labels = np.array([image.label for image in images], dtype=np.int64)
            sizes = np.array([image.size for image in images]) if boxed else None
            boxes = tuple(np.array(image.boxes) for image in images) if boxed else None
            splits.append(Split(name, ids, labels, sizes, boxes, class_names=tuple(names)))
    return tuple(splits)
