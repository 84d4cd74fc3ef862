"""A raw class map, small and on any scale, made into a heat map in [0, 1] of the wanted size."""

from __future__ import annotations

from numbers import Integral
from typing import Any

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
        before or after resizing

    Raises:
        ValueError: a map that is not of shape (h, w), or holds NaN or infinities; or a size or
            interpolation that is none

    >>> to_heatmap(np.array([[1.0, 3.0]]))
    array([[0., 1.]])
    """
    heat = stretch_map(raw, size, interpolation)
    scores = _to_array(raw)
    if wrong := int((~np.isfinite(scores)).sum()):
        raise ValueError(
            f"Expected raw to be finite in float32 but {wrong} of {scores.size} values are not"
        )
    return heat


def stretch_map(
    raw: np.ndarray, size: tuple[int, int] | None = None, interpolation: str = "bicubic"
) -> np.ndarray:
    """Make the heat map of a network's map, which may be of no use: that is counted, and told.

    Args:
        raw: (h, w), any range
        size: as for `to_heatmap`
        interpolation: as there

    Returns:
        as `to_heatmap`; all zeros for a map that holds NaN or infinities, too

    Raises:
        ValueError: a map that is not of shape (h, w), or a size or interpolation that is none

    >>> stretch_map(np.array([[1.0, np.nan]]))
    array([[0., 0.]])
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
        ValueError: a map that is not of shape (h, w), or a size or interpolation that is none

    >>> resize_map(np.array([[2.0, 2.0]]), (3, 1))
    array([[2., 2., 2.]], dtype=float32)
    """
    scores = _to_array(raw)
    if scores.ndim != 2 or scores.size == 0:
        raise ValueError(f"Expected raw to be of shape (h, w) but got {scores.shape}")
    if size is None:
        return scores
    whole = isinstance(size, (tuple, list)) and all(isinstance(each, Integral) for each in size)
    if not whole or len(size) != 2 or min(size) < 1:
        raise ValueError(f"Expected size to be width and height, from 1, but got {size!r}")
    if interpolation not in _INTERPOLATIONS:
        known = " or ".join(_INTERPOLATIONS)
        raise ValueError(f"Expected interpolation to be {known} but got {interpolation!r}")
    resized: np.ndarray = cv2.resize(scores, size, interpolation=_INTERPOLATIONS[interpolation])
    return resized


def _to_array(raw: Any) -> np.ndarray:
    """Take numbers out of an array, a list, or a tensor of whatever device and gradient mode."""
    if hasattr(raw, "detach"):
        raw = raw.detach().cpu()
    return np.asarray(raw, dtype=np.float32)


def varies(raw: np.ndarray) -> bool:
    """Tell whether a map has something to show: all its values are finite, and two differ."""
    scores = _to_array(raw)
    return bool(np.isfinite(scores).all() and scores.max() > scores.min())
