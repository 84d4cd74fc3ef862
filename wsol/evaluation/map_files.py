"""Heat maps on disk, as `<image id>.npy`, where other programs and `--maps` find them."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np

from wsol.out_files import make_folder, write_file

if TYPE_CHECKING:
    from pathlib import Path

# What each kind of number costs: the most that a value in [0, 1] moves.
PRECISIONS = {"float64": 0.0, "float16": 2.0**-12, "uint8": 1 / 255}


class MapWriter:
    """Writes heat maps into a folder.

    Args:
        folder: created where it does not exist
        precision: `float64`; `float16`, off by at most 0.00025; or `uint8`, off by at most 0.004,
            but with exactly the same boxes where a protocol has 255 levels, each from below

    Raises:
        ValueError: another precision
    """

    def __init__(self, folder: Path, precision: str) -> None:
        if precision not in PRECISIONS:
            raise ValueError(
                f"Expected save_maps to be one of {', '.join(PRECISIONS)} but got {precision!r}"
            )
        self._folder = folder
        self.precision = precision

    def encode(self, heat: np.ndarray) -> bytes:
        """Make the content of a map's file, of (S, S) in [0, 1]; in any process of a job."""
        scaled = heat * 255 if self.precision == "uint8" else heat
        file = BytesIO()
        np.save(file, scaled.astype(self.precision), allow_pickle=False)
        return file.getvalue()

    def write(self, image_id: str, content: bytes) -> None:
        """Write the map of one image, as `encode` made it."""
        path = self._folder / f"{image_id}.npy"
        make_folder(path.parent)
        write_file(path, content, sync=False)
