"""COCO in and out: a data set file becomes a split, a split a data set, and boxes become AP.

COCO gives a box as x, y, width, height between outer edges. A split names the first and the last
pixel, so that box is x, y, x + width - 1, y + height - 1 there. WSOL asks for one label an image:
that of its annotations, or the `category_id` of the image's own record where it has none.
"""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Any

import numpy as np

from eval.box_edges import lies_in
from eval.image_paths import settle_id
from eval.parsing import show
from eval.records import Records, read_coco
from eval.splits import ManifestError, Split, leaves_root
from eval.turned_boxes import find_upright

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import ArrayLike

    from eval.image_paths import ImageFinder

LABEL_STUDIO = "Label Studio"  # what it calls itself in the files that it exports
_STATS = {"ap": 0, "ap50": 1, "ar1": 6, "ar10": 7, "ar100": 8}  # where COCOeval keeps them


def load_coco(
    path: Path,
    name: str,
    skip: Callable[[str], object] | None = None,
    finder: ImageFinder | None = None,
    content: Any = None,
) -> Split:
    """Read a COCO data set file as one split.

    Args:
        path: JSON with `images`, `annotations` and `categories`
        name: of the split
        skip: is told of every image with no label or several, which is then left out; default:
            such an image is a fault
        finder: of the image root; None where it is not known
        content: of the file, where it was read before

    Returns:
        ids are the `file_name`s, or the files that these mean below the root; a label is the rank
        of the category's id among all ids that the file lists; boxes are float64 where the file
        has fractions of a pixel, and None where it has no box at all; a box with `iscrowd` is left
        out

    Raises:
        ManifestError: a record that breaks a rule; the message names list, index and id
    """
    content = read_coco(path, content)
    categories = Records(path, content, "categories")
    ids = [categories.whole(i, "id", least=0) for i in range(len(categories))]
    categories.once("id", ids)
    names = dict(zip(ids, categories.texts("name"), strict=True))
    ranks = {category: rank for rank, category in enumerate(sorted(ids))}

    images = Records(path, content, "images")
    files = _read_files(path, images, finder)
    annotations = Records(path, content, "annotations")
    labels, rows_of, unlike = _read_labels(images, annotations, files, ranks)
    for fault in unlike.values():
        if skip is None or len(unlike) == len(images):
            raise fault
        skip(str(fault))
    kept = [row for row in range(len(images)) if row not in unlike]
    sizes, boxes = _read_boxes(content, images, annotations, files, kept, rows_of, finder)
    whole = all(float(v).is_integer() for each in boxes for box in each for v in box)
    dtype = np.int64 if whole else np.float64
    arrays = tuple(np.array(each, dtype=dtype).reshape(-1, 4) for each in boxes)
    return Split(
        name,
        tuple(files[row] for row in kept),
        np.array([labels[row] for row in kept], dtype=np.int64),
        np.array(sizes, dtype=np.int64),
        arrays if any(boxes) else None,
        class_names=tuple(names[category] for category in sorted(ids)),
    )


def _read_files(path: Path, images: Records, finder: ImageFinder | None) -> list[str]:
    """Read the ids of all images."""
    if not len(images):
        raise ManifestError(f"{path}: expected at least one image")
    files = []
    for i, text in enumerate(images.texts("file_name")):
        try:
            files.append(settle_id(text, finder))
        except ManifestError as error:
            raise images.fault(i, str(error)) from error
    images.once("file_name", files)
    for i, file in enumerate(files):
        if not file or leaves_root(file):
            raise images.fault(i, f"expected a path below the image root but got {file!r}")
    return files


def _read_labels(
    images: Records, annotations: Records, files: list[str], ranks: dict[int, int]
) -> tuple[list[int | None], list[list[int]], dict[int, ManifestError]]:
    """Read the label of every image, the annotations of it, and what is wrong by image."""
    keys = [images.key(i, "id") for i in range(len(images))]
    images.once("id", keys)
    rows = {key: row for row, key in enumerate(keys)}
    labels: list[int | None] = [None] * len(images)
    for i in range(len(images)):
        if images[i].get("category_id") is not None:
            labels[i] = ranks[images.known(i, "category_id", ranks)]
    rows_of: list[list[int]] = [[] for _ in keys]
    unlike: dict[int, ManifestError] = {}
    keyed = [i for i in range(len(annotations)) if annotations[i].get("id") is not None]
    annotations.once("id", [annotations.key(i, "id") for i in keyed], keyed)
    for i in range(len(annotations)):
        row = rows[annotations.known(i, "image_id", rows)]
        label = ranks[annotations.known(i, "category_id", ranks)]
        if labels[row] not in (None, label):
            message = f"expected one category an image, its label, but {files[row]!r} has several"
            unlike.setdefault(row, annotations.fault(i, message))
        labels[row] = label
        rows_of[row].append(i)
    for row, known in enumerate(labels):
        if known is None:
            message = "expected an annotation, or a category_id in the image's record"
            unlike[row] = images.fault(row, message)
    return labels, rows_of, unlike


def _read_boxes(
    content: dict[str, Any],
    images: Records,
    annotations: Records,
    files: list[str],
    kept: list[int],
    rows_of: list[list[int]],
    finder: ImageFinder | None,
) -> tuple[list[tuple[int, int]], list[list[list[float]]]]:
    """Read sizes and boxes of the images that are kept, in one frame for each."""
    info = content.get("info")
    studio = isinstance(info, dict) and info.get("contributor") == LABEL_STUDIO
    sizes = [
        (images.whole(row, "width", least=1), images.whole(row, "height", least=1)) for row in kept
    ]
    objects = [[i for i in rows_of[row] if not annotations[i].get("iscrowd")] for row in kept]
    edges = [[_read_edges(annotations, i) for i in each] for each in objects]
    root = None if finder is None else finder.root
    for k in find_upright([files[row] for row in kept], sizes, edges, root, studio):
        width, height = sizes[k]
        sizes[k] = height, width
        for number, i in enumerate(objects[k]):
            if studio and annotations[i].get("segmentation"):
                # Its polygons are in shares of the stored size, its rectangles in upright pixels.
                x0, y0, x1, y1 = edges[k][number]
                across, down = height / width, width / height
                edges[k][number] = [x0 * across, y0 * down, x1 * across, y1 * down]
    boxes = [
        [_clip(annotations, i, box, size) for i, box in zip(numbers, each, strict=True)]
        for numbers, each, size in zip(objects, edges, sizes, strict=True)
    ]
    return sizes, boxes


def _read_edges(annotations: Records, i: int) -> list[float]:
    """Turn a `bbox` into outer edges, x0 y0 x1 y1."""
    box = annotations[i].get("bbox")
    if not (
        isinstance(box, list)
        and len(box) == 4
        and all(type(v) in (int, float) and abs(v) < 2**53 for v in box)  # no nan, no infinity
    ):
        raise annotations.fault(i, f"expected bbox to be x,y,width,height but got {show(box)}")
    x, y, w, h = box
    if w <= 0 or h <= 0:
        raise annotations.fault(i, f"expected bbox to have an area but got {show(box)}")
    return [x, y, x + w, y + h]


def _clip(annotations: Records, i: int, edges: list[float], size: tuple[int, int]) -> list[float]:
    """Turn outer edges into first and last pixel, clipped where rounding made them stick out."""
    (x0, y0, x1, y1), (width, height) = edges, size
    if not lies_in(edges, size):
        box = show(annotations[i].get("bbox"))
        raise annotations.fault(
            i, f"expected bbox to lie in an image of {width} x {height} but got {box}"
        )
    return [max(x0, 0), max(y0, 0), min(x1, width) - 1, min(y1, height) - 1]


def head_coco(description: str, **more: str) -> dict[str, Any]:
    """Begin the content of a COCO file.

    Readers copy or page through both keys, and some fail where one is missing.

    Args:
        description: of the file, for people
        more: further entries of `info`

    >>> head_coco("Two cats", image_root="cats")
    {'info': {'description': 'Two cats', 'image_root': 'cats'}, 'licenses': []}
    """
    return {"info": {"description": description, **more}, "licenses": []}


def to_coco(split: Split) -> dict[str, Any]:
    """Describe a split as a COCO data set.

    Args:
        split: with sizes

    Returns:
        the content of a data set file; ids are from 1, a category's is the label + 1; every image
        also has the `category_id` of its label, so that one without a box keeps it

    Raises:
        ValueError: a split without sizes

    >>> box = np.array([[2, 1, 5, 4]])  # first and last pixel
    >>> split = Split("test", ("a.jpg",), np.array([0]), np.array([[9, 6]]), (box,))
    >>> to_coco(split)["annotations"][0]["bbox"]
    [2, 1, 4, 4]
    """
    if split.sizes is None:
        raise ValueError(f"Expected split {split.name} to have image sizes but it has none")
    labels, sizes = split.labels.tolist(), split.sizes.tolist()
    names = split.class_names or [f"class {label}" for label in range(max(labels) + 1)]
    rows = range(len(split))
    boxes = split.boxes or ()
    row_boxes = [(row, box) for row, each in enumerate(boxes) for box in each.tolist()]
    return {
        **head_coco(f"Split {split.name}"),
        "images": [
            {
                "id": row + 1,
                "file_name": split.ids[row],
                "width": sizes[row][0],
                "height": sizes[row][1],
                "category_id": labels[row] + 1,
            }
            for row in rows
        ],
        "annotations": [
            _annotation(number, row, labels[row], [x0, y0, x1 - x0 + 1, y1 - y0 + 1])
            for number, (row, (x0, y0, x1, y1)) in enumerate(row_boxes, start=1)
        ],
        "categories": [{"id": i, "name": name} for i, name in enumerate(names, start=1)],
    }


def coco_scores(
    split: Split,
    labels: Sequence[ArrayLike],
    scores: Sequence[ArrayLike],
    boxes: Sequence[ArrayLike],
) -> dict[str, float]:
    """Score boxes as COCO scores detections.

    Args:
        split: with true boxes
        labels: (k,) an image
        scores: (k,) an image; larger is more certain
        boxes: (k, 4) an image, x0 y0 x1 y1, outer edges in original pixels

    Returns:
        in percent: `ap` (mean over overlaps 0.50, 0.55, ..., 0.95), `ap50`, and the recall `ar1`,
        `ar10`, `ar100` with that many boxes an image; no pixel is added to a box's sides

    Raises:
        ValueError: a split without boxes, or arrays that do not fit the split or each other
    """
    if split.boxes is None or not any(map(len, split.boxes)):
        raise ValueError(f"Expected split {split.name} to have boxes but it has none")
    if not len(split) == len(labels) == len(scores) == len(boxes):
        raise ValueError(
            f"Expected labels, scores and boxes for {len(split)} images but got {len(labels)}, "
            f"{len(scores)} and {len(boxes)}"
        )
    truth = to_coco(split)
    detections: list[dict[str, Any]] = []
    for row in range(len(split)):
        each = np.asarray(boxes[row], dtype=np.float64).reshape(-1, 4)
        classes, certain = np.asarray(labels[row]), np.asarray(scores[row], dtype=np.float64)
        if not classes.shape == certain.shape == (len(each),):
            raise ValueError(
                f"Expected a label and a score for each of {len(each)} boxes of {split.ids[row]} "
                f"but got {classes.shape} and {certain.shape}"
            )
        if not (np.isfinite(each).all() and np.isfinite(certain).all()):
            raise ValueError(f"Expected finite boxes and scores but {split.ids[row]} has others")
        for (x0, y0, x1, y1), label, score in zip(
            each.tolist(), classes.tolist(), certain.tolist(), strict=True
        ):
            box = [x0, y0, x1 - x0, y1 - y0]
            detections.append(_annotation(len(detections) + 1, row, label, box) | {"score": score})
    unknown = {each["category_id"] for each in detections} - {c["id"] for c in truth["categories"]}
    if unknown:
        raise ValueError(
            f"Expected labels from 0 to {len(truth['categories']) - 1} but got {min(unknown) - 1}"
        )

    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with redirect_stdout(io.StringIO()):  # it prints what it does
        sides = []
        for content in (truth, truth | {"annotations": detections}):
            side = COCO()
            side.dataset = content
            side.createIndex()
            sides.append(side)
        judge = COCOeval(*sides, "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return {name: 100 * float(judge.stats[index]) for name, index in _STATS.items()}


def _annotation(number: int, row: int, label: int, box: list[float]) -> dict[str, Any]:
    return {
        "id": number,
        "image_id": row + 1,
        "category_id": label + 1,
        "bbox": box,
        "area": box[2] * box[3],
        "iscrowd": 0,
    }
