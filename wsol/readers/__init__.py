"""Boxes that any program wrote: formats of `wsol.writers` and of labelling tools, each a module."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from eval.parsing import read_json
from wsol.readers.coco import read_coco_boxes
from wsol.readers.csv_table import read_csv_boxes
from wsol.readers.cvat import read_cvat_boxes
from wsol.readers.datumaro import read_datumaro_boxes
from wsol.readers.found_boxes import FoundBoxes
from wsol.readers.hugging_face import read_hugging_face_boxes
from wsol.readers.json_lines import read_json_line_boxes
from wsol.readers.label_studio import read_label_studio_boxes
from wsol.readers.sources import BoxSource, tell_source
from wsol.readers.voc import read_voc_boxes
from wsol.readers.yolo import read_yolo_boxes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import Any

    from wsol.readers.sources import Form

__all__ = ["BoxSource", "FoundBoxes", "read_boxes", "read_source", "tell_source"]

_PATHS: dict[Form, Callable[[Path], Iterator[FoundBoxes]]] = {
    "CVAT": read_cvat_boxes,
    "VOC": read_voc_boxes,
    "YOLO": read_yolo_boxes,
    "Hugging Face": read_hugging_face_boxes,
    "table": read_csv_boxes,
    "lines": read_json_line_boxes,
}
_TOOLS: dict[Form, Callable[[Path, Any], Iterator[FoundBoxes]]] = {
    "Label Studio": read_label_studio_boxes,
    "Datumaro": read_datumaro_boxes,
}


def read_boxes(path: Path, data: Path | None = None) -> Iterator[FoundBoxes]:
    """Read the boxes of a file or folder, in whichever of the forms of `tell_source` it has.

    Args:
        path: of it
        data: file of a COCO data set, whose numbers of images and categories results have that no
            file of images lies beside; or None

    Yields:
        the boxes of one image after the other; an image may come more than once

    Raises:
        ManifestError: no such file or folder, none of the forms or several, or a fault in it
    """
    yield from read_source(tell_source(path), data)


def read_source(source: BoxSource, data: Path | None = None) -> Iterator[FoundBoxes]:
    """Read boxes of a form that is known.

    Args:
        source: of the boxes
        data: as for `read_boxes`

    Raises:
        ManifestError: a fault in a file
    """
    for path in source.paths:
        if source.form in _PATHS:
            yield from _PATHS[source.form](path)
            continue
        content = read_json(path) if source.content is None else source.content
        if source.form in _TOOLS:
            yield from _TOOLS[source.form](path, content)
        else:
            yield from _name_parts(source, path, read_coco_boxes(path, data, content))


def _name_parts(
    source: BoxSource, path: Path, images: Iterator[FoundBoxes]
) -> Iterator[FoundBoxes]:
    """Put the folders before names that the images of one split lie in."""
    parts = () if source.parts is None else source.parts.parts.values()
    folders = [f for part in parts if part.path == path for f in part.images if f != "."]
    for image in images:
        inside = (f"{folder}/{name}" for name in image.names for folder in folders)
        yield replace(image, names=(*inside, *image.names))
