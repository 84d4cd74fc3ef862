"""Why a box misses: no box, several objects in one, mostly on one, far too large, or elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from eval.compiled import compiled

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
        (k,), uint8, positions in `KINDS`

    >>> box, true = np.array([[0, 0, 2, 2]]), np.array([[0, 0, 9, 9]])
    >>> KINDS[failure_kinds(box, np.array([False]), np.array([False]), true, "edges")[0]]
    'part'
    """
    extra = {"edges": 0.0, "inclusive": 1.0}[convention]
    return _kinds(
        np.ascontiguousarray(boxes, np.float64).reshape(-1, 4),
        np.ascontiguousarray(blank, np.bool_),
        np.ascontiguousarray(hits, np.bool_),
        np.ascontiguousarray(true_boxes, np.float64).reshape(-1, 4),
        extra,
    )


@compiled
def _kinds(
    boxes: np.ndarray, blank: np.ndarray, hits: np.ndarray, true_boxes: np.ndarray, extra: float
) -> np.ndarray:
    kinds = np.empty(boxes.shape[0], np.uint8)
    for i in range(boxes.shape[0]):
        x0, y0, x1, y1 = boxes[i, 0], boxes[i, 1], boxes[i, 2], boxes[i, 3]
        area = (x1 - x0 + extra) * (y1 - y0 + extra)
        covered, part, more = 0, False, False
        for j in range(true_boxes.shape[0]):
            u0, v0, u1, v1 = (
                true_boxes[j, 0], true_boxes[j, 1], true_boxes[j, 2], true_boxes[j, 3]
            )  # fmt: skip
            across = max(min(x1, u1) - max(x0, u0) + extra, 0.0)
            shared = across * max(min(y1, v1) - max(y0, v0) + extra, 0.0)
            true_area = (u1 - u0 + extra) * (v1 - v0 + extra)
            covered += 10 * shared > 3 * true_area
            part = part or 2 * shared > area
            more = more or 10 * shared > 7 * true_area
        if hits[i]:
            kinds[i] = 0
        elif blank[i]:
            kinds[i] = 1
        elif covered > 1:
            kinds[i] = 2
        elif part:
            kinds[i] = 3
        else:
            kinds[i] = 4 if more else 5
    return kinds
