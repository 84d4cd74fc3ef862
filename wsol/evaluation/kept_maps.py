"""Maps that are kept while they are scored: the chosen ones, as the levels that were scored."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tdam.atomic import write_atomic
from wsol.evaluation.resume_file import write_header
from wsol.levels import quantise
from wsol.out_files import make_folder, save_file, write_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@dataclass(frozen=True, eq=False)
class KeptMap:
    """The map of one image as it was scored.

    Args:
        levels: (S, S), uint8, the map in whole steps from 0 to the protocol's number of levels
        region: (4,), part of the image that it covers, x0 y0 x1 y1, in original pixels
    """

    levels: np.ndarray
    region: np.ndarray


class MapKeeper:
    """Keeps maps in a folder, one small file an image, so that memory does not grow.

    Args:
        folder: created where it does not exist
        ids: of all images, in the order of the split
        wanted: ids of those whose maps are kept
        levels: of the protocol
        rounding: of the protocol
    """

    def __init__(
        self, folder: Path, ids: Sequence[str], wanted: Iterable[str], levels: int, rounding: str
    ) -> None:
        make_folder(folder)
        self._folder = folder
        self._settings = folder.with_name(f"{folder.name}.json")
        self._levels, self._rounding = levels, rounding
        kept = set(wanted)
        self.rows = {image_id: row for row, image_id in enumerate(ids) if image_id in kept}
        self._wanted = set(self.rows.values())

    def begin(self, header: dict[str, Any]) -> None:
        """Keep maps of a pass from now on, and remove those of any other.

        Args:
            header: everything that the maps depend on, in plain values
        """
        if not self._is_same(header):
            for old in self._folder.glob("*.npz"):
                old.unlink()
            write_atomic(self._settings, write_header(header).encode())

    def has_all(self, header: dict[str, Any]) -> bool:
        """Tell whether every map that is wanted is there, and of this very pass."""
        return self._is_same(header) and all(map(Path.is_file, map(self._path, self._wanted)))

    def _is_same(self, header: dict[str, Any]) -> bool:
        path = self._settings
        return path.is_file() and path.read_text(encoding="utf-8") == write_header(header)

    def _path(self, row: int) -> Path:
        return self._folder / f"{row}.npz"

    def encode(self, row: int, heat: np.ndarray, region: np.ndarray) -> bytes:
        """Make what is kept of the map of an image; in any process of a job.

        Args:
            row: of the image in its split
            heat: (S, S), in [0, 1]
            region: (4,), part of the image that it covers, in original pixels

        Returns:
            nothing for an image that is not wanted
        """
        if row not in self._wanted:
            return b""
        file = BytesIO()
        levels = quantise(heat, self._levels, self._rounding)
        np.savez(file, levels=levels, region=region)
        return file.getvalue()

    def write(self, row: int, content: bytes) -> None:
        """Keep the map of an image, as `encode` made it."""
        write_file(self._path(row), content, sync=False)

    def write_steps(self, row: int, maps: np.ndarray, notes: np.ndarray) -> None:
        """Keep the maps of an image's steps.

        Args:
            row: of the image in its split
            maps: (T, h, w), as the map method gives them
            notes: (T, 2), the class that each step predicts, and the probability of the map's class
        """
        save = partial(np.savez_compressed, maps=maps, notes=notes)
        save_file(self._folder / f"{row}-steps.npz", save)

    def read(self, image_id: str) -> KeptMap | None:
        """Give back the map of an image, or None where none was kept."""
        arrays = self._load(f"{self.rows.get(image_id)}.npz")
        return None if arrays is None else KeptMap(arrays["levels"], arrays["region"])

    def read_steps(self, image_id: str) -> tuple[np.ndarray, np.ndarray] | None:
        """Give back what `write_steps` kept, or None."""
        arrays = self._load(f"{self.rows.get(image_id)}-steps.npz")
        return None if arrays is None else (arrays["maps"], arrays["notes"])

    def _load(self, name: str) -> dict[str, np.ndarray] | None:
        try:
            with np.load(self._folder / name, allow_pickle=False) as file:
                return dict(file)
        except (OSError, ValueError, EOFError, zipfile.BadZipFile):  # cut off while it was written
            return None
