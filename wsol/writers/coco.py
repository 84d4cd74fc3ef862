"""COCO results with scores (`coco_results.json`), beside the images and categories they refer to.

A box is x, y, width, height in original pixels. A category's id is the class's index + 1, since
many readers keep 0 for the background; images are numbered from 1 in the order of prediction.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from wsol.writers.base import Writer

if TYPE_CHECKING:
    from pathlib import Path

    from wsol.results import Localization


class CocoWriter(Writer):
    """Writes `coco_results.json` (a list) and `coco_images.json` (image ids and categories)."""

    def __init__(self, folder: Path, names: tuple[str, ...]) -> None:
        super().__init__(folder, names)
        self._images: list[dict[str, Any]] = []
        self._results: list[dict[str, Any]] = []
        self._errors: list[dict[str, str]] = []

    def add(self, found: Localization) -> None:
        """Write the localizations of one image."""
        image_id = len(self._images) + 1
        self._images.append(
            {
                "id": image_id,
                "file_name": str(found.path),
                "width": found.width,
                "height": found.height,
            }
        )
        for each in found.classes:
            for (x0, y0, x1, y1), score in zip(
                each.boxes.tolist(), each.box_scores.tolist(), strict=True
            ):
                self._results.append(
                    {
                        "image_id": image_id,
                        "category_id": each.label + 1,
                        "bbox": [x0, y0, x1 - x0, y1 - y0],
                        "score": score,
                    }
                )

    def add_error(self, path: Path, reason: str) -> None:
        """Write that an image could not be read, under a key that COCO readers pass over."""
        self._errors.append({"file_name": str(path), "error": reason})

    def close(self) -> None:
        """Write both files, the results last."""
        images: dict[str, Any] = {
            "images": self._images,
            "categories": [{"id": i, "name": name} for i, name in enumerate(self.names, start=1)],
            "annotations": [],
        }
        if self._errors:
            images["errors"] = self._errors
        json.dump(images, self._open("coco_images.json"))
        json.dump(self._results, self._open("coco_results.json"))
        super().close()
