"""The polygon area of one region, by walking along its outer border."""

from __future__ import annotations

import numpy as np

from eval.compiled import compiled


@compiled
def trace_area(levels: np.ndarray, stride: int, first: int, above: int) -> int:
    """Measure the polygon through the centres of a region's outer border pixels, holes filled.

    Args:
        levels: int32, flat, padded by -1, which no region holds: a walk cannot leave the map
        stride: width of the padded map
        first: the region's first pixel, row by row, as an index into `levels`
        above: the region holds the pixels with a higher level

    Returns:
        twice the area in pixels, as an integer
    """
    # Clockwise as seen, from east. From each pixel the border goes on to the first one of the
    # region, clockwise from where the walk came: so the outside always lies to the left.
    across = np.array([1, 1, 0, -1, -1, -1, 0, 1])
    down = np.array([0, 1, 1, 1, 0, -1, -1, -1])
    start = -1
    for turn in range(4):  # nothing lies above or to the left of the first pixel
        if levels[first + down[turn] * stride + across[turn]] > above:
            start = turn
            break
    if start < 0:
        return 0
    x = y = doubled = 0
    pixel, way = first, start
    while True:
        dx, dy = across[way], down[way]
        doubled += x * (y + dy) - (x + dx) * y
        x, y = x + dx, y + dy
        pixel += dy * stride + dx
        way = (way + 5) & 7  # back is way + 4
        while levels[pixel + down[way] * stride + across[way]] <= above:
            way = (way + 1) & 7
        # Where a region is one pixel thin, the walk passes its first pixel before it is done.
        if pixel == first and way == start:
            return abs(doubled)
