"""Official downloads of CUB-200-2011 and ILSVRC, turned into folders of four text files a split."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from eval.annotations import read_xml
from eval.cub import read_cub
from eval.headers import read_headers
from eval.ilsvrc import read_ilsvrc
from eval.splits import ManifestError, Split, choose_share
from eval.writing import check_free, write_data_set

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from eval.annotations import Annotation


@dataclass(frozen=True)
class Built:
    """What a builder wrote.

    Args:
        root: folder that the ids are relative to
        splits: `train`, `val` if asked for, `test`; without those that the download lacks
    """

    root: Path
    splits: tuple[Split, ...]


class _Image(NamedTuple):
    id: str
    label: int
    size: tuple[int, int] | None = None
    boxes: list[list[int]] | None = None


def build_cub(
    source: str | Path,
    out: str | Path,
    *,
    val: float | None = None,
    seed: int = 0,
    force: bool = False,
) -> Built:
    """Write the splits of CUB-200-2011, all with boxes.

    Args:
        source: the official folder, or the one above it; a copy with fewer classes is valid
        out: folder to write
        val: share of every class's training images to move into a split `val`, to choose on;
            None for the official `train` and `test` alone
        seed: chooses which
        force: replace what an earlier run wrote

    Returns:
        the splits; a label is the rank of the class's number in `classes.txt`, sizes are those of
        the stored pixels, ids are relative to the folder `images`

    Raises:
        ManifestError: a file or a line at fault, or something in the way
        ValueError: a share that is not between 0 and 1
    """
    _check_share(val)
    check_free(out, force)
    folder = Path(source)
    if not (folder / "images.txt").is_file():
        folder = folder / "CUB_200_2011"
    if not (folder / "images.txt").is_file():
        raise ManifestError(f"{source}: expected images.txt here or in CUB_200_2011")
    names, found = read_cub(folder)
    headers = read_headers([folder / "images" / each.path for each in found])
    parts: dict[str, list[_Image]] = {"train": [], "val": [], "test": []}
    for each, (width, height, _) in zip(found, headers, strict=True):
        box = _clip(each.where, each.corners, (width, height))
        image = _Image(each.path, each.label, (width, height), [box])
        parts["train" if each.train else "test"].append(image)
    chosen = _choose(parts["train"], val, seed)
    parts["val"] = [image for image in parts["train"] if image.id in chosen]
    parts["train"] = [image for image in parts["train"] if image.id not in chosen]
    readable = [name.split(".", 1)[-1].replace("_", " ") for name in names]
    splits = _to_splits(parts, readable)
    write_data_set(
        out,
        splits,
        description=f"CUB-200-2011, {len(names)} classes of birds{_note(val, seed)}",
        licence="CUB-200-2011: non-commercial research",
        classes=[{"label": label, "name": name} for label, name in enumerate(readable)],
        root=folder / "images",
        force=force,
    )
    return Built(folder / "images", splits)


def build_ilsvrc(
    source: str | Path,
    out: str | Path,
    *,
    val: float | None = None,
    seed: int = 0,
    force: bool = False,
) -> Built:
    """Write the splits of ILSVRC's localization task; `test` is the official validation set.

    Args:
        source: folder with `ILSVRC/` or `Data/`, or with `train/` and `val/`; the boxes come from
            `Annotations/CLS-LOC/val`, else from `LOC_val_solution.csv`
        out: folder to write
        val: share of every class's training images to move into a split `val`, to choose on,
            taken from those with boxes in `Annotations/CLS-LOC/train`; None for no such split
        seed: chooses which
        force: replace what an earlier run wrote

    Returns:
        the splits; a label is the rank of the wnid among those of `LOC_synset_mapping.txt`, or
        without it among those that occur; `train` has labels only; ids are relative to
        `Data/CLS-LOC`

    Raises:
        ManifestError: a file or a line at fault, or something in the way
        ValueError: a share that is not between 0 and 1
    """
    _check_share(val)
    check_free(out, force)
    found = read_ilsvrc(Path(source))
    labels = {wnid: label for label, wnid in enumerate(found.names)}
    train = [_Image(image_id, labels[wnid]) for image_id, wnid in found.train.items()]
    files = {i: path for i in found.train if val and (path := found.find_box_file(i))}
    chosen = _choose(train, val, seed, files)
    if val is not None and not chosen:
        raise ManifestError(f"{source}: expected boxes for val in Annotations/CLS-LOC/train")
    parts = {
        "train": [image for image in train if image.id not in chosen],
        "val": _with_boxes(found.root, {i: read_xml(files[i]) for i in chosen}, labels),
        "test": _with_boxes(found.root, found.test, labels),
    }
    splits = _to_splits(parts, list(found.names.values()))
    classes: list[dict[str, str | int]] = []
    for wnid, name in found.names.items():
        # All of ImageNet's classes, sorted, are in the order of the networks that know them.
        index = {"imagenet1k_index": labels[wnid]} if len(labels) == 1000 else {}
        classes.append({"label": labels[wnid], "wnid": wnid, **index, "name": name})
    write_data_set(
        out,
        splits,
        description=f"ILSVRC 2012 localization, {len(labels)} classes; test is the official "
        f"validation set{_note(val, seed)}",
        licence="ImageNet: non-commercial research",
        classes=classes,
        root=found.root,
        force=force,
    )
    return Built(found.root, splits)


BUILDERS: dict[str, Callable[..., Built]] = {"cub": build_cub, "ilsvrc": build_ilsvrc}


def find_builder(name: str) -> Callable[..., Built]:
    """Look a builder up.

    Raises:
        ValueError: no builder has this name; the message lists those there are
    """
    try:
        return BUILDERS[name]
    except KeyError:
        raise ValueError(
            f"Expected name to be one of {', '.join(BUILDERS)} but got {name!r}"
        ) from None


def _check_share(val: float | None) -> None:
    if val is not None and not 0 < val < 1:
        raise ValueError(f"Expected val to be a share between 0 and 1 but got {val}")


def _note(val: float | None, seed: int) -> str:
    return "" if val is None else f"; val is {val:g} of the training images, seed {seed}"


def _choose(
    images: Sequence[_Image], share: float | None, seed: int, boxed: Iterable[str] | None = None
) -> dict[str, None]:
    """Choose a share of every class's images, in the given order."""
    if share is None:
        return {}
    ids, labels = [image.id for image in images], [image.label for image in images]
    usable = None if boxed is None else set(boxed)
    return {ids[row]: None for row in choose_share(ids, labels, share, seed, usable)}


def _with_boxes(
    root: Path, annotations: dict[str, Annotation], labels: dict[str, int]
) -> list[_Image]:
    unknown = [image_id for image_id, each in annotations.items() if each.size is None]
    headers = read_headers([root / image_id for image_id in unknown])
    sizes = {i: (width, height) for i, (width, height, _) in zip(unknown, headers, strict=True)}
    found = []
    for image_id, each in annotations.items():
        size = each.size or sizes[image_id]
        boxes = [_clip(where, box, size) for where, box in each.boxes]
        found.append(_Image(image_id, labels[each.wnid], size, boxes))
    return found


def _clip(where: str, corners: Sequence[float], size: tuple[int, int]) -> list[int]:
    """Cut what lies outside the image off a box, and fractions of a pixel.

    Raises:
        ManifestError: a box that is reversed, or that lies for the most part outside
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


def _to_splits(parts: dict[str, list[_Image]], names: list[str]) -> tuple[Split, ...]:
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
