"""COCO results with scores (`coco_results.json`), beside the images and categories they refer to.

A box is x, y, width, height in original pixels. A category's id is the class's index + 1, since
many readers keep 0 for the background; images are numbered from 1 in the order of prediction. The
`segmentation` outlines the region that the box is drawn around, where a map made it. An image in
the folder `images` of upright copies has the path of its `original` too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from eval.coco import head_coco
from wsol.writers.base import (
    Records,
    describe_writer,
    each_region,
    write_list,
    write_object,
)
from wsol.writers.names import unique_stem
from wsol.writers.photographs import PhotographWriter

if TYPE_CHECKING:
    from pathlib import Path

    from wsol.regions import Region
    from wsol.results import Localization


class CocoRecords(PhotographWriter):
    """Collects images, results and errors as COCO describes them; subclasses write them.

    Args:
        folder: that the files go to; exists
        names: of all classes
        rle: segments are masks, run-length encoded as pycocotools does it, and not polygons
        upright_copies: write a folder `images` of all images, which the files then name: upright
            copies of those that EXIF turns, links to the others
    """

    options = PhotographWriter.options | {"rle"}
    hard_links = True  # Datumaro refuses images that lie outside of the folder

    def __init__(
        self,
        folder: Path,
        names: tuple[str, ...],
        rle: bool = False,
        upright_copies: bool = False,
    ) -> None:
        super().__init__(folder, names, upright_copies)
        self._rle = rle
        self._taken: set[str] = set()
        self._images, self._results, self._errors = (Records(folder) for _ in range(3))

    def add(self, localization: Localization) -> None:
        """Collect the localizations of one image."""
        image_id = self._images.count + 1
        self._images.append(
            {
                "id": image_id,
                **self._name(localization),
                "width": localization.width,
                "height": localization.height,
            }
        )
        size = localization.width, localization.height
        for each, (x0, y0, x1, y1), score, region in each_region(localization):
            segment = {} if each.rule is None else {"segmentation": self._segment(region, *size)}
            self._results.append(
                {
                    "image_id": image_id,
                    "category_id": each.label + 1,
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "score": score,
                    **segment,
                }
            )

    def _name(self, localization: Localization) -> dict[str, str]:
        """Name the image's file, and the original of one in the folder `images`."""
        path = localization.path
        if self._upright:
            stem = unique_stem(path, self._taken)
            placed = self._place(path, self.folder / "images", stem)
            if placed is not None:
                return {"file_name": str(placed.path), "original": str(path)}
        return {"file_name": self._reference(localization)}

    def _segment(self, region: Region, width: int, height: int) -> Any:
        if not self._rle:
            return [region.polygon().ravel().tolist()]
        from pycocotools.mask import encode

        painted = np.asfortranarray(region.paint(width, height), dtype=np.uint8)
        return {"size": [height, width], "counts": encode(painted)["counts"].decode("ascii")}

    def add_error(self, path: Path, reason: str) -> None:
        """Collect that an image could not be read."""
        self._errors.append({"file_name": str(path), "error": reason})

    def _categories(self) -> list[dict[str, Any]]:
        return [{"id": i, "name": name} for i, name in enumerate(self.names, start=1)]

    def _error_keys(self) -> dict[str, Any]:
        """Return the errors, if any, under a key that COCO readers pass over."""
        return {"errors": iter(self._errors)} if self._errors.count else {}

    def close(self) -> None:
        """Put the files in their places, and forget the records."""
        super().close()
        self.discard()

    def discard(self) -> None:
        """Drop what has not been put in its place."""
        super().discard()
        for records in (self._images, self._results, self._errors):
            records.close()


class CocoWriter(CocoRecords):
    """Writes `coco_results.json` (a list) and `coco_images.json` (image ids and categories)."""

    def close(self) -> None:
        """Write both files, the results last."""
        images = {
            **head_coco(f"Images and categories of coco_results.json, {describe_writer()}"),
            "images": iter(self._images),
            "categories": self._categories(),
            "annotations": [],
            **self._error_keys(),
        }
        write_object(images, self._open("coco_images.json"))
        write_list(self._results, self._open("coco_results.json"))
        super().close()
