"""One JSON object a line and image (`predictions.jsonl`), which loses nothing but the maps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tdam.strict_json import dumps
from wsol.writers.base import Writer

if TYPE_CHECKING:
    from pathlib import Path

    from wsol.results import Localization


class JsonLinesWriter(Writer):
    """Writes `predictions.jsonl`, image by image."""

    def __init__(self, folder: Path, names: tuple[str, ...]) -> None:
        super().__init__(folder, names)
        self._lines = self._open("predictions.jsonl")

    def _write(self, record: dict[str, Any]) -> None:
        self._lines.write(dumps(record) + "\n")

    def add(self, localization: Localization) -> None:
        """Write the localizations of one image."""
        self._write(localization.to_dict())

    def add_error(self, path: Path, reason: str) -> None:
        """Write that an image could not be read."""
        self._write({"file": str(path), "error": reason})
