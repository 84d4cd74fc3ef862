"""CVAT's own XML, "CVAT for images 1.1": one file of all images.

Boxes, turned or not, polygons, ellipses and masks count by the box around them, polylines and
points not at all. A tag is a class without a box.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from eval.parsing import MOST_TEXT, show
from eval.splits import ManifestError, is_text
from eval.tables import parse_float, parse_int
from eval.xml_files import read_xml_file
from wsol.readers.found_boxes import FoundBox, FoundBoxes, FoundClass
from wsol.readers.outer_boxes import around_ellipse, around_points, around_turned

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from wsol.readers.found_boxes import Edges

Attributes = dict[str, str]


def read_cvat_boxes(path: Path) -> Iterator[FoundBoxes]:
    """Read a file that CVAT exported.

    Raises:
        ManifestError: another file, or an element that lacks what it needs
    """
    images: list[FoundBoxes] = []

    def start(tags: list[str], attributes: Attributes, line: int) -> None:
        where = f"{path}:{line}"
        if len(tags) == 1 and tags[0] != "annotations":
            voc = "; of VOC's files name the folder" if tags[0] == "annotation" else ""
            raise ManifestError(
                f"{where}: expected CVAT's annotations but got {show(tags[0])}{voc}"
            )
        if tags[1:] == ["track"]:
            raise ManifestError(
                f"{where}: expected CVAT for images 1.1 but got tracks of a video: export it as "
                "CVAT for images"
            )
        if tags[1:] == ["image"]:
            size = parse_int(attributes["width"]), parse_int(attributes["height"])
            name = attributes["name"]
            if min(size) < 1 or max(size) >= 2**31 or not name or not is_text(name):
                raise ValueError(f"{size[0]} x {size[1]} pixels of {show(name)}")
            images.append(FoundBoxes(where, (name,), [], size))
        elif tags[1:-1] == ["image"] and tags[-1] in _SHAPES:
            kind = FoundClass(name=attributes["label"])
            edges = _SHAPES[tags[-1]](attributes)
            around = tags[-1] == "ellipse" or _read_angle(attributes) != 0  # not kept inside
            images[-1].boxes.append(FoundBox(edges, kind=kind, around=around))

    def guarded(tags: list[str], attributes: Attributes, line: int) -> None:
        try:
            start(tags, attributes, line)
        except ManifestError:
            raise
        except KeyError as error:
            raise ManifestError(
                f"{path}:{line}: expected <{tags[-1]}> to have {error.args[0]} but got "
                f"{show(attributes)}"
            ) from error
        except ValueError as error:
            raise ManifestError(f"{path}:{line}: in <{tags[-1]}>: {error}") from error

    read_xml_file(path, guarded, _pass_over, MOST_TEXT)
    if not images:
        raise ManifestError(f"{path}: expected images but there are none")
    yield from images


def _pass_over(*_: object) -> None:
    """Take nothing from the end of an element."""


def _numbers(attributes: Attributes, *names: str) -> list[float]:
    return [parse_float(attributes[name]) for name in names]


def _read_box(attributes: Attributes) -> Edges:
    x0, y0, x1, y1 = _numbers(attributes, "xtl", "ytl", "xbr", "ybr")
    middle = (x0 + x1) / 2, (y0 + y1) / 2
    return around_turned((x0, y0, x1, y1), _read_angle(attributes), middle)


def _read_angle(attributes: Attributes) -> float:
    return parse_float(attributes.get("rotation") or "0")


def _read_polygon(attributes: Attributes) -> Edges:
    points = []
    for text in filter(None, attributes["points"].split(";")):
        x, y = map(parse_float, text.split(","))
        points.append((x, y))
    if not points:
        raise ValueError("Expected points but got none")
    return around_points(points)


def _read_ellipse(attributes: Attributes) -> Edges:
    x, y, across, down = _numbers(attributes, "cx", "cy", "rx", "ry")
    return around_ellipse((x, y), (across, down), _read_angle(attributes))


def _read_mask(attributes: Attributes) -> Edges:
    left, top, width, height = _numbers(attributes, "left", "top", "width", "height")
    return left, top, left + width, top + height


def _read_tag(_: Attributes) -> None:
    """A tag has no box."""


_SHAPES: dict[str, Callable[[Attributes], Edges | None]] = {
    "box": _read_box,
    "polygon": _read_polygon,
    "ellipse": _read_ellipse,
    "mask": _read_mask,
    "tag": _read_tag,
}
