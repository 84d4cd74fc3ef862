"""COCO results with scores (`coco_results.json`), beside the images and categories they refer to.

A box is x, y, width, height in original pixels. A category's id is the class's index + 1, since
many readers keep 0 for the background; images are numbered from 1 in the order of prediction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tdam.strict_json import dumps
from wsol.writers.base import Writer, each_box

if TYPE_CHECKING:
    from pathlib import Path

    from wsol.results import Localization


class CocoRecords(Writer):
    """Collects images, results and errors as COCO describes them; subclasses write them."""

    def __init__(self, folder: Path, names: tuple[str, ...]) -> None:
        super().__init__(folder, names)
        self._images: list[dict[str, Any]] = []
        self._results: list[dict[str, Any]] = []
        self._errors: list[dict[str, str]] = []

    def add(self, localization: Localization) -> None:
        """Collect the localizations of one image."""
        image_id = len(self._images) + 1
        self._images.append(
            {
                "id": image_id,
                "file_name": self._reference(localization),
                "width": localization.width,
                "height": localization.height,
            }
        )
        for each, (x0, y0, x1, y1), score in each_box(localization):
            self._results.append(
                {
                    "image_id": image_id,
                    "category_id": each.label + 1,
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "score": score,
                }
            )

    def add_error(self, path: Path, reason: str) -> None:
        """Collect that an image could not be read."""
        self._errors.append({"file_name": str(path), "error": reason})

    def _categories(self) -> list[dict[str, Any]]:
        return [{"id": i, "name": name} for i, name in enumerate(self.names, start=1)]

    def _error_keys(self) -> dict[str, Any]:
        """Return the errors, if any, under a key that COCO readers pass over."""
        return {"errors": self._errors} if self._errors else {}


class CocoWriter(CocoRecords):
    """Writes `coco_results.json` (a list) and `coco_images.json` (image ids and categories)."""

    def close(self) -> None:
        """Write both files, the results last."""
        images = {
            "images": self._images,
            "categories": self._categories(),
            "annotations": [],
            **self._error_keys(),
        }
        self._open("coco_images.json").write(dumps(images))
        self._open("coco_results.json").write(dumps(self._results))
        super().close()
