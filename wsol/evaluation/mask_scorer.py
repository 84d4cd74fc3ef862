"""Scoring against true masks: pixels by score, on and off the object."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from eval.masks import read_mask
from eval.metrics.pixels import (
    PixelResult,
    PixelScores,
    count_pixels,
    pixel_average_precision,
)
from eval.stored_sizes import StoredSizes

if TYPE_CHECKING:
    from eval.protocols import Protocol
    from eval.splits import Split
    from eval.stored_sizes import Size


class MaskScorer:
    """Scores maps of a split with masks.

    Args:
        split: with masks
        protocol: gives square and grid
        threshold: none of these scores has one; kept for the record
        root: folder that the mask paths are relative to

    Raises:
        ValueError: the split has no masks, or there is no root
    """

    def __init__(
        self, split: Split, protocol: Protocol, threshold: float | None, root: str | Path | None
    ) -> None:
        if split.masks is None or root is None:
            raise ValueError(f"Expected split {split.name} to have masks and a root for them")
        self.split = split
        self.masks = split.masks
        self.root = Path(root)
        self.protocol = protocol
        self.threshold = threshold
        self.scores = PixelScores(protocol)
        self._edges = self.scores.edges
        parts = [
            (self.root / part, row)
            for row, each in enumerate(self.masks)
            for part in (*each.instances, each.ignore)
            if part is not None
        ]
        sizes = [split.size(row) for _, row in parts]
        self._stored = StoredSizes(
            [path for path, _ in parts], [size for size in sizes if size is not None]
        )
        self.dtype = np.dtype((np.int32, (2, len(self._edges) - 1)))

    def trace(
        self, row: int, heat: np.ndarray, region: np.ndarray, image: Size | None = None
    ) -> np.ndarray:
        """Count the pixels of one map by score.

        Args:
            row: of the image in its split
            heat: (S, S), in [0, 1]
            region: the map has to cover the whole image
            image: its width and height, where the split does not tell

        Returns:
            (2, bins), background and foreground

        Raises:
            ValueError: the map shows a part of the image only
            ManifestError: a mask that cannot be read, or that is of another image
        """
        if tuple(region[:2]) != (0, 0):
            raise ValueError("Expected maps of whole images, since masks are not cut")
        known = self.split.size(row) or image
        mask = read_mask(self.masks[row], self.root, self.protocol.size, known, self._stored)
        return count_pixels(heat, mask, self._edges, checked=True).astype(np.int32)

    def is_blank(self, trace: np.ndarray) -> bool:
        """Tell whether a map shows nothing: a constant one became zeros."""
        return not trace[:, 1:].any()

    def add(self, record: Any, trace: np.ndarray) -> None:
        """Add one image's counts to the scores."""
        self.scores.update(self.split.ids[record["row"]], trace)

    def compute(self, true_class: bool, places: int) -> PixelResult:
        """Turn what was added into scores."""
        return self.scores.compute()

    def describe(self, record: Any, trace: np.ndarray, threshold: float) -> dict[str, Any]:
        """Tell how one image fared: its own PxAP, in percent."""
        image_id = self.split.ids[record["row"]]
        fault = record["fault"].decode("utf-8", "surrogateescape")
        own = float(pixel_average_precision(trace)) if trace[1].any() and not fault else None
        return {
            "id": image_id,
            "label": int(self.split.labels[record["row"]]),
            "map_class": None if fault else int(record["label"]),
            "predicted": None if record["predicted"] < 0 else int(record["predicted"]),
            "rank": None if fault or record["rank"] < 0 else int(record["rank"]),
            "score": float(record["score"]) if not fault and np.isfinite(record["score"]) else None,
            "pxap": own,
            "unreadable": fault or None,
        }
