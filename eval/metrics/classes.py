"""Top-1 and top-5 accuracy of images that have a class and nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from eval.statistics import REPLICATES, image_columns, interval, to_percent


@dataclass(frozen=True)
class ClassResult:
    """Classification scores of one split, in percent.

    Args:
        images: how many there are
        top1_cls: share of images with the right top-1 class
        top5_cls: share of images with the true class among the five
        intervals95: by the name of a score, its bootstrap interval
    """

    images: int
    top1_cls: float
    top5_cls: float
    intervals95: dict[str, list[float] | None]

    def to_dict(self) -> dict[str, Any]:
        """Return the scores under the keys of the JSON output."""
        return dict(vars(self))


@dataclass
class ClassScores:
    """Counts that grow image by image; the last column is the plain count, the others replicates.

    >>> scores = ClassScores()
    >>> for image, rank in (("a", 0), ("b", 3), ("c", 9), ("d", 0)):
    ...     scores.update(image, rank)
    >>> scores.compute().top1_cls, scores.compute().top5_cls
    (50.0, 75.0)
    """

    right: np.ndarray = field(default_factory=lambda: np.zeros((2, REPLICATES + 1), np.int32))
    images: np.ndarray = field(default_factory=lambda: np.zeros(REPLICATES + 1, np.int32))

    def update(self, image_id: str, rank: int) -> None:
        """Add one image.

        Args:
            image_id: names the image
            rank: position of the true class among the predictions, from 0
        """
        weights = image_columns(image_id)
        self.images += weights
        for row, k in enumerate((1, 5)):
            self.right[row] += weights * (rank < k)

    def merge(self, other: ClassScores) -> None:
        """Add the counts of another shard."""
        self.right += other.right
        self.images += other.images

    def compute(self) -> ClassResult:
        """Turn the counts into scores.

        Raises:
            ValueError: no image was added
        """
        if not self.images[-1]:
            raise ValueError("Expected at least one image but got none")
        first, five = to_percent(self.right, self.images)
        intervals = {"top1_cls": interval(first[:-1]), "top5_cls": interval(five[:-1])}
        return ClassResult(int(self.images[-1]), float(first[-1]), float(five[-1]), intervals)
