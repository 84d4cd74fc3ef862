"""A raw class map, small and on any scale, made into a heat map in [0, 1] of the wanted size."""

from __future__ import annotations

import cv2
import numpy as np


def to_heatmap(raw: np.ndarray, size: tuple[int, int] | None = None) -> np.ndarray:
    """Resize a map by bicubic interpolation, then stretch it to [0, 1].

    The order matters: bicubic interpolation overshoots, so a map that is stretched first would
    leave [0, 1] afterwards.

    Args:
        raw: (h, w), any range
        size: width, height of the result; None keeps the map's own

    Returns:
        (height, width), float64, minimum 0 and maximum 1; all zeros for a map that is constant
        or holds NaN or infinities

    >>> to_heatmap(np.array([[1.0, 3.0]]))
    array([[0., 1.]])
    """
    scores = np.asarray(raw, dtype=np.float32)
    if scores.ndim != 2:
        raise ValueError(f"Expected raw to be of shape (h, w) but got {scores.shape}")
    if size is not None:
        scores = cv2.resize(scores, size, interpolation=cv2.INTER_CUBIC)
    low, high = scores.min(), scores.max()
    if not (np.isfinite(low) and np.isfinite(high) and high > low):
        return np.zeros(scores.shape)
    scores = scores - low
    return (scores / scores.max()).astype(np.float64)
