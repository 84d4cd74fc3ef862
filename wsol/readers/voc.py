"""Pascal VOC: a folder with one XML file an image, pixels counted from 1, both ends included.

A file that has the element `zero_based` counts from 0 up to the far edge.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from eval.annotations import CORNERS, read_objects
from eval.splits import ManifestError
from eval.tables import parse_float
from wsol.readers.found_boxes import FoundBox, FoundBoxes, FoundClass

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def read_voc_boxes(folder: Path) -> Iterator[FoundBoxes]:
    """Read every XML file of a folder, at any depth; an object may have a `score`.

    Raises:
        ManifestError: no file, or one that breaks a rule
    """
    paths = sorted(folder.rglob("*.xml"))
    if not paths:
        raise ManifestError(f"{folder}: expected XML files of images but there are none")
    for path in paths:
        image, size, objects = read_objects(path)
        first = 0 if image.get("zero_based") == "1" else 1
        boxes = [_read_box(path, line, fields, first) for line, fields in objects]
        file, home = image.get("filename", ""), image.get("folder", "")
        inside = f"{home}/{file}" if home and file else ""
        # The original of an upright copy comes first: the data have no other name for it.
        names = (image.get("original", ""), image.get("path", ""), inside, file, path.stem)
        yield FoundBoxes(str(path), tuple(filter(None, names)), boxes, size)


def _read_box(path: Path, line: int, fields: dict[str, str], first: int) -> FoundBox:
    try:
        xmin, ymin, xmax, ymax = (parse_float(fields.get(corner, "")) for corner in CORNERS)
        score = fields.get("score") or fields.get("confidence")
        certain = None if score is None else parse_float(score)
    except ValueError as error:
        raise ManifestError(f"{path}:{line}: expected xmin, ymin, xmax, ymax: {error}") from error
    kind = FoundClass(name=fields["name"]) if fields.get("name") else None
    return FoundBox((xmin - first, ymin - first, xmax, ymax), certain, kind)
