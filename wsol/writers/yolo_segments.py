"""YOLO labels of polygons, in the layout of `wsol.writers.yolo`, below `yolo-seg`.

A line is `class x1 y1 x2 y2 ...`, in shares of the image's width and height, one for every region
that a box is drawn around. Trainers of segmentation take it as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wsol.writers.base import each_region
from wsol.writers.photographs import DataSetWriter
from wsol.writers.yolo import DIGITS, YoloWriter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from wsol.results import Localization


class YoloSegmentsWriter(YoloWriter):
    """Writes the folder `yolo-seg`; images that could not be read are in `yolo-seg/errors.csv`."""

    options = DataSetWriter.options
    of_maps = True
    home = "yolo-seg"

    def __init__(
        self,
        folder: Path,
        names: tuple[str, ...],
        upright_copies: bool = False,
        val: float = 0.0,
    ) -> None:
        super().__init__(folder, names, upright_copies=upright_copies, val=val)

    def _lines(self, localization: Localization) -> Iterator[str]:
        size = localization.width, localization.height
        for each, _, _, region in each_region(localization):
            shares = np.clip(region.polygon() / size, 0, 1)
            yield f"{each.label} {' '.join(f'{value:.{DIGITS}f}' for value in shares.flat)}\n"
