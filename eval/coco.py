"""COCO in and out: a data set file becomes a split, a split a data set, and boxes become AP.

COCO gives a box as x, y, width, height between outer edges. A split names the first and the last
pixel, so that box is x, y, x + width - 1, y + height - 1 there. WSOL asks for one label an image:
that of its annotations, or the `category_id` of the image's own record where it has none. Paths
that Label Studio serves from a disk are read as the paths that they mean.
"""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import numpy as np

from eval.parsing import show
from eval.records import Records, read_coco
from eval.splits import ManifestError, Split, leaves_root, tidy_path

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import ArrayLike

_ROUNDING = 1  # pixels by which a box may stick out of its image, to be clipped
_SERVED = "/data/local-files/?d="  # Label Studio's address of a file on its disk
_STATS = {"ap": 0, "ap50": 1, "ar1": 6, "ar10": 7, "ar100": 8}  # where COCOeval keeps them


def load_coco(path: Path, name: str, skip: Callable[[str], object] | None = None) -> Split:
    """Read a COCO data set file as one split.

    Args:
        path: JSON with `images`, `annotations` and `categories`
        name: of the split
        skip: is told of every image with no label or several, which is then left out; default:
            such an image is a fault

    Returns:
        ids are the `file_name`s, or what these are addresses of; a label is the rank of the
        category's id among all ids that the file lists; boxes are float64 where the file has
        fractions of a pixel, and None where it has no box at all; a box with `iscrowd` is left
        out

    Raises:
        ManifestError: a record that breaks a rule; the message names list, index and id
    """
    content = read_coco(path)
    categories = Records(path, content, "categories")
    ids = [categories.whole(i, "id", least=0) for i in range(len(categories))]
    categories.once("id", ids)
    names = dict(zip(ids, categories.texts("name"), strict=True))
    ranks = {category: rank for rank, category in enumerate(sorted(ids))}

    images = Records(path, content, "images")
    if not len(images):
        raise ManifestError(f"{path}: expected at least one image")
    files = [tidy_path(_find_path(text)) for text in images.texts("file_name")]
    images.once("file_name", files)
    for i, file in enumerate(files):
        if not file or leaves_root(file):
            raise images.fault(i, f"expected a path below the image root but got {file!r}")
    keys = [images.key(i, "id") for i in range(len(images))]
    images.once("id", keys)
    rows = {key: row for row, key in enumerate(keys)}
    size = [[images.whole(i, k, least=1) for k in ("width", "height")] for i in range(len(images))]

    labels: list[int | None] = [None] * len(images)
    for i in range(len(images)):
        if images[i].get("category_id") is not None:
            labels[i] = ranks[images.known(i, "category_id", ranks)]
    boxes: list[list[list[float]]] = [[] for _ in keys]
    unlike: dict[int, ManifestError] = {}
    annotations = Records(path, content, "annotations")
    keyed = [i for i in range(len(annotations)) if annotations[i].get("id") is not None]
    annotations.once("id", [annotations.key(i, "id") for i in keyed], keyed)
    for i in range(len(annotations)):
        row = rows[annotations.known(i, "image_id", rows)]
        label = ranks[annotations.known(i, "category_id", ranks)]
        if labels[row] not in (None, label):
            message = f"expected one category an image, its label, but {files[row]!r} has several"
            unlike.setdefault(row, annotations.fault(i, message))
        labels[row] = label
        if not annotations[i].get("iscrowd"):
            boxes[row].append(_read_box(annotations, i, size[row]))
    for row, known in enumerate(labels):
        if known is None:
            message = "expected an annotation, or a category_id in the image's record"
            unlike[row] = images.fault(row, message)
    for fault in unlike.values():
        if skip is None or len(unlike) == len(images):
            raise fault
        skip(str(fault))
    kept = [row for row in range(len(images)) if row not in unlike]
    boxes = [boxes[row] for row in kept]
    whole = all(float(v).is_integer() for each in boxes for box in each for v in box)
    dtype = np.int64 if whole else np.float64
    arrays = tuple(np.array(each, dtype=dtype).reshape(-1, 4) for each in boxes)
    return Split(
        name,
        tuple(files[row] for row in kept),
        np.array([labels[row] for row in kept], dtype=np.int64),
        np.array([size[row] for row in kept], dtype=np.int64),
        arrays if any(boxes) else None,
        class_names=tuple(names[category] for category in sorted(ids)),
    )


def _find_path(text: str) -> str:
    """Tell which path a file name means, below the image root."""
    _, served, path = text.partition(_SERVED)
    return unquote(path) if served else text


def _read_box(annotations: Records, i: int, size: list[int]) -> list[float]:
    """Turn a `bbox` into first and last pixel, clipped where rounding made it stick out."""
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
    width, height = size
    corners = [max(x, 0), max(y, 0), min(x + w, width), min(y + h, height)]
    sticks_out = max(-x, -y, x + w - width, y + h - height)
    if sticks_out > _ROUNDING or corners[0] >= corners[2] or corners[1] >= corners[3]:
        raise annotations.fault(
            i, f"expected bbox to lie in an image of {width} x {height} but got {show(box)}"
        )
    return [corners[0], corners[1], corners[2] - 1, corners[3] - 1]


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
