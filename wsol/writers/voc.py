"""Pascal VOC: the tree of its development kit, below `voc`, boxes in whole pixels.

`Annotations` has one XML file an image, `JPEGImages` links to the images under the same names, and
`ImageSets/Main/train.txt` lists the names (`val.txt` those to validate on). VOC counts pixels from
1 and includes both ends: a box around everything is 1, 1, width, height. Readers that subtract
nothing want 0, 0, width, height: with `zero_based` they get that, and a further element
`zero_based` says so. An object's `score` is another one that VOC readers pass over.
`voc/labelmap.txt` tells CVAT and Datumaro the classes, `name:colour:parts:actions`, where all names
can stand in such a line.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any
from xml.etree.ElementTree import Element, SubElement

from wsol.out_files import make_folder
from wsol.writers.base import ErrorTable, clip_box, each_box
from wsol.writers.names import plain_name
from wsol.writers.photographs import DataSetWriter
from wsol.writers.xml_files import add_text, write_xml, xml_text

if TYPE_CHECKING:
    from pathlib import Path

    from wsol.results import Localization
    from wsol.writers.photographs import Placed


_LABEL = re.compile(  # a name that can stand in labelmap.txt
    "[^\\s:#\ud800-\udfff]([^:\r\n\ud800-\udfff]*[^\\s:\ud800-\udfff])?"
)
_JPEG = (".jpg", ".jpeg", ".jpe", ".jfif")
_CORNERS = ("xmin", "ymin", "xmax", "ymax")


class VocWriter(DataSetWriter):
    """Writes the folder `voc`; images that could not be read are in `voc/errors.csv`.

    A name is the image's stem, with a number behind it where folders hold images of one name.

    Args:
        folder: that the files go to; exists
        names: of all classes
        zero_based: count pixels from 0, for readers that do not subtract 1
        upright_copies: as for `DataSetWriter`, like the next one
        val: share of the images that is kept to validate on
    """

    options = DataSetWriter.options | {"zero_based"}
    hard_links = True  # Datumaro refuses images that lie outside of the folder

    def __init__(
        self,
        folder: Path,
        names: tuple[str, ...],
        zero_based: bool = False,
        upright_copies: bool = False,
        val: float = 0.0,
    ) -> None:
        super().__init__(folder, names, upright_copies, val)
        self._zero_based = zero_based
        self._home = home = folder / "voc"
        for part in ("Annotations", "JPEGImages", "ImageSets/Main"):
            make_folder(home / part)
        self._errors = ErrorTable(home / "errors.csv", self._files)
        (home / "labelmap.txt").unlink(missing_ok=True)
        bad = next((name for name in names if not _LABEL.fullmatch(name)), None)
        if bad is not None:
            self.notes.append(f"without voc/labelmap.txt, which cannot hold the name {bad!r}")
        else:
            self._open("voc/labelmap.txt").writelines(f"{name}:::\n" for name in names)

    def add(self, localization: Localization) -> None:
        """Describe the objects of one image."""
        size = localization.width, localization.height
        objects = [
            [each.name, *self._corners(box, *size), score]
            for each, box, score in each_box(localization)
        ]
        self._keep(localization, [size, objects])

    def _called(self, path: Path | None) -> Path | None:
        """Give a path whose name can stand in XML, so that a link has the name that it tells."""
        return path and path.with_name(xml_text(path.name))

    def _corners(self, box: list[float], width: int, height: int) -> list[int]:
        """Give xmin, ymin, xmax, ymax of a box."""
        x0, y0, x1, y1 = clip_box(box, width, height)
        (xmin, xmax), (ymin, ymax) = to_pixels(x0, x1, width), to_pixels(y0, y1, height)
        first = 1 if self._zero_based else 0
        return [xmin - first, ymin - first, xmax, ymax]

    def add_error(self, path: Path, reason: str) -> None:
        """Write that an image could not be read, and so has no annotation."""
        self._errors.add(path, reason)

    def close(self) -> None:
        """Write the annotations, link to the images that are files, and write the lists."""
        lists = {part: self._open(f"voc/ImageSets/Main/{part}.txt") for part in self._splits}
        for part, stem, path, (size, objects) in self._parts():
            suffix = "" if path is None else xml_text(plain_name(path.suffix))
            suffix = ".jpg" if suffix.lower() in _JPEG else suffix  # as readers expect
            placed = self._place(path, self._home / "JPEGImages", stem, suffix)
            name = stem + suffix if placed is None else placed.path.name
            root = self._describe(name, path, placed, size, objects)
            write_xml(root, self._home / "Annotations" / f"{stem}.xml", sync=False)
            lists[part].write(stem + "\n")
        super().close()

    def _describe(
        self, name: str, path: Path | None, placed: Placed | None, size: list[int], objects: Any
    ) -> Element:
        """Build the annotation of one image."""
        root = Element("annotation")
        add_text(root, "folder", "JPEGImages")
        add_text(root, "filename", name)
        if placed is not None and placed.copied:
            add_text(root, "path", placed.path)
            add_text(root, "original", path)
        else:
            add_text(root, "path", "" if path is None else path)
        if self._zero_based:
            add_text(root, "zero_based", 1)
        frame = SubElement(root, "size")
        for tag, value in zip(("width", "height", "depth"), (*size, 3), strict=True):
            add_text(frame, tag, value)
        add_text(root, "segmented", 0)
        for label, *corners, score in objects:
            item = SubElement(root, "object")
            add_text(item, "name", label)
            add_text(item, "pose", "Unspecified")
            add_text(item, "truncated", 0)
            add_text(item, "difficult", 0)
            box = SubElement(item, "bndbox")
            for corner, value in zip(_CORNERS, corners, strict=True):
                add_text(box, corner, value)
            add_text(item, "score", score)
        return root


def to_pixels(low: float, high: float, length: int) -> tuple[int, int]:
    """Turn the outer edges of a box into its first and last pixel, counted from 1.

    Each edge moves to the nearest border between pixels, by half a pixel at most; a box so narrow
    that both edges meet there becomes the pixel that holds its centre.

    Args:
        low: left or upper edge, in [0, length]
        high: right or lower edge, in [low, length]
        length: width or height of the image, in pixels

    Returns:
        first and last pixel, both in [1, length], first <= last

    >>> to_pixels(0.0, 640.0, 640), to_pixels(1.6, 3.4, 640), to_pixels(2.1, 2.3, 640)
    ((1, 640), (3, 3), (3, 3))
    """
    first, end = math.floor(low + 0.5), math.floor(high + 0.5)
    if first == end:
        first = min(math.floor((low + high) / 2), length - 1)
        end = first + 1
    return first + 1, end
