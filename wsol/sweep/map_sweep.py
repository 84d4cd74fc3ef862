"""The whole sweep of one map: quantise, gather, merge, and put regions and holes together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eval.compiled import compiled
from wsol.sweep.basins import cut_rows, gather_hills
from wsol.sweep.graph import LEVELS, join_basins, join_pixels
from wsol.sweep.merge import merge_regions

# More of them, as on noise, and pixels are the better nodes: the table of saddles grows with the
# square of the basins, and that of boxes with 256 times their number.
MOST_BASINS = 256
# Bits below a level, which tell most pixels of one level apart: 256 levels of 2 ** 20 fit in int32.
_FINE = 20


@dataclass(frozen=True, eq=False)
class MapSweep:
    """The boxes of one map above every level.

    Boxes are x0 y0 x1 y1, int32, outer edges in map pixels. Row l of `spans` and `largest` is for
    the pixels above level l.

    Args:
        peak: the map's highest level; nothing is above it
        largest: (256, 4), the box of the contour with the largest polygon area, zero from `peak`
        boxes: (k, 4), boxes of all contours, borders of holes among them
        spans: (256, 2), int32, where the boxes of a level begin in `boxes`, and end
    """

    peak: int
    largest: np.ndarray
    boxes: np.ndarray
    spans: np.ndarray


def sweep_map(scaled: np.ndarray, wants_largest: bool = True, wants_all: bool = True) -> MapSweep:
    """Find the boxes of a map above every level.

    Args:
        scaled: (H, W), float, in [0, 255]; a pixel's level is its integer part
        wants_largest: else `largest` is zero
        wants_all: else `boxes` is empty
    """
    if scaled.dtype not in (np.float32, np.float64):
        scaled = scaled.astype(np.float32)
    height, width = scaled.shape
    heights = _pad(np.ascontiguousarray(scaled))
    levels = _level(heights)
    boxes, spans, largest = _regions(heights, levels, height, width, True, wants_all, wants_largest)
    if wants_all:
        _turn(heights)
        below = _level(heights)
        holes, hole_spans, _ = _regions(heights, below, height, width, False, True, False)
        boxes, spans = _add_holes(boxes, spans, holes, hole_spans, height, width)
    return MapSweep(int(levels.max()), largest, boxes, spans)


def _regions(
    heights: np.ndarray,
    levels: np.ndarray,
    height: int,
    width: int,
    eight: bool,
    wants_all: bool,
    wants_largest: bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    starts, tops, ends, rows = cut_rows(heights, height, width)
    basins, count = gather_hills(heights, starts, tops, ends, rows, width, eight)
    if count <= MOST_BASINS:
        labels = _label(starts, basins, levels.size)
        graph = join_basins(levels, starts, rows, basins, count, width, eight)
    else:
        labels = np.arange(levels.size, dtype=np.int32)
        count = levels.size
        graph = join_pixels(levels, height, width, eight)
    return merge_regions(*graph, count, labels, levels, width + 2, wants_all, wants_largest)


@compiled
def _pad(scaled: np.ndarray) -> np.ndarray:
    """Turn [0, 255] into heights, integers with 20 bits below a level, flat, padded by -1.

    Multiplying by a power of two rounds nothing, so a height's level is exactly the integer part.
    """
    height, width = scaled.shape
    stride = width + 2
    heights = np.full(stride * (height + 2), -1, np.int32)
    for y in range(height):
        row = (y + 1) * stride + 1
        for x in range(width):
            heights[row + x] = np.int32(scaled[y, x] * (1 << _FINE))
    return heights


@compiled
def _level(heights: np.ndarray) -> np.ndarray:
    """Cut heights into levels, int32, the border -1."""
    levels = np.empty(heights.size, np.int32)
    for p in range(heights.size):
        levels[p] = np.int32(heights[p] >> _FINE)
    return levels


@compiled
def _turn(heights: np.ndarray) -> None:
    """Turn a map upside down: level l becomes 255 - l, and the padding stays below all."""
    for p in range(heights.size):
        if heights[p] >= 0:
            heights[p] = (LEVELS << _FINE) - 1 - heights[p]


@compiled
def _label(starts: np.ndarray, basins: np.ndarray, size: int) -> np.ndarray:
    """Give every pixel the basin of its hill.

    A row's last hill runs on into the padding, which does no harm: no region holds that.
    """
    labels = np.full(size, -1, np.int32)
    for hill in range(basins.size):
        for p in range(starts[hill], starts[hill + 1]):
            labels[p] = basins[hill]
    return labels


@compiled
def _add_holes(
    boxes: np.ndarray,
    spans: np.ndarray,
    holes: np.ndarray,
    hole_spans: np.ndarray,
    height: int,
    width: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Put behind the regions above each level the holes in them.

    What does not exceed level l lies, upside down, above level 254 - l. There it falls into pieces
    by four neighbours: a region that holds together by its corners alone already closes a ring, so
    its inside must not slip out between them. A piece that touches the map's border is open ground
    and no hole. A hole's contour runs on the region's pixels around it: its box is one wider.
    """
    most = 0
    for level in range(LEVELS):
        most += spans[level, 1] - spans[level, 0] + hole_spans[level, 1] - hole_spans[level, 0]
    joined = np.empty((most, 4), np.int32)
    joined_spans = np.zeros((LEVELS, 2), np.int32)
    used = 0
    for above in range(LEVELS - 2, -1, -1):
        under = LEVELS - 2 - above
        if spans[above, 0] == spans[above, 1]:
            continue
        if (  # neither regions nor holes have changed since the level above
            spans[above, 0] == spans[above + 1, 0]
            and spans[above, 1] == spans[above + 1, 1]
            and hole_spans[under, 0] == hole_spans[under - 1, 0]
            and hole_spans[under, 1] == hole_spans[under - 1, 1]
        ):
            joined_spans[above, 0] = joined_spans[above + 1, 0]
            joined_spans[above, 1] = joined_spans[above + 1, 1]
            continue
        joined_spans[above, 0] = used
        for i in range(spans[above, 0], spans[above, 1]):
            for k in range(4):
                joined[used, k] = boxes[i, k]
            used += 1
        for i in range(hole_spans[under, 0], hole_spans[under, 1]):
            x0, y0, x1, y1 = holes[i, 0], holes[i, 1], holes[i, 2], holes[i, 3]
            if x0 > 0 and y0 > 0 and x1 < width and y1 < height:
                joined[used, 0], joined[used, 1] = x0 - 1, y0 - 1
                joined[used, 2], joined[used, 3] = x1 + 1, y1 + 1
                used += 1
        joined_spans[above, 1] = used
    return joined[:used], joined_spans
