"""One polygon around connected pixels: few points, the same bounding box, nearly the same area."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np

AGREEMENT = 0.985  # least IoU of polygon and pixels
_TOLERANCES = (1.5, 1.0, 0.5, 0.25)  # by which points may lie beside the line, in pixels
_SMALL = 0.002  # share of the area up to which a hole may be filled
_FINEST, _LONGEST = 8, 1024  # parts of a pixel, and of a side, that agreement is measured in


def outline_pixels(pixels: np.ndarray) -> np.ndarray:
    """Outline connected pixels by one polygon.

    It has the fewest points of several tolerances at which it agrees with the pixels to an IoU of
    `AGREEMENT`; where none does, it follows their outer edges exactly. Pixels that meet at a corner
    are one polygon, which touches itself there. A hole is cut out along a line to it and back,
    which encloses nothing, since most formats have a single ring for a polygon; holes of a few
    thousandths of the area may be filled.

    Args:
        pixels: (H, W), bool, connected by sides or corners, at least one

    Returns:
        (n, 2), float64, x y of the outer edges, without the first point again: pixel i spans i to
        i + 1. The least and the greatest x and y are those of the pixels' bounding box

    >>> spot = np.zeros((4, 6), dtype=bool); spot[1:3, 2:5] = True
    >>> sorted(map(tuple, outline_pixels(spot).tolist()))
    [(2.0, 1.0), (2.0, 3.0), (5.0, 1.0), (5.0, 3.0)]
    """
    rings = _trace(pixels)
    areas = [abs(ring_area(ring)) for ring in rings]
    exact = [_follow_edges(ring) for ring in rings]
    scale = max(2, min(_FINEST, _LONGEST // max(np.ptp(rings[0], axis=0).max(), 1)) // 2 * 2)
    wanted = _fill(exact, rings[0], scale)
    kept = [
        ring
        for ring, area in zip(rings, areas, strict=True)
        if ring is rings[0] or area > _SMALL * areas[0]
    ]
    for tolerance in _TOLERANCES:
        simple = [_simplify(ring, tolerance) for ring in kept]
        if min(map(len, simple)) > 2 and _overlap(_fill(simple, rings[0], scale), wanted):
            return min(_join(simple), _join(exact), key=len)
    return _join(exact)


def ring_area(ring: np.ndarray) -> float:
    """Compute the area of a polygon, (n, 2); negative where it goes round the other way.

    >>> ring_area(np.array([[0, 0], [2, 0], [2, 1], [0, 1]]))
    2.0
    """
    x, y = ring.T
    return float(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2


def _trace(pixels: np.ndarray) -> list[np.ndarray]:
    """Trace the borders, each a ring of the midpoints of pixels' sides; the outer one first."""
    from skimage.measure import find_contours  # which takes half a second to import

    lines = find_contours(np.pad(pixels, 1).astype(np.float64), 0.5, fully_connected="high")
    rings = [line[:-1, ::-1] - 0.5 for line in lines]  # behind the padding
    return sorted(rings, key=lambda ring: -abs(ring_area(ring)))


def _follow_edges(ring: np.ndarray) -> np.ndarray:
    """Turn a ring of midpoints into the corners of the same sides."""
    following = np.roll(ring, -1, axis=0)
    whole = ring == np.floor(ring)  # of a vertical side x is, of a horizontal one y
    turns = (whole[:, 0] != np.roll(whole[:, 0], -1))[:, None]
    corners = np.where(turns, np.where(whole, ring, following), (ring + following) / 2)
    before, after = corners - np.roll(corners, 1, axis=0), np.roll(corners, -1, axis=0) - corners
    return corners[(before != after).any(axis=1)]  # sides are as long as each other: 1


def _simplify(ring: np.ndarray, tolerance: float) -> np.ndarray:
    """Leave out points of a ring, but for those that its bounding box rests on."""
    ends = sorted({int(pick(ring[:, axis])) for axis in (0, 1) for pick in (np.argmin, np.argmax)})
    turned = np.roll(ring, -ends[0], axis=0)
    closed = np.concatenate([turned, turned[:1]])
    stops = [*(end - ends[0] for end in ends), len(ring)]
    arcs = (closed[a : b + 1].astype(np.float32) for a, b in pairwise(stops))
    simple = [cv2.approxPolyDP(arc, tolerance, False).reshape(-1, 2)[:-1] for arc in arcs]
    return np.concatenate(simple).astype(np.float64)  # halves of pixels, which both hold


def _fill(rings: list[np.ndarray], outer: np.ndarray, scale: int) -> np.ndarray:
    """Paint rings, holes left out, a pixel in as many parts along each side as the scale says."""
    corner = np.floor(outer.min(axis=0))
    width, height = ((np.ceil(outer.max(axis=0)) - corner) * scale).astype(int) + 1
    canvas = np.zeros((height, width), dtype=np.uint8)
    cv2.fillPoly(canvas, [np.rint((ring - corner) * scale).astype(np.int32) for ring in rings], 1)
    return canvas


def _overlap(first: np.ndarray, second: np.ndarray) -> bool:
    """Tell whether two paintings agree."""
    both = cv2.countNonZero(first & second)
    return both >= AGREEMENT * cv2.countNonZero(first | second)


def _join(rings: list[np.ndarray]) -> np.ndarray:
    """Join an outer ring and holes into one, by lines to the holes and back."""
    joined, *holes = rings
    for hole in sorted(holes, key=lambda ring: tuple(ring.min(axis=0))):
        apart = ((joined[:, None] - hole[None]) ** 2).sum(axis=2)
        at, entry = np.unravel_index(int(apart.argmin()), apart.shape)
        turned = np.roll(hole, -int(entry), axis=0)
        joined = np.concatenate([joined[: at + 1], turned, turned[:1], joined[at:]])
    return joined
