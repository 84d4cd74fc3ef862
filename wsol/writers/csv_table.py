"""A table with one line a box (`predictions.csv`), original pixels, outer edges."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

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

    def __init__(self, folder: Path, names: tuple[str, ...]) -> None:
        super().__init__(folder, names)
        self._table = csv.writer(self._open("predictions.csv"))
        self._table.writerow(COLUMNS)

    def add(self, localization: Localization) -> None:
        """Write the localizations of one image."""
        image = [localization.path, localization.width, localization.height]
        for each in localization.classes:
            head = [*image, each.label, each.name, each.score]
            rows = [
                [*box, score]
                for box, score in zip(each.boxes.tolist(), each.box_scores.tolist(), strict=True)
            ]
            for row in rows or [[""] * 5]:
                self._table.writerow([*head, *row, ""])

    def add_error(self, path: Path, reason: str) -> None:
        """Write that an image could not be read."""
        self._table.writerow([path, *[""] * (len(COLUMNS) - 2), reason])
