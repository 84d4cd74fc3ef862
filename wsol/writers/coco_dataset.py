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
from typing import Any

from tdam.strict_json import dumps
from wsol.writers.coco import CocoRecords


class CocoDatasetWriter(CocoRecords):
    """Writes `coco_dataset.json`."""

    def close(self) -> None:
        """Write the file."""
        root, file_names = split_common_folder([image["file_name"] for image in self._images])
        occurring = {result["category_id"] for result in self._results}
        dataset = {
            "info": {
                "description": f"Boxes predicted by wsol-tdam {version('wsol-tdam')}",
                "image_root": root,
            },
            "images": [
                {**image, "file_name": name}
                for image, name in zip(self._images, file_names, strict=True)
            ],
            "categories": [each for each in self._categories() if each["id"] in occurring],
            "annotations": [
                _to_annotation(number, result)
                for number, result in enumerate(self._results, start=1)
            ],
            **self._error_keys(),
        }
        self._open("coco_dataset.json").write(dumps(dataset))
        super().close()


def _to_annotation(number: int, result: dict[str, Any]) -> dict[str, Any]:
    _, _, width, height = result["bbox"]
    rest = {"area": width * height, "iscrowd": 0, "segmentation": []}  # CVAT asks for all three
    return {"id": number, **result, **rest}


def split_common_folder(paths: list[str]) -> tuple[str, list[str]]:
    """Split off the deepest folder that holds all files.

    Args:
        paths: of files

    Returns:
        the folder, and the paths relative to it with forward slashes; `.` and the paths as they
        are where no folder holds all

    >>> split_common_folder(["photos/cats/a.jpg", "photos/dogs/a.jpg"])
    ('photos', ['cats/a.jpg', 'dogs/a.jpg'])
    >>> split_common_folder(["/photos/a.jpg", "b.jpg"])
    ('.', ['/photos/a.jpg', 'b.jpg'])
    """
    try:
        folder = os.path.commonpath([str(Path(path).parent) for path in paths])
    except ValueError:  # none, absolute and relative ones, or several drives
        return ".", paths
    return folder or ".", [Path(path).relative_to(folder).as_posix() for path in paths]
