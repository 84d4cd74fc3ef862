"""A raw class map, small and on any scale, made into a heat map in [0, 1] of the wanted size."""

from __future__ import annotations

import cv2
import numpy as np

_INTERPOLATIONS = {"bicubic": cv2.INTER_CUBIC, "bilinear": cv2.INTER_LINEAR}


def to_heatmap(
    raw: np.ndarray, size: tuple[int, int] | None = None, interpolation: str = "bicubic"
) -> np.ndarray:
    """Resize a map by bicubic or bilinear interpolation, then stretch it to [0, 1].

    The order matters: bicubic interpolation overshoots, so a map that is stretched first would
    leave [0, 1] afterwards.

    Args:
        raw: (h, w), any range
        size: width, height of the result; None keeps the map's own
        interpolation: `bicubic` or `bilinear`

    Returns:
        (height, width), float64, minimum 0 and maximum 1; all zeros for a map that is constant
        or holds NaN or infinities

    >>> to_heatmap(np.array([[1.0, 3.0]]))
    array([[0., 1.]])
    """
    scores: np.ndarray = np.asarray(raw, dtype=np.float32)
    if scores.ndim != 2 or scores.size == 0:
        raise ValueError(f"Expected raw to be of shape (h, w) but got {scores.shape}")
    shape = scores.shape if size is None else (size[1], size[0])
    if not (np.isfinite(scores).all() and scores.max() > scores.min()):
        return np.zeros(shape)  # before resizing, whose rounding would be stretched to a pattern
    if size is not None:
        scores = cv2.resize(scores, size, interpolation=_INTERPOLATIONS[interpolation])
    scores = scores - scores.min()
    return (scores / scores.max()).astype(np.float64)
