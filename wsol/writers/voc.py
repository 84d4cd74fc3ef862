"""Pascal VOC: one XML file an image (`voc/Annotations/<name>.xml`), boxes in whole pixels.

VOC counts pixels from 1 and includes both ends: a box around everything is 1, 1, width, height.
An object's `score` is a further element that VOC readers pass over. The list of names in
`voc/ImageSets/Main/train.txt` is what CVAT and Datumaro read first, and `voc/labelmap.txt` tells
them the classes, `name:colour:parts:actions`, where all names can stand in such a line.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, SubElement

from wsol.out_files import make_folder
from wsol.writers.base import ErrorTable, Writer, clip_box, each_box
from wsol.writers.names import unique_stem
from wsol.writers.xml_files import add_text, write_xml

if TYPE_CHECKING:
    from pathlib import Path

    from wsol.results import Localization


_LABEL = re.compile(r"[^\s:#]([^:\r\n]*[^\s:])?")  # a name that can stand in labelmap.txt


class VocWriter(Writer):
    """Writes the folder `voc`; images that could not be read are in `voc/errors.csv`.

    A name is the image's stem, with a number behind it where folders hold images of one name.
    """

    def __init__(self, folder: Path, names: tuple[str, ...]) -> None:
        super().__init__(folder, names)
        home = folder / "voc"
        for part in ("Annotations", "ImageSets/Main"):
            make_folder(home / part)
        self._errors = ErrorTable(home / "errors.csv", self._files)
        self._taken: set[str] = set()
        self._list = self._open("voc/ImageSets/Main/train.txt")
        (home / "labelmap.txt").unlink(missing_ok=True)
        bad = next((name for name in names if not _LABEL.fullmatch(name)), None)
        if bad is not None:
            self.notes.append(f"without voc/labelmap.txt, which cannot hold the name {bad!r}")
        else:
            self._open("voc/labelmap.txt").writelines(f"{name}:::\n" for name in names)

    def add(self, localization: Localization) -> None:
        """Write the localizations of one image."""
        stem = unique_stem(localization.path, self._taken)
        path = self.folder / "voc" / "Annotations" / f"{stem}.xml"
        write_xml(_describe(localization, stem), path, sync=False)
        self._list.write(stem + "\n")

    def add_error(self, path: Path, reason: str) -> None:
        """Write that an image could not be read, and so has no annotation."""
        self._errors.add(path, reason)


def _describe(localization: Localization, stem: str) -> Element:
    """Build the annotation of one image; `stem` names one that came from memory."""
    root = Element("annotation")
    path = localization.path
    add_text(root, "folder", "" if path is None else path.absolute().parent.name)
    add_text(root, "filename", stem if path is None else path.name)
    add_text(root, "path", "" if path is None else path)
    size = SubElement(root, "size")
    add_text(size, "width", localization.width)
    add_text(size, "height", localization.height)
    add_text(size, "depth", 3)
    add_text(root, "segmented", 0)
    for each, box, score in each_box(localization):
        x0, y0, x1, y1 = clip_box(box, localization.width, localization.height)
        xmin, xmax = to_pixels(x0, x1, localization.width)
        ymin, ymax = to_pixels(y0, y1, localization.height)
        item = SubElement(root, "object")
        add_text(item, "name", each.name)
        add_text(item, "pose", "Unspecified")
        add_text(item, "truncated", 0)
        add_text(item, "difficult", 0)
        frame = SubElement(item, "bndbox")
        add_text(frame, "xmin", xmin)
        add_text(frame, "ymin", ymin)
        add_text(frame, "xmax", xmax)
        add_text(frame, "ymax", ymax)
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
