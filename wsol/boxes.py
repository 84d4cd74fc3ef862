"""From a heat map to boxes: at one threshold, or at all thresholds at once.

The rule is the field's standard one. The map is quantised, u8 = trunc(255 * map); foreground is
every pixel above trunc(threshold * max(u8)), strictly; boxes are the bounding rectangles of the
8-connected contours that OpenCV finds in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from eval.geometry import clip_to_last_pixel
from wsol.levels import level_of, scale_map
from wsol.sweep.graph import LEVELS
from wsol.sweep.map_sweep import sweep_map

if TYPE_CHECKING:
    from collections.abc import Iterable

CONTOURS = ("largest", "all", "outer")
DEFAULT_THRESHOLD = 0.2  # the threshold of the paper that class activation maps come from


def threshold_boxes(
    score_map: np.ndarray, threshold: float, contours: str = "largest"
) -> np.ndarray:
    """Find the boxes of a map at one threshold.

    Args:
        score_map: (H, W), in [0, 1]
        threshold: share of the map's maximum that a pixel has to exceed, in [0, 1]
        contours: `largest` (the one contour with the largest polygon area), `outer` (each
            connected region), or `all` (the borders of holes too, as the benchmarks count)

    Returns:
        (k, 4), int64, x0 y0 x1 y1, outer edges in map pixels; k = 0 where nothing exceeds

    Raises:
        ValueError: a map that is not two-dimensional or leaves [0, 1], or an unknown argument

    >>> spot = np.zeros((8, 8)); spot[2:5, 3:7] = 1
    >>> threshold_boxes(spot, 0.2)
    array([[3, 2, 7, 5]])
    """
    return _rectangles(_find_borders(threshold_mask(score_map, threshold), contours))


def threshold_regions(
    score_map: np.ndarray, threshold: float, contours: str = "largest"
) -> tuple[np.ndarray, np.ndarray]:
    """Find the boxes of a map at one threshold, and the pixels that each is drawn around.

    Args:
        score_map: as for `threshold_boxes`, like the others
        threshold: share of the map's maximum that a pixel has to exceed
        contours: of `CONTOURS`

    Returns:
        (k, 4), the boxes in the order of `threshold_boxes`, and (k, H, W), bool: the connected
        region whose border each is drawn around

    Raises:
        ValueError: as `threshold_boxes`

    >>> spot = np.zeros((8, 8)); spot[2:5, 3:7] = 1
    >>> boxes, regions = threshold_regions(spot, 0.2)
    >>> boxes, bool((regions[0] == spot).all())
    (array([[3, 2, 7, 5]]), True)
    """
    mask = threshold_mask(score_map, threshold)
    borders = _find_borders(mask, contours)
    _, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    own = [labels[y, x] for x, y in (border[0, 0] for border in borders)]
    return _rectangles(borders), labels == np.array(own, labels.dtype).reshape(-1, 1, 1)


def threshold_mask(score_map: np.ndarray, threshold: float) -> np.ndarray:
    """Find the pixels that a map's boxes are drawn around at one threshold.

    Args:
        score_map: (H, W), in [0, 1]
        threshold: share of the map's maximum that a pixel has to exceed, in [0, 1]

    Returns:
        (H, W), bool

    Raises:
        ValueError: a map that is not two-dimensional or leaves [0, 1], or a threshold outside

    >>> threshold_mask(np.array([[0.1, 0.5, 1.0]]), 0.2)
    array([[False,  True,  True]])
    """
    if not 0 <= threshold <= 1:
        raise ValueError(f"Expected threshold to be in [0, 1] but got {threshold}")
    levels = _scale(score_map).astype(np.uint8)
    mask: np.ndarray = levels > level_of(threshold, int(levels.max()))
    return mask


def sweep_boxes(
    score_map: np.ndarray, thresholds: Iterable[float], contours: str = "largest"
) -> list[np.ndarray]:
    """Find the boxes of a map at many thresholds, in the convention of the benchmarks.

    Thresholds that fall on the same integer level share one array. The boxes of one threshold come
    in no particular order.

    Args:
        score_map: (H, W), in [0, 1]; quantised as it is, without a further normalisation
        thresholds: shares of the map's maximum, in [0, 1]
        contours: `largest` or `all`

    Returns:
        one (k, 4) int64 array a threshold, x0 y0 x1 y1 in map pixels, where x0 y0 is the first
        pixel and x1 y1 = min(x0 + width, W - 1), min(y0 + height, H - 1); (0, 0, 0, 0) where
        nothing exceeds the threshold

    Raises:
        ValueError: a map that is not two-dimensional or leaves [0, 1], or an unknown argument

    >>> spot = np.zeros((8, 8)); spot[2:5, 3:7] = 1
    >>> sweep_boxes(spot, [0.2, 1.0])
    [array([[3, 2, 7, 5]]), array([[0, 0, 0, 0]])]
    """
    if contours not in CONTOURS[:2]:
        raise ValueError(f"Expected contours to be one of {CONTOURS[:2]} but got {contours!r}")
    scaled = _scale(score_map)
    if not isinstance(thresholds, np.ndarray):
        thresholds = np.array(list(thresholds), np.float64)
    if not ((thresholds >= 0) & (thresholds <= 1)).all():
        raise ValueError("Expected thresholds to be in [0, 1] but got others")
    height, width = scaled.shape
    sweep = sweep_map(scaled, contours == "largest", contours == "all")
    boxes, spans = sweep.boxes, sweep.spans
    if contours == "largest":
        boxes, starts = sweep.largest, np.arange(LEVELS)
        spans = np.stack([starts, starts + 1], axis=1)
    boxes = clip_to_last_pixel(boxes.astype(np.int64), (width, height))
    steps = level_of(thresholds, sweep.peak).tolist()
    nothing = np.zeros((1, 4), dtype=np.int64)
    by_level = [boxes[start:stop] for start, stop in spans[: sweep.peak].tolist()]
    by_level.append(nothing)
    return [by_level[step] for step in steps]


def level_boxes(score_map: np.ndarray, contours: str = "largest") -> list[np.ndarray]:
    """Find the boxes of a map above every level, the same as `threshold_boxes` at any threshold.

    Args:
        score_map: (H, W), in [0, 1]
        contours: `largest` or `outer`

    Returns:
        one (k, 4) int64 array a level, x0 y0 x1 y1, outer edges in map pixels, from level 0 to the
        last one below the map's highest; a threshold's level is `wsol.levels.level_of` of it and
        of their number, and above the last one there is no box

    Raises:
        ValueError: a map that is not two-dimensional or leaves [0, 1], or an unknown argument

    >>> level_boxes(np.array([[0.0, 0.006, 0.009]]))
    [array([[1, 0, 3, 1]]), array([[2, 0, 3, 1]])]
    """
    if contours not in ("largest", "outer"):
        raise ValueError(f"Expected contours to be 'largest' or 'outer' but got {contours!r}")
    scaled = _scale(score_map)
    if contours == "largest":
        sweep = sweep_map(scaled, wants_largest=True, wants_all=False)
        return list(sweep.largest[: sweep.peak].astype(np.int64)[:, None])
    levels = scaled.astype(np.uint8)
    return [_rectangles(_find_borders(levels > above, contours)) for above in range(levels.max())]


def _scale(score_map: np.ndarray) -> np.ndarray:
    """Check a map and stretch [0, 1] to [0, 255], in the map's own precision."""
    scores = np.asarray(score_map)
    if not np.issubdtype(scores.dtype, np.floating):
        scores = scores.astype(np.float64)
    if scores.ndim != 2 or scores.size == 0:
        raise ValueError(f"Expected score_map to be of shape (H, W) but got {scores.shape}")
    if not (scores.min() >= 0 and scores.max() <= 1):  # NaN fails both
        raise ValueError(
            f"Expected score_map to be in [0, 1] but got {scores.min()} to {scores.max()}; "
            "wsol.heatmap.to_heatmap stretches a raw map"
        )
    return scale_map(scores)


def _find_borders(mask: np.ndarray, contours: str) -> list[np.ndarray]:
    """Find the contours of a mask that boxes are drawn around, each (n, 1, 2), x y of pixels."""
    if contours not in CONTOURS:
        raise ValueError(f"Expected contours to be one of {CONTOURS} but got {contours!r}")
    foreground = mask.astype(np.uint8)
    retrieve = cv2.RETR_EXTERNAL if contours == "outer" else cv2.RETR_TREE
    borders, _ = cv2.findContours(foreground, retrieve, cv2.CHAIN_APPROX_SIMPLE)
    if contours == "largest" and borders:
        return [max(borders, key=cv2.contourArea)]  # the first among equals
    return list(borders)


def _rectangles(borders: list[np.ndarray]) -> np.ndarray:
    """Bounding rectangles, (k, 4), outer edges, of contours."""
    boxes = np.array([cv2.boundingRect(border) for border in borders], dtype=np.int64)
    boxes = boxes.reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    return boxes
