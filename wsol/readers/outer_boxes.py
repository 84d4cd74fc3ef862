"""The box around a shape that some program drew: turned rectangles, polygons, ellipses, masks."""

from __future__ import annotations

from math import cos, hypot, radians, sin
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wsol.readers.found_boxes import Edges


def around_points(points: Sequence[tuple[float, float]]) -> Edges:
    """Give the box around points.

    >>> around_points([(3, 1), (5, 9), (4, 0)])
    (3, 0, 5, 9)
    """
    xs, ys = zip(*points, strict=True)
    return min(xs), min(ys), max(xs), max(ys)


def around_turned(edges: Edges, degrees: float, pivot: tuple[float, float]) -> Edges:
    """Give the box around a rectangle that is turned clockwise, as pictures are seen.

    Args:
        edges: x0 y0 x1 y1 before it is turned
        degrees: by which it is turned
        pivot: point that stays where it is

    >>> [round(v, 6) for v in around_turned((0, 0, 4, 2), 90, (0, 0))]
    [-2.0, 0.0, 0.0, 4.0]
    """
    if degrees == 0:
        return edges
    (x0, y0, x1, y1), (px, py) = edges, pivot
    cosine, sine = cos(radians(degrees)), sin(radians(degrees))
    corners = ((x - px, y - py) for x in (x0, x1) for y in (y0, y1))
    return around_points(
        [(px + x * cosine - y * sine, py + x * sine + y * cosine) for x, y in corners]
    )


def around_ellipse(
    middle: tuple[float, float], radii: tuple[float, float], degrees: float = 0
) -> Edges:
    """Give the box around an ellipse that is turned clockwise.

    >>> [round(v, 6) for v in around_ellipse((10, 10), (4, 2), 90)]
    [8.0, 6.0, 12.0, 14.0]
    """
    (x, y), (across, down) = middle, radii
    cosine, sine = cos(radians(degrees)), sin(radians(degrees))
    half_x = hypot(across * cosine, down * sine)
    half_y = hypot(across * sine, down * cosine)
    return x - half_x, y - half_y, x + half_x, y + half_y
