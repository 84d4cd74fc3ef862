"""What every writer does: takes localizations and errors one by one, then closes its files."""

from __future__ import annotations

import csv
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, TextIO

from eval.tables import guard_cell
from wsol.writers.names import unique_stem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from wsol.results import Localization


class Writer(ABC):
    """Writes localizations in one format.

    Args:
        folder: that the files go to; exists
        names: of all classes
    """

    options: ClassVar[frozenset[str]] = frozenset()  # names of further arguments that it takes

    def __init__(self, folder: Path, names: tuple[str, ...]) -> None:
        self.folder = folder
        self.names = names
        self._files: list[TextIO] = []
        self._unnamed: set[str] = set()

    def _open(self, name: str) -> TextIO:
        """Open a text file of the folder that `close` will close."""
        path = self.folder / name  # written with whatever bytes a file's name holds
        file = path.open("w", encoding="utf-8", errors="surrogateescape", newline="")
        self._files.append(file)
        return file

    def _reference(self, localization: Localization) -> str:
        """Return an image's path as it was given, or a name for one that came from memory."""
        path = localization.path
        return unique_stem(None, self._unnamed) if path is None else str(path)

    @abstractmethod
    def add(self, localization: Localization) -> None:
        """Write the localizations of one image."""

    @abstractmethod
    def add_error(self, path: Path, reason: str) -> None:
        """Write that an image could not be read."""

    def close(self) -> None:
        """Finish the files."""
        for file in self._files:
            file.close()


class ErrorTable:
    """A table of the images that could not be read, where a format has no place for them.

    Args:
        path: of the table, which exists from the first error on; an earlier one is removed
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        path.unlink(missing_ok=True)

    def add(self, path: Path, reason: str) -> None:
        """Append a line: the image's path and why it could not be read."""
        first = not self._path.exists()
        with self._path.open("a", encoding="utf-8", errors="surrogateescape", newline="") as file:
            table = csv.writer(file)
            if first:
                table.writerow(["file", "error"])
            table.writerow(map(guard_cell, (path, reason)))


def each_box(localization: Localization) -> Iterator[tuple[Localization, list[float], float]]:
    """Go through the boxes of all classes of one image.

    Yields:
        the class, the box (x0 y0 x1 y1, outer edges in pixels of the original image) and its
        score
    """
    for each in localization.classes:
        for box, score in zip(each.boxes.tolist(), each.box_scores.tolist(), strict=True):
            yield each, box, score


def clip_box(box: list[float], width: int, height: int) -> tuple[float, float, float, float]:
    """Cut a box at the edges of its image, for formats that forbid what is outside.

    Args:
        box: x0 y0 x1 y1, outer edges in pixels
        width: of the image, in pixels
        height: of the image, in pixels

    >>> clip_box([-0.5, 1.0, 8.0, 6.0], 8, 5)
    (0.0, 1.0, 8.0, 5.0)
    """
    x0, y0, x1, y1 = (
        float(min(max(value, 0), limit))
        for value, limit in zip(box, (width, height, width, height), strict=True)
    )
    return x0, y0, x1, y1
