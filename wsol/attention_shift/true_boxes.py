"""True boxes by the path of an image, from a split that knows images by paths below some root."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from eval.geometry import to_edges

if TYPE_CHECKING:
    import numpy as np

    from eval.splits import Split


class TrueBoxes:
    """Finds the true boxes of images wherever these lie.

    An image is meant by an id that its path ends with, part by part; the longest one counts.

    Args:
        split: with boxes

    Raises:
        ValueError: a split that holds no box
    """

    def __init__(self, split: Split) -> None:
        if split.boxes is None:
            raise ValueError("Expected a file with boxes but it holds none")
        self._boxes = split.boxes
        self._sizes = split.sizes
        self._rows: dict[str, list[tuple[tuple[str, ...], int]]] = {}
        for row, image_id in enumerate(split.ids):
            parts = PurePosixPath(image_id).parts
            self._rows.setdefault(parts[-1], []).append((parts, row))

    def find(self, path: str | Path, size: tuple[int, int]) -> np.ndarray | None:
        """Look an image up.

        Args:
            path: of the image
            size: its width and height, in pixels

        Returns:
            (k, 4), float64, x0 y0 x1 y1, outer edges in pixels, or None for an image that the
            split does not know

        Raises:
            ValueError: the split's image has another size
        """
        own = Path(path).absolute().parts
        fitting = [
            (len(parts), row)
            for parts, row in self._rows.get(own[-1], [])
            if own[-len(parts) :] == parts
        ]
        if not fitting:
            return None
        _, row = max(fitting)
        if self._sizes is not None and tuple(self._sizes[row].tolist()) != size:
            width, height = self._sizes[row].tolist()
            raise ValueError(
                f"Expected an image of {width} x {height} pixels, as its boxes are given for, but "
                f"got {size[0]} x {size[1]}"
            )
        return to_edges(self._boxes[row])
