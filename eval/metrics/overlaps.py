"""The best overlap of any predicted with any true box, for many groups of predictions at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from eval.compiled import compiled

if TYPE_CHECKING:
    from eval.geometry import Convention


def best_overlaps(
    boxes: np.ndarray, spans: np.ndarray, true_boxes: np.ndarray, convention: Convention
) -> np.ndarray:
    """Find, for every group of predicted boxes, the best overlap with any true box.

    Args:
        boxes: (k, 4), whole numbers, x0 y0 x1 y1
        spans: (g, 2), integers, the first row of `boxes` that belongs to a group, and behind the
            last; groups with the span of the one after them are computed once
        true_boxes: (m, 4), in the same pixels
        convention: what the four numbers mean, as in `eval.geometry`

    Returns:
        (g,), float64, intersection over union in [0, 1]; 0 where either side has no box

    >>> boxes = np.array([[0, 0, 9, 9], [0, 0, 9, 4]])
    >>> best_overlaps(boxes, np.array([[0, 2], [1, 2], [2, 2]]), boxes[:1], "inclusive")
    array([1. , 0.5, 0. ])
    """
    extra = {"edges": 0.0, "inclusive": 1.0}[convention]
    return _best_overlaps(
        np.ascontiguousarray(boxes, np.int32).reshape(-1, 4),
        np.ascontiguousarray(spans, np.int32).reshape(-1, 2),
        np.ascontiguousarray(true_boxes, np.float64).reshape(-1, 4),
        extra,
    )


@compiled
def _best_overlaps(
    boxes: np.ndarray, spans: np.ndarray, true_boxes: np.ndarray, extra: float
) -> np.ndarray:
    groups = spans.shape[0]
    best = np.zeros(groups)
    for group in range(groups - 1, -1, -1):
        if group + 1 < groups:
            same = spans[group, 0] == spans[group + 1, 0] and spans[group, 1] == spans[group + 1, 1]
            if same:
                best[group] = best[group + 1]
                continue
        for i in range(spans[group, 0], spans[group, 1]):
            x0, y0 = float(boxes[i, 0]), float(boxes[i, 1])
            x1, y1 = float(boxes[i, 2]), float(boxes[i, 3])
            area = (x1 - x0 + extra) * (y1 - y0 + extra)
            for j in range(true_boxes.shape[0]):
                u0, v0 = true_boxes[j, 0], true_boxes[j, 1]
                u1, v1 = true_boxes[j, 2], true_boxes[j, 3]
                across = min(x1, u1) - max(x0, u0) + extra
                down = min(y1, v1) - max(y0, v0) + extra
                if across <= 0 or down <= 0:
                    continue
                shared = across * down
                union = area + (u1 - u0 + extra) * (v1 - v0 + extra) - shared
                best[group] = max(best[group], shared / union)
    return best
