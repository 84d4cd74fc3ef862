"""Datumaro's own JSON: one file of all items of a subset (`annotations/default.json`).

Boxes, polygons and ellipses count by the box around them. Labels and masks are a class without a
box.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eval.splits import ManifestError
from wsol.readers.found_boxes import FoundBox, FoundBoxes, FoundClass
from wsol.readers.json_places import Place
from wsol.readers.outer_boxes import around_points

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from wsol.readers.found_boxes import Edges

_SHAPES = ("bbox", "polygon", "ellipse")
_CLASSES = ("label", "mask")


def is_datumaro(content: Any) -> bool:
    """Tell whether the content of a JSON file is Datumaro's."""
    return isinstance(content, dict) and "items" in content and "annotations" not in content


def read_datumaro_boxes(path: Path, content: Any) -> Iterator[FoundBoxes]:
    """Read a file that Datumaro wrote.

    Args:
        path: of the file, for messages
        content: of the file

    Raises:
        ManifestError: another file, or a value that is missing or of another kind
    """
    whole = Place(f"{path}: file", content)
    categories = whole.get("categories").get("label").get("labels").items()
    names = [each.get("name").text() for each in categories]
    items = whole.get("items").items()
    if not items:
        raise ManifestError(f"{path}: expected items but there are none")
    for item in items:
        image = item.get("image", "media")
        told = [] if image.value is None else [image.get("path")]
        paths = [each.text() for each in told if each.value not in (None, "")]
        size = None
        if image.value is not None and image.get("size").value is not None:
            height, width = (each.whole(1) for each in _pair(image.get("size")))
            size = width, height
        boxes = [box for each in item.get("annotations").items() for box in _read(each, names)]
        yield FoundBoxes(item.where, (*paths, item.get("id").text()), boxes, size)


def _pair(place: Place) -> list[Place]:
    pair = place.items()
    if len(pair) != 2:
        raise place.fault("height and width")
    return pair


def _read(annotation: Place, names: list[str]) -> Iterator[FoundBox]:
    """Read an annotation that has a class."""
    kind = annotation.get("type").text()
    if kind not in (*_SHAPES, *_CLASSES) or annotation.get("label_id").value is None:
        return
    label = annotation.get("label_id").whole()
    if label >= len(names):
        raise annotation.get("label_id").fault(f"one of {len(names)} labels")
    yield FoundBox(
        _read_edges(annotation, kind) if kind in _SHAPES else None,
        kind=FoundClass(label, names[label]),
        around=kind == "ellipse",
    )


def _read_edges(annotation: Place, kind: str) -> Edges:
    if kind == "bbox":
        x, y, width, height = annotation.get("bbox").numbers(4)
        return x, y, x + width, y + height
    flat = annotation.get("points").numbers()
    if len(flat) < 4 or len(flat) % 2:
        raise annotation.get("points").fault("x and y of points")
    return around_points([*zip(flat[::2], flat[1::2], strict=True)])
