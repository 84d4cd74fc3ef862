"""What every writer does: takes localizations and errors one by one, then closes its files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from pathlib import Path

    from wsol.results import Localization


class Writer(ABC):
    """Writes localizations in one format.

    Args:
        folder: that the files go to; exists
        names: of all classes
    """

    def __init__(self, folder: Path, names: tuple[str, ...]) -> None:
        self.folder = folder
        self.names = names
        self._files: list[TextIO] = []

    def _open(self, name: str) -> TextIO:
        """Open a text file of the folder that `close` will close."""
        path = self.folder / name  # written with whatever bytes a file's name holds
        file = path.open("w", encoding="utf-8", errors="surrogateescape", newline="")
        self._files.append(file)
        return file

    @abstractmethod
    def add(self, found: Localization) -> None:
        """Write the localizations of one image."""

    @abstractmethod
    def add_error(self, path: Path, reason: str) -> None:
        """Write that an image could not be read."""

    def close(self) -> None:
        """Finish the files."""
        for file in self._files:
            file.close()
