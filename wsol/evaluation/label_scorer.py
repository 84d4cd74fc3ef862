"""Scoring images that have a class but neither boxes nor masks: nothing is localized."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from eval.metrics.classes import ClassResult, ClassScores
from wsol.evaluation.box_scorer import BoxScorer
from wsol.evaluation.mask_scorer import MaskScorer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from eval.protocols import Protocol
    from eval.splits import Split
    from eval.stored_sizes import Size


class LabelScorer:
    """Scores the classes that a network gives to the images of a split.

    Args:
        split: with labels
        protocol: says what a network sees of an image
        threshold: none of these scores has one
    """

    dtype = np.dtype(np.uint8)  # nothing is kept of a map

    def __init__(self, split: Split, protocol: Protocol, threshold: float | None) -> None:
        self.split, self.protocol, self.threshold = split, protocol, threshold
        self.scores = ClassScores()

    def trace(
        self, row: int, heat: np.ndarray, region: np.ndarray, image: Size | None = None
    ) -> np.ndarray:
        """Keep nothing of a map."""
        return np.zeros((), self.dtype)

    def is_blank(self, trace: np.ndarray) -> bool:
        """No map was made, so that none is constant."""
        return False

    def add(self, record: Any, trace: np.ndarray) -> None:
        """Add one image's rank to the scores.

        Raises:
            ValueError: no rank is known, as for maps on disk
        """
        if record["rank"] < 0:
            raise ValueError(f"Expected split {self.split.name} to have boxes but it has none")
        self.scores.update(self.split.ids[record["row"]], int(record["rank"]))

    def compute(self, true_class: bool, places: int) -> ClassResult:
        """Turn what was added into scores."""
        return self.scores.compute()

    def describe(self, record: Any, trace: np.ndarray, threshold: float) -> dict[str, Any]:
        """Tell which class one image was given."""
        row = int(record["row"])
        fault = record["fault"].decode("utf-8", "surrogateescape")
        return {
            "id": self.split.ids[row],
            "label": int(self.split.labels[row]),
            "map_class": None,
            "predicted": None if record["predicted"] < 0 else int(record["predicted"]),
            "rank": None if fault else int(record["rank"]),
            "score": None if fault else float(record["score"]),
            "unreadable": fault or None,
        }


def has_labels_only(split: Split) -> bool:
    """Tell whether nothing of a split's images is known but their classes."""
    return split.boxes is None and split.masks is None


def choose_scorer(
    split: Split, mask_root: str | Path | None
) -> Callable[[Split, Protocol, float | None], BoxScorer | MaskScorer | LabelScorer]:
    """Choose what can be scored of a split: boxes, masks, or classes alone.

    Args:
        split: to score
        mask_root: folder that the split's mask paths are relative to
    """
    if has_labels_only(split):
        return LabelScorer
    return BoxScorer if split.masks is None else partial(MaskScorer, root=mask_root)
