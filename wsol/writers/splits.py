"""Which images of a data set are for training, and which ones to validate on."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

TRAIN, VAL = "train", "val"


def choose_val(labels: Sequence[int], share: float) -> frozenset[int]:
    """Choose the images to validate on, from all classes alike, and always the same ones.

    Images are laid out class by class, each class in the given order, and cut into as many equal
    runs as there are images to choose; the middle one of every run is chosen. So each class has
    its share up to one image, and the whole set has it exactly, however small the classes are.

    Args:
        labels: class of every image
        share: of them that are chosen, in [0, 1)

    Returns:
        rows of those chosen: none where the share is 0, else at least one, and never all

    >>> sorted(choose_val([0, 1, 0, 1, 0, 1, 0, 1], 0.25))
    [4, 5]
    """
    if not share:
        return frozenset()
    total = len(labels)
    count = min(max(round(share * total), 1), total - 1)
    rows = sorted(range(total), key=lambda row: (labels[row], row))
    return frozenset(rows[(2 * run + 1) * total // (2 * count)] for run in range(count))


def check_val(share: float) -> float:
    """Return a share of images to validate on.

    Raises:
        ValueError: it is not at least 0 and below 1
    """
    if not 0 <= share < 1:
        raise ValueError(f"Expected val to be a share from 0 to below 1 but got {share}")
    return share
