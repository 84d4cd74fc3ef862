"""A table with one line a box (`predictions.csv`), original pixels, outer edges."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from eval.tables import guard_cell
from wsol.writers.base import Writer

if TYPE_CHECKING:
    from pathlib import Path

    from wsol.results import Localization

COLUMNS = (
    "file", "width", "height", "label", "name", "score", "x0", "y0", "x1", "y1", "box_score",
    "error",
)  # fmt: skip


class CsvWriter(Writer):
    """Writes `predictions.csv`; a class without a box has one line with empty box columns."""

    of_steps = False

    def __init__(self, folder: Path, names: tuple[str, ...]) -> None:
        super().__init__(folder, names)
        self._table = csv.writer(self._open("predictions.csv"))
        self._table.writerow(COLUMNS)

    def add(self, localization: Localization) -> None:
        """Write the localizations of one image."""
        image = [localization.path, localization.width, localization.height]
        for each in localization.classes:
            rows = [
                [*box, score]
                for box, score in zip(each.boxes.tolist(), each.box_scores.tolist(), strict=True)
            ]
            for row in rows or [[""] * 5]:
                cells = [*image, each.label, each.name, each.score, *row, ""]
                self._table.writerow(map(guard_cell, cells))

    def add_error(self, path: Path, reason: str) -> None:
        """Write that an image could not be read."""
        cells = [path, *[""] * (len(COLUMNS) - 2), reason]
        self._table.writerow(map(guard_cell, cells))
