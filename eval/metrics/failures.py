"""Why a box misses: nothing found, several objects in one, a part, too much, or something else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from eval.geometry import pairwise_intersection

if TYPE_CHECKING:
    from eval.geometry import Convention

# In the order in which they are tested; `none` is a box that overlaps a true one enough.
KINDS = ("none", "blank", "multi", "part", "more", "miss")


def failure_kinds(
    boxes: np.ndarray,
    blank: np.ndarray,
    hits: np.ndarray,
    true_boxes: np.ndarray,
    convention: Convention,
) -> np.ndarray:
    """Tell for each predicted box of one image why it misses.

    With P a predicted and G a true box: `multi` is |P and G| / |G| above 0.3 for two or more G,
    `part` |P and G| / |P| above 0.5 for any G, `more` |P and G| / |G| above 0.7 for any G.

    Args:
        boxes: (k, 4), x0 y0 x1 y1
        blank: (k,), bool, where the map gave no box
        hits: (k,), bool, where the box overlaps a true box enough
        true_boxes: (m, 4), in the same pixels
        convention: what the four numbers mean, as in `eval.geometry`

    Returns:
        (k,), uint8, places in `KINDS`

    >>> box, true = np.array([[0, 0, 2, 2]]), np.array([[0, 0, 9, 9]])
    >>> KINDS[failure_kinds(box, np.array([False]), np.array([False]), true, "edges")[0]]
    'part'
    """
    shared, area, true_area = pairwise_intersection(boxes, true_boxes, convention)
    of_true = np.divide(shared, true_area, out=np.zeros_like(shared), where=true_area > 0)
    of_found = np.divide(shared, area, out=np.zeros_like(shared), where=area > 0)
    tests = (
        hits,
        blank,
        (of_true > 0.3).sum(axis=1) > 1,
        (of_found > 0.5).any(axis=1),
        (of_true > 0.7).any(axis=1),
    )
    return np.select(tests, range(len(tests)), len(tests)).astype(np.uint8)
