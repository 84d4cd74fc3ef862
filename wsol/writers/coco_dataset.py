"""A COCO data set (`coco_dataset.json`), which pycocotools, CVAT and Label Studio import.

Ids, boxes and segments are those of the `coco` format; every annotation keeps its `score` as a
further key. Labelling tools ask for all categories of a file, so that `list_classes` says which are
in it. They also look images up by the names inside a folder: file names are relative to the deepest
folder that holds all images, which `info.image_root` names.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from eval.coco import head_coco
from wsol.writers.base import describe_writer, list_classes, write_object
from wsol.writers.coco import CocoRecords

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class CocoDatasetWriter(CocoRecords):
    """Writes `coco_dataset.json`.

    Args:
        folder: that the file goes to; exists
        names: of all classes
        rle: as for `CocoRecords`, like the next one
        upright_copies: in a folder `images`
        classes: that are listed whether they occur or not
    """

    options = CocoRecords.options | {"classes"}

    def __init__(
        self,
        folder: Path,
        names: tuple[str, ...],
        rle: bool = False,
        upright_copies: bool = False,
        classes: Sequence[int] = (),
    ) -> None:
        super().__init__(folder, names, rle, upright_copies)
        self._classes = classes

    def close(self) -> None:
        """Write the file."""
        root = common_folder(image["file_name"] for image in self._images)
        occurring = {result["category_id"] - 1 for result in self._results}
        listed = list_classes(self.names, occurring, self._classes)
        dataset = {
            **head_coco(f"Boxes predicted by {describe_writer()}", image_root=root),
            "images": (
                {**image, "file_name": name_below(root, image["file_name"])}
                for image in self._images
            ),
            "categories": [{"id": each + 1, "name": self.names[each]} for each in listed],
            "annotations": (
                _to_annotation(number, result)
                for number, result in enumerate(self._results, start=1)
            ),
            **self._error_keys(),
        }
        write_object(dataset, self._open("coco_dataset.json"))
        super().close()


def _to_annotation(number: int, result: dict[str, Any]) -> dict[str, Any]:
    _, _, width, height = result["bbox"]
    segment = result.get("segmentation", [])
    area = width * height if not segment else _measure(segment)
    rest = {"area": area, "iscrowd": 0, "segmentation": segment}  # CVAT asks for all three
    return {"id": number, **result, **rest}


def _measure(segment: Any) -> float:
    """Compute the area of a segment, in pixels."""
    if isinstance(segment, dict):
        from pycocotools.mask import area

        return float(area(segment))
    from wsol.outlines import ring_area

    return abs(ring_area(np.reshape(segment[0], (-1, 2))))


def common_folder(paths: Iterable[str]) -> str:
    """Find the deepest folder that holds all files.

    Args:
        paths: of files

    Returns:
        the folder; `.` where none holds all

    >>> common_folder(["photos/cats/a.jpg", "photos/dogs/a.jpg"])
    'photos'
    >>> common_folder(["/photos/a.jpg", "b.jpg"])
    '.'
    """
    folder: str | None = None
    for path in paths:
        parent = str(Path(path).parent)
        try:
            folder = os.path.commonpath([parent] if folder is None else [folder, parent])
        except ValueError:  # absolute and relative ones, or several drives
            return "."
    return folder or "."


def name_below(folder: str, path: str) -> str:
    """Name a file relative to a folder that `common_folder` found, with forward slashes.

    >>> name_below("photos", "photos/cats/a.jpg"), name_below(".", "/photos/a.jpg")
    ('cats/a.jpg', '/photos/a.jpg')
    """
    return (Path(path) if folder == "." else Path(path).relative_to(folder)).as_posix()
