"""Pascal VOC: a folder with one XML file an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eval.splits import ManifestError
from eval.voc import read_voc
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
        file = read_voc(path)
        boxes = [
            FoundBox(each.edges, each.score, FoundClass(name=each.name) if each.name else None)
            for each in file.objects
        ]
        yield FoundBoxes(str(path), file.names, boxes, file.size)
