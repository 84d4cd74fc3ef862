"""Maps as arrays: one `.npy` file an image under `maps/`, with a table of what is where."""

from __future__ import annotations

import csv
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from eval.tables import guard_cell
from wsol.out_files import make_folder, save_file
from wsol.writers.base import Writer
from wsol.writers.names import unique_stem

if TYPE_CHECKING:
    from pathlib import Path

    from wsol.results import Localization


class NpyWriter(Writer):
    """Writes `maps/<name>.npy`, (T, h, w), float32, in [0, 1]; the first class's map, each step.

    `maps.csv` names the map of every image and the part of the photograph that it covers.
    """

    of_maps = True

    def __init__(self, folder: Path, names: tuple[str, ...]) -> None:
        super().__init__(folder, names)
        make_folder(folder / "maps")
        self._taken: set[str] = set()
        self._rows = csv.writer(self._open("maps.csv"))
        self._rows.writerow(["file", "map", "x0", "y0", "x1", "y1", "error"])

    def add(self, localization: Localization) -> None:
        """Write the map of one image.

        Raises:
            ValueError: the localization has no steps, as those that come from map files
        """
        if not localization.steps:
            raise ValueError(
                f"Expected a localization with steps but got none for {localization.path}"
            )
        stem = unique_stem(localization.path, self._taken)
        maps = np.stack([step.map for step in localization.steps]).astype(np.float32)
        save = partial(np.save, arr=maps, allow_pickle=False)
        save_file(self.folder / "maps" / f"{stem}.npy", save)
        region = localization.steps[-1].region
        cells = [localization.path, f"maps/{stem}.npy", *region, ""]
        self._rows.writerow(map(guard_cell, cells))

    def add_error(self, path: Path, reason: str) -> None:
        """Write that an image could not be read, and so has no map."""
        self._rows.writerow(map(guard_cell, (path, *[""] * 5, reason)))
