"""Outlines of what reaches a level of a map, as lines over the photograph and as SVG paths."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    Region = tuple[float, float, float, float]

_TOLERANCE = 0.15  # pixels of a map by which a line may be simplified


def contour_lines(
    values: np.ndarray, level: float | None, region: Region, tolerance: float = _TOLERANCE
) -> list[np.ndarray]:
    """Outline where a map reaches a level, to a fraction of a map pixel.

    Args:
        values: (H, W), the map; regions are joined across corners, as boxes have it
        level: value to reach; None gives no line
        region: part of the photograph that the map covers, x0 y0 x1 y1, outer edges in pixels
        tolerance: pixels of the map by which lines may be simplified, which takes a while

    Returns:
        closed lines, each (n, 2), x y in pixels of the photograph; no farther than half a map
        pixel from the outer edges of the pixels that reach the level
    """
    size = np.array(values.shape[::-1])
    corner, extent = np.array(region[:2]), np.array(region[2:]) - region[:2]
    lines = trace_contours(values, level)
    return [corner + simplify_line(line, tolerance) / size * extent for line in lines]


def trace_contours(values: np.ndarray, level: float | None) -> list[np.ndarray]:
    """Outline where a map reaches a level, in the map's own pixels and with every point.

    Args:
        values: as for `contour_lines`
        level: as for `contour_lines`

    Returns:
        closed lines, each (n, 2), x y, where the map's outer edges are 0, W, 0 and H

    >>> spot = np.zeros((4, 4)); spot[1:3, 1:3] = 1
    >>> line, = trace_contours(spot, 0.5)
    >>> line.min(axis=0).tolist(), line.max(axis=0).tolist()
    ([1.0, 1.0], [3.0, 3.0])
    """
    from skimage.measure import find_contours  # which takes half a second to import

    if level is None or not np.isfinite(values).all() or not (values >= level).any():
        return []
    below = min(level - 1e-9, float(np.nextafter(level, -np.inf)))
    padded = np.pad(values.astype(np.float64), 1, constant_values=below)  # closes at the border
    lines = find_contours(padded, level, fully_connected="high")
    # Behind the padding, the centre of the first pixel lies at 1 and its outer edge at 0.5.
    return [(line[:, ::-1] - 0.5).clip(0, values.shape[::-1]) for line in lines]


def simplify_line(line: np.ndarray, tolerance: float) -> np.ndarray:
    """Leave out points of a closed line, (n, 2), that lie no farther from the rest.

    Args:
        line: whose last point is its first
        tolerance: 0 leaves none out; OpenCV now and then exceeds it, by less than a half
    """
    if tolerance <= 0:
        return line
    kept = cv2.approxPolyDP(line[:-1].astype(np.float32), tolerance, closed=True)[:, 0]
    return np.concatenate([kept, kept[:1]]).astype(np.float64) if len(kept) > 2 else line


def svg_path(line: np.ndarray, digits: int = 2) -> str:
    """Write a closed line, whose last point is its first, as SVG path data.

    >>> svg_path(np.array([[0, 0], [2, 0], [2, 1.5], [0, 0]]))
    'M0.00 0.00L2.00 0.00L2.00 1.50Z'
    """
    return "M" + "L".join(f"{x:.{digits}f} {y:.{digits}f}" for x, y in line[:-1]) + "Z"
