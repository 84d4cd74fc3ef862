"""A map's rows cut into hills, and the hills gathered into basins.

A hill is a stretch of a row that rises and then falls. From any of its pixels the top is reached
without a step down, so the part of it above any level is one piece, and holds the top.

Where a top touches, in the next row, a pixel at least as high, the climb goes on over that pixel's
hill, again without a step down. The hills that climb to one peak are its basin. Every pixel of a
basin reaches the peak without going below its own height, so whatever part of the basin is above
a level is connected there, through the peak.

Tops of one height that touch need care: each leads to the other, and the climb would go round in
circles. They are first joined to a zone, and the zone climbs as a whole, or is a peak as a whole.

Maps are flat int32 arrays of heights, padded by -1 all around, one pixel wide. The padding lies
below every height, so it ends flat stretches, is nobody's higher neighbour, and spares the loops a
test for the map's edge. Heights are finer than levels to keep zones rare: a smooth map has wide
plateaus of one level, but hardly two neighbours of one height. What is connected above every
height is so above every level, since a higher pixel never has a lower level.
"""

from __future__ import annotations

import numpy as np

from eval.compiled import compiled
from wsol.sweep.forest import find_root


@compiled
def cut_rows(
    heights: np.ndarray, height: int, width: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Cut every row of a map into hills.

    Args:
        heights: ((height + 2) * (width + 2),), int32, padded
        height: of the map, in pixels
        width: of the map, in pixels

    Returns:
        starts (n + 1,), where hills begin: hill i of a row ends where hill i + 1 begins, or at the
        row's end; first and last pixel of their tops, (n,) each; rows (height + 1,), the first
        hill of each row; all int32, and pixels as indices into the padded map
    """
    stride = width + 2
    # Every hill but a row's last falls, and so has two pixels at least. One more closes `starts`.
    most = height * ((width + 1) // 2) + 1
    starts = np.empty(most, np.int32)
    tops = np.empty(most, np.int32)
    ends = np.empty(most, np.int32)
    rows = np.empty(height + 1, np.int32)
    count = 0
    for y in range(height):
        rows[y] = count
        begin = (y + 1) * stride + 1
        starts[count] = begin
        top = begin
        previous = heights[begin]
        rising = True
        for p in range(begin + 1, begin + width):
            current = heights[p]
            if current == previous:
                continue  # flat pixels belong to the slope before them
            if rising:
                if current > previous:
                    top = p
                else:
                    tops[count], ends[count] = top, _last_of(heights, top)
                    rising = False
            elif current > previous:
                count += 1
                starts[count] = top = p
                rising = True
            previous = current
        if rising:
            tops[count], ends[count] = top, _last_of(heights, top)
        count += 1
    rows[height] = count
    starts[count] = (height + 1) * stride + 1
    return starts[: count + 1], tops[:count], ends[:count], rows


@compiled
def _last_of(heights: np.ndarray, pixel: int) -> int:
    """Find the last pixel of a flat stretch of a row."""
    top_height = heights[pixel]
    while heights[pixel + 1] == top_height:
        pixel += 1
    return pixel


@compiled
def gather_hills(
    heights: np.ndarray,
    starts: np.ndarray,
    tops: np.ndarray,
    ends: np.ndarray,
    rows: np.ndarray,
    width: int,
    eight: bool,
) -> tuple[np.ndarray, int]:
    """Number the basins and tell which one every hill belongs to.

    Only the rows above and below can lead on: within the row, a hill ends in a dip below its top.

    Args:
        heights: int32, padded
        starts: see `cut_rows`
        tops: see `cut_rows`
        ends: see `cut_rows`
        rows: see `cut_rows`
        width: of the map, in pixels
        eight: whether diagonal neighbours touch

    Returns:
        a basin for every hill, (n,), int32, and the number of basins
    """
    stride = width + 2
    reach = 1 if eight else 0
    height = rows.size - 1
    zones = np.arange(tops.size).astype(np.int32)  # hills whose tops form one flat zone
    higher = np.full(tops.size, -1, np.int32)
    for y in range(height):
        for other in (y - 1, y + 1):
            if other < 0 or other >= height:
                continue
            leftmost = rows[other]  # hill of the other row that the top can touch
            shift = (other - y) * stride
            for hill in range(rows[y], rows[y + 1]):
                top_height = heights[tops[hill]]
                low, high = tops[hill] + shift - reach, ends[hill] + shift + reach
                while leftmost + 1 < rows[other + 1] and starts[leftmost + 1] <= low:
                    leftmost += 1
                neighbour = leftmost
                for q in range(low, high + 1):
                    if heights[q] >= top_height:
                        while neighbour + 1 < rows[other + 1] and starts[neighbour + 1] <= q:
                            neighbour += 1
                        if heights[tops[neighbour]] > top_height:
                            higher[hill] = neighbour
                        else:  # q is as high as both tops: they are one plateau
                            zones[find_root(zones, hill)] = find_root(zones, neighbour)
    return _number(zones, higher)


@compiled
def _number(zones: np.ndarray, higher: np.ndarray) -> tuple[np.ndarray, int]:
    """Lead every zone to one higher hill, up to a zone that has none, and number those.

    One and no more: through a second one, two peaks would become one basin above their saddle.
    Which one does not matter: that the zone also touches the other is kept as an edge between
    basins. Every step leads higher, so the climb ends.
    """
    basins = np.full(zones.size, -1, np.int32)
    for hill in range(zones.size):
        if higher[hill] >= 0:
            higher[find_root(zones, hill)] = higher[hill]
    count = 0
    for hill in range(zones.size):
        if zones[hill] == hill and higher[hill] < 0:
            basins[hill] = count
            count += 1
    for hill in range(zones.size):
        zone = find_root(zones, hill)
        while basins[zone] < 0:
            zone = find_root(zones, higher[zone])
        basin = basins[zone]
        zone = find_root(zones, hill)
        while basins[zone] < 0:  # once more, so that no part of a climb is made for two hills
            basins[zone] = basin
            zone = find_root(zones, higher[zone])
        basins[hill] = basin
    return basins, count
