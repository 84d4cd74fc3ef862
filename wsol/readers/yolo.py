"""YOLO: a folder with one label file an image, boxes in shares of its width and height."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eval.label_files import ImagePairs
from eval.yolo import pair_images, read_label_file, read_names
from wsol.readers.found_boxes import FoundBox, FoundBoxes, FoundClass
from wsol.readers.originals import name_original, read_originals

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def read_yolo_boxes(folder: Path) -> Iterator[FoundBoxes]:
    """Read every label file of a folder, at any depth, with a sixth column as the score.

    An image is known by the file or link in `images/` that belongs to a label file, of which
    `originals.csv` may tell what it is a copy of, and without one by the label file's own path
    below `labels/`.

    Raises:
        ManifestError: no label file, or one that breaks a rule
    """
    folder = folder.absolute()
    class_names = read_names(folder, 0) or ()
    originals = read_originals(folder)
    for path, image in pair_images(folder, ImagePairs(folder, None)):
        inside = [p for p in path.relative_to(folder).with_suffix("").parts if p != "labels"]
        names = [] if image is None else [name_original(image, originals)]
        names += ["/".join(inside[first:]) for first in range(len(inside))]
        boxes = [
            FoundBox(edges, score, FoundClass(number, "".join(class_names[number : number + 1])))
            for _, number, edges, score in read_label_file(path)
        ]
        yield FoundBoxes(str(path), tuple(names), boxes, (1, 1))
