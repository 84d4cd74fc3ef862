"""Masks as pictures: one PNG an image under `masks/`, in which a pixel's number is its class.

0 is the background and a class's index + 1 its number, as the category ids of `coco`: 8 bits a
pixel for up to 255 classes, else 16. Where regions overlap, that of the higher score is on top.
"""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from eval.tables import guard_cell
from wsol.out_files import make_folder, save_file
from wsol.writers.base import Writer, each_region
from wsol.writers.names import unique_stem

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

    from wsol.results import Localization


class MasksWriter(Writer):
    """Writes `masks/<name>.png`, of the image's size; the region of every box, filled.

    `masks.csv` names the mask of every image, `masks_classes.csv` the class of every number.
    """

    of_maps = True
    of_steps = False

    def __init__(self, folder: Path, names: tuple[str, ...]) -> None:
        super().__init__(folder, names)
        make_folder(folder / "masks")
        self._type = np.uint8 if len(names) <= 255 else np.uint16
        self._taken: set[str] = set()
        self._rows = csv.writer(self._open("masks.csv"))
        self._rows.writerow(["file", "mask", "error"])
        classes = csv.writer(self._open("masks_classes.csv"))
        classes.writerow(["number", "name"])
        classes.writerows(map(guard_cell, row) for row in enumerate(("background", *names)))

    def add(self, localization: Localization) -> None:
        """Write the mask of one image."""
        width, height = localization.width, localization.height
        mask = np.zeros((height, width), dtype=self._type)
        parts = sorted(each_region(localization), key=lambda part: part[2])
        for each, _, _, region in parts:
            mask[region.paint(width, height)] = each.label + 1
        stem = unique_stem(localization.path, self._taken)

        def save(file: BinaryIO) -> None:
            Image.fromarray(mask).save(file, format="PNG")

        save_file(self.folder / "masks" / f"{stem}.png", save)
        self._rows.writerow(map(guard_cell, (localization.path, f"masks/{stem}.png", "")))

    def add_error(self, path: Path, reason: str) -> None:
        """Write that an image could not be read, and so has no mask."""
        self._rows.writerow(map(guard_cell, (path, "", reason)))
