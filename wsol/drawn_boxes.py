"""Boxes that people drew or corrected, out of the files that their tools export."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from eval.box_edges import check_box
from eval.coco import load_coco
from eval.image_paths import ImageFinder
from eval.manifest import ManifestError
from eval.parsing import show
from eval.splits import Split, join_splits, leaves_root
from eval.turned_boxes import list_doubtful
from eval.voc import load_voc
from eval.yolo import load_yolo
from tdam.events import SILENT, Events
from wsol.errors import ArgumentError
from wsol.readers import read_source, tell_source
from wsol.text import count_things

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from eval.box_folders import BoxFolder
    from wsol.readers import FoundBoxes

_SHOWN = 5  # images that are named
_SHARES = (1, 1)
_PREDICTIONS: dict[str, str] = {
    "table": "a table of predictions",
    "lines": "predictions as JSON Lines",
    "COCO results": "COCO results, which are predictions",
    "Hugging Face": "Hugging Face's metadata",
}
_TAKEN = (
    "a COCO data set (.json), Label Studio's or Datumaro's JSON, CVAT's XML for images, or a "
    "folder of one of these, of YOLO's label files or of VOC's XML files"
)
# Where images lie beside a file of boxes.
_WITHIN = (".", "images", "images/default")


def load_drawn_boxes(
    boxes: str | Path, name: str, root: str | Path | None = None, events: Events = SILENT
) -> tuple[Split, Path]:
    """Read boxes that people drew or corrected.

    Images with boxes of several classes are left out, and so are those of a file of all images that
    have neither a box nor a label.

    Args:
        boxes: a file: a COCO data set, Label Studio's JSON, CVAT's XML (for images) or Datumaro's
            JSON; or a folder: of YOLO's label files, VOC's XML files, COCO files of several
            splits, all of which count, or with one of the files
        name: of the split
        root: of the images; None: as the boxes have it
        events: told which images are left out

    Returns:
        the boxes, and the folder that their ids are relative to

    Raises:
        ManifestError: a record that breaks a rule
        wsol.errors.ArgumentError: no box at all
    """
    boxes = Path(boxes)
    skipped: list[str] = []
    try:
        home = None if root is None else Path(root)
        form, split, home = _load(boxes, name, home, skipped.append)
    finally:
        _tell(skipped, events)
    if not any(map(len, split.boxes or ())):
        raise ArgumentError("boxes", f"{boxes} holds no box")
    doubtful = list_doubtful(split, home) if form == "COCO" else []
    if doubtful:
        events.say(
            f"{count_things(len(doubtful), 'photograph')} that EXIF turns, such as {doubtful[0]}: "
            "boxes are taken for those of the stored pixels, whose sizes are given; if they were "
            'drawn on the upright photograph, put "contributor": "Label Studio" into "info"'
        )
    return split, home


def _load(
    boxes: Path, name: str, root: Path | None, skip: Callable[[str], object]
) -> tuple[str, Split, Path]:
    """Read a file, or a folder of whichever form, and tell which."""
    source = tell_source(boxes)
    if source.form in _PREDICTIONS:
        raise ArgumentError(
            "boxes",
            f"{source.paths[0]} holds {_PREDICTIONS[source.form]}, not boxes that people drew or "
            f"corrected: expected {_TAKEN}",
        )
    if source.form == "VOC":
        return "VOC", *load_voc(source.paths[0], name, root, skip)
    if source.form == "YOLO":
        return "YOLO", *load_yolo(source.paths[0], name, root, skip)
    home = root or (boxes if boxes.is_dir() else boxes.parent)
    if source.parts is not None:
        return "COCO", _load_parts(source.parts, name, home, skip), home
    finder = ImageFinder(home, anywhere=True, within=_WITHIN)
    if source.form == "COCO":
        return "COCO", load_coco(source.paths[0], name, skip, finder, source.content), home
    return "tool", _to_split(read_source(source), name, finder, skip, source.paths[0]), home


def _load_parts(folder: BoxFolder, name: str, root: Path, skip: Callable[[str], object]) -> Split:
    """Read all splits of a folder as one."""
    splits = [folder.load(part, root, skip, anywhere=True) for part in sorted(folder.parts)]
    return replace(reduce(join_splits, splits), name=name)


def _to_split(
    found: Iterable[FoundBoxes],
    name: str,
    finder: ImageFinder,
    skip: Callable[[str], object],
    path: Path,
) -> Split:
    """Put the images of one class each together."""
    ids: dict[str, str] = {}  # each with the place that it was read from
    names: list[str] = []
    sizes: list[tuple[int, int]] = []
    boxes: list[np.ndarray] = []
    for image in found:
        kinds = sorted({box.kind.name for box in image.boxes if box.kind is not None})
        if len(kinds) != 1:
            got = show(kinds) if kinds else "none"
            skip(f"{image.where}: expected boxes of one class, the image's label, but got {got}")
            continue
        image_id, size = _find_id(image, finder), image.size
        if size in (None, _SHARES):
            try:
                size = _read_size(finder.root / image_id)
            except ManifestError as error:
                skip(f"{image.where}: {error}")
                continue
        if ids.setdefault(image_id, image.where) != image.where:
            raise ManifestError(
                f"{image.where}: expected every image once but {image_id!r} is that of "
                f"{ids[image_id]} too"
            )
        names += kinds
        sizes.append(size)
        boxes.append(_clip(image, size))
    if not names:
        raise ManifestError(f"{path}: expected boxes of one class an image but no image has any")
    classes = tuple(sorted(set(names)))
    labels = np.array([classes.index(each) for each in names], np.int64)
    of = np.array(sizes, np.int64)
    return Split(name, tuple(ids), labels, of, tuple(boxes), class_names=classes)


def _find_id(image: FoundBoxes, finder: ImageFinder) -> str:
    """Find the image below the root, or spell where it should be."""
    found = next(filter(None, map(finder.find, image.names)), None)
    found = found or finder.find_stem(image.names[-1])
    if not found and (several := finder.tell_several(image.names[0])):
        raise ManifestError(f"{image.where}: {several}")
    found = found or finder.spell(image.names[0])
    if not found or leaves_root(found):
        raise ManifestError(
            f"{image.where}: expected an image below {finder.root} but {show(image.names[0])} is "
            "none there; --root names the folder of the images"
        )
    return found


def _read_size(path: Path) -> tuple[int, int]:
    from eval.headers import read_header

    return read_header(path).upright


def _clip(image: FoundBoxes, size: tuple[int, int]) -> np.ndarray:
    """Turn outer edges into first and last pixel; what may reach outside is cut off."""
    drawn = [box for box in image.boxes if box.edges is not None]
    edges = np.array([box.edges for box in drawn], np.float64).reshape(-1, 4)
    edges = edges * (np.tile(size, 2) if image.size == _SHARES else 1)
    for box, each in zip(drawn, edges.tolist(), strict=True):
        check_box(each, size, image.where, box.around)
    return edges.clip(0, np.tile(size, 2)) - [0, 0, 1, 1]


def _tell(skipped: list[str], events: Events) -> None:
    for line in skipped[:_SHOWN]:
        events.say(line)
    if skipped:
        dots = "..., " if len(skipped) > _SHOWN else ""
        events.say(f"{dots}{count_things(len(skipped), 'image')} left out")
