"""A COCO data set (`coco_dataset.json`), which pycocotools, CVAT and Label Studio import.

Ids and boxes are those of the `coco` format; every annotation keeps its `score` as a further key.
Labelling tools ask for all categories of a file, so only those with a box are in it. They also
look images up by the names inside a folder: file names are relative to the deepest folder that
holds all images, which `info.image_root` names.
"""

from __future__ import annotations

import os
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wsol.writers.base import write_object
from wsol.writers.coco import CocoRecords

if TYPE_CHECKING:
    from collections.abc import Iterable


class CocoDatasetWriter(CocoRecords):
    """Writes `coco_dataset.json`."""

    def close(self) -> None:
        """Write the file."""
        root = common_folder(image["file_name"] for image in self._images)
        occurring = {result["category_id"] for result in self._results}
        dataset = {
            "info": {
                "description": f"Boxes predicted by wsol-tdam {version('wsol-tdam')}",
                "image_root": root,
            },
            "images": (
                {**image, "file_name": name_below(root, image["file_name"])}
                for image in self._images
            ),
            "categories": [each for each in self._categories() if each["id"] in occurring],
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
    rest = {"area": width * height, "iscrowd": 0, "segmentation": []}  # CVAT asks for all three
    return {"id": number, **result, **rest}


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
