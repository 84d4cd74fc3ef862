"""Boxes that any program wrote, put to the images of a split: their frame, their order, classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from eval.splits import MOST_CLASSES, ManifestError
from wsol.evaluation.box_frames import doubt_frame, scale_boxes
from wsol.evaluation.file_faults import OF_NO_IMAGE, OF_SEVERAL, FileFaults
from wsol.evaluation.id_paths import IdPaths
from wsol.evaluation.predictions import OTHER, count_outputs
from wsol.label_matching import find_label
from wsol.readers import read_boxes
from wsol.text import count_things, list_few

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from eval.splits import Split
    from wsol.readers import FoundBoxes
    from wsol.readers.found_boxes import FoundClass


@dataclass(frozen=True, eq=False)
class GivenBoxes:
    """The boxes of every image of a split.

    Args:
        boxes: one (k, 4) array an image, x0 y0 x1 y1, outer edges in original pixels, clipped to
            the image; that of the largest score first
        scores: one (k,) array an image, 1 where the file has none
        labels: one (k,) array an image, `OTHER` for a class that the data lacks; all of them where
            classes are not known
        predicted: label of the first box of every image, or of the class that has none; `OTHER` for
            one that the data lacks or that is not known; None where no classes are known
        missing: why an image has no result, by row
        notes: what people should know
    """

    boxes: tuple[np.ndarray, ...]
    scores: tuple[np.ndarray, ...]
    labels: tuple[np.ndarray, ...]
    predicted: tuple[int, ...] | None
    missing: Mapping[int, str]
    notes: tuple[str, ...]


def read_given_boxes(
    path: Path,
    split: Split,
    *,
    data_file: Path | None,
    count: Callable[[int], int],
    table: Mapping[int, int] | None = None,
    others: Callable[[], Iterable[str]] = tuple,
    allow_missing: bool | None = False,
    predicts: bool = False,
) -> GivenBoxes:
    """Read boxes, and put them to the images of a split.

    Args:
        path: as for `wsol.readers.read_boxes`
        split: with sizes
        data_file: COCO file of the data set, or None
        count: as for `read_predictions`
        table: index among the outputs of a network by label, where the file numbers those; None
            where it has names or numbers of the data
        others: gives the ids of further images that the file may have
        allow_missing: count an image without a usable result as missed; None as for `FileFaults`
        predicts: whether to take classes for predicted ones even where all are the true ones

    Raises:
        ManifestError: a file that cannot be read, boxes of another frame, or faults that are not
            allowed
    """
    faults = FileFaults(path, len(split))
    images = _find_images(path, split, data_file, others, faults)
    boxes, cut = scale_boxes(path, images, split, faults)
    labels_of, notes = _find_labels(images, split, count, table)
    if labels_of is not None and None in labels_of.values():
        last = (count(MOST_CLASSES) if table is None else count_outputs(table)) - 1
        for image_id, image in images.items():
            if any(labels_of[box.kind] is None for box in image.boxes if box.kind is not None):
                faults.add(f"with labels beyond 0 to {last}", image_id)
    told = faults.settle(allow_missing, "counted as missed")
    if images and not any(b.edges is not None for image in images.values() for b in image.boxes):
        raise ManifestError(
            f"{path} holds no box of any of {count_things(len(images), 'image')} that it has"
        )
    missing = {
        row: f"{image_id}: no usable result in {path.name}"
        for row, image_id in enumerate(split.ids)
        if faults.has(image_id)
    }
    ordered, scores, labels, predicted = [], [], [], []
    classified: dict[int, int] = {}
    for row, image_id in enumerate(split.ids):
        rows = [] if row in missing else images[image_id].boxes
        classes = [labels_of[b.kind] if labels_of and b.kind else OTHER for b in rows]
        kinds = np.array([OTHER if each is None else each for each in classes], np.int64)
        certain = np.array([1.0 if box.score is None else box.score for box in rows])
        has_box = np.array([box.edges is not None for box in rows], bool)
        order = np.lexsort((-certain, ~has_box))  # boxes first, the largest score first
        predicted.append(int(kinds[order[0]]) if len(order) else OTHER)
        if len(order) and rows[order[0]].kind is not None:
            classified[row] = predicted[-1]
        order = order[has_box[order]]
        ordered.append(np.empty((0, 4)) if row in missing else boxes[image_id][order])
        scores.append(certain[order])
        labels.append(kinds[order])
    note = "" if labels_of is None else _explain_labels(classified, split, predicts)
    if note:
        labels_of, notes = None, [*notes, note]
    return GivenBoxes(
        boxes=tuple(ordered),
        scores=tuple(scores),
        labels=tuple(labels),
        predicted=None if labels_of is None else tuple(predicted),
        missing=missing,
        notes=(*told, *(f"{path}: {each}" for each in (*notes, *cut, *doubt_frame(images, split)))),
    )


def _find_images(
    path: Path,
    split: Split,
    data_file: Path | None,
    others: Callable[[], Iterable[str]],
    faults: FileFaults,
) -> dict[str, FoundBoxes]:
    """Find the image of the split that each one of the file is."""
    known = IdPaths(split.ids, others)
    images: dict[str, FoundBoxes] = {}
    for image in read_boxes(path, data_file):
        image_id = next(filter(None, map(known.find, image.names)), None)
        if image_id is None:
            if not any(map(known.is_other, image.names)):
                several = next(filter(None, map(known.tell_several, image.names)), "")
                faults.add(OF_SEVERAL if several else OF_NO_IMAGE, image.names[0], several)
        elif image_id in images:
            faults.add("doubled", image_id)
        else:
            images[image_id] = image
    for image_id in split.ids:
        if image_id not in images:
            faults.add("missing", image_id)
    return images


def _find_labels(
    images: Mapping[str, FoundBoxes],
    split: Split,
    count: Callable[[int], int],
    table: Mapping[int, int] | None,
) -> tuple[dict[FoundClass, int | None] | None, list[str]]:
    """Find the data's label of every class of a file.

    Args:
        images: of the file
        split: that they are of
        count: as for `read_given_boxes`, like the next one
        table: index among the outputs of a network by label, or None

    Returns:
        label by class, `OTHER` for one that the data lacks, None for a number out of range; None
        where the file tells of no classes; and what people should know
    """
    kinds = dict.fromkeys(b.kind for image in images.values() for b in image.boxes if b.kind)
    if not kinds:
        return None, []
    if table is None:
        by_name = {kind: find_label(kind.name, split) for kind in kinds}
        strange = [kind.name for kind, label in by_name.items() if label is None]
        named = all(kind.name and kind.name != f"class {kind.number}" for kind in kinds)
        if len(strange) < len(kinds):
            labels = {kind: OTHER if label is None else label for kind, label in by_name.items()}
            return dict(labels), [_tell_strange(strange)] if strange else []
        if any(kind.number is None for kind in kinds) or (named and split.class_names is not None):
            few = list_few(strange)
            return None, [f"classes that are none of the data's, so that boxes alone count: {few}"]
        known = count(max(kind.number or 0 for kind in kinds) + 1)
        outputs = {number: number for number in range(known)}
    else:
        known = count_outputs(table)
        outputs = {output: label for label, output in table.items()}

    def find(number: int | None) -> int | None:
        if number is None:
            return OTHER
        return outputs.get(number, OTHER) if 0 <= number < known else None

    return {kind: find(kind.number) for kind in kinds}, []


def _tell_strange(names: Sequence[str]) -> str:
    return f"{count_things(len(names), 'class', 'classes')} none of the data's: {list_few(names)}"


def _explain_labels(classified: Mapping[int, int], split: Split, predicts: bool) -> str:
    """Say why classes of boxes are not predictions; nothing where they are.

    Args:
        classified: label by row, of images with a class; `OTHER` for one that the data lacks
        split: that they are of
        predicts: as for `read_given_boxes`
    """
    labels = split.labels.tolist()
    if not classified or predicts:
        return ""
    if len(set(labels)) > 1 and len(set(classified.values())) == 1:
        return "all boxes have one class, which tells nothing of the images': boxes alone count"
    if all(label == labels[row] for row, label in classified.items()):
        return (
            "all boxes have their image's true class, as boxes of the true class's map do, so that "
            "no class was predicted: Top-1 Loc needs --predictions, or --class-map predicted"
        )
    return ""
