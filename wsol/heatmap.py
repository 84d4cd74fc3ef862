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
        (height, width), float64, minimum 0 and maximum 1; all zeros for a map that is constant,
        before or after resizing, or holds NaN or infinities

    Raises:
        ValueError: a map that is not of shape (h, w)

    >>> to_heatmap(np.array([[1.0, 3.0]]))
    array([[0., 1.]])
    """
    scores = resize_map(raw, size, interpolation)
    if not varies(raw) or not varies(scores):
        return np.zeros(scores.shape)  # or the rounding of resizing would be stretched to a pattern
    scores = scores - scores.min()
    return (scores / scores.max()).astype(np.float64)


def resize_map(
    raw: np.ndarray, size: tuple[int, int] | None = None, interpolation: str = "bicubic"
) -> np.ndarray:
    """Resize a map and keep its scale, so that maps of one scale stay comparable.

    Args:
        raw: (h, w), any range
        size: width, height of the result; None keeps the map's own
        interpolation: `bicubic` (which may leave the map's range) or `bilinear`

    Returns:
        (height, width), float32

    Raises:
        ValueError: a map that is not of shape (h, w)

    >>> resize_map(np.array([[2.0, 2.0]]), (3, 1))
    array([[2., 2., 2.]], dtype=float32)
    """
    scores: np.ndarray = np.asarray(raw, dtype=np.float32)
    if scores.ndim != 2 or scores.size == 0:
        raise ValueError(f"Expected raw to be of shape (h, w) but got {scores.shape}")
    if size is None:
        return scores
    resized: np.ndarray = cv2.resize(scores, size, interpolation=_INTERPOLATIONS[interpolation])
    return resized


def varies(raw: np.ndarray) -> bool:
    """Tell whether a map has something to show: all its values are finite, and two differ."""
    scores: np.ndarray = np.asarray(raw, dtype=np.float32)
    return bool(np.isfinite(scores).all() and scores.max() > scores.min())
