"""Maps as arrays: one `.npy` file an image under `maps/`, with a table of what is where."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wsol.writers.base import Writer
from wsol.writers.names import unique_stem

if TYPE_CHECKING:
    from pathlib import Path

    from wsol.results import Localization


class NpyWriter(Writer):
    """Writes `maps/<name>.npy`, (T, h, w), float32, in [0, 1]; the first class's map, each step.

    `maps.csv` names the map of every image and the part of the photograph that it covers.
    """

    def __init__(self, folder: Path, names: tuple[str, ...]) -> None:
        super().__init__(folder, names)
        (folder / "maps").mkdir(exist_ok=True)
        self._taken: set[str] = set()
        self._table = self._open("maps.csv")
        self._table.write("file,map,x0,y0,x1,y1\n")

    def add(self, found: Localization) -> None:
        """Write the map of one image."""
        stem = unique_stem(found.path, self._taken)
        maps = np.stack([step.map for step in found.steps]).astype(np.float32)
        np.save(self.folder / "maps" / f"{stem}.npy", maps, allow_pickle=False)
        region = ",".join(map(str, found.steps[-1].region))
        file = str(found.path).replace('"', '""')
        self._table.write(f'"{file}","maps/{stem}.npy",{region}\n')

    def add_error(self, path: Path, reason: str) -> None:
        """Write nothing: an image that could not be read has no map."""
