"""A map's rows cut into hills, and the hills gathered into basins.

A hill is a stretch of a row that rises and then falls, so the part of it above any level is one
piece. Hills of one height whose flat tops touch, row to row, form a zone. Where a zone touches a
higher hill without a way down, it joins the basin of that hill; else it is the peak of a basin of
its own.

Basins are therefore connected above every level. Take any pixel of a basin above a level: the way
along its row to the top of its hill only rises; from there the zone is flat, and the link to the
next hill never leads below the zone. So there is a way from the pixel to the basin's peak that
stays above the level.

Maps are flat int32 arrays of heights, finer than levels, padded by -1 all around, one pixel wide.
What is connected above every height is so above every level, since a level is a height cut off.
Heights are taken because flat tops, which are compared pixel by pixel, are rare among them.
"""

from __future__ import annotations

import numpy as np

from eval.compiled import compiled


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
        hill of each row; all int32
    """
    stride = width + 2
    most = height * ((width + 1) // 2) + 1  # each but a row's last takes two pixels, up and down
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
        before = heights[begin]
        rising = True
        for p in range(begin + 1, begin + width):
            here = heights[p]
            if here == before:
                continue
            if rising:
                if here > before:
                    top = p
                else:
                    tops[count], ends[count] = top, _last_of(heights, top)
                    rising = False
            elif here > before:  # the valley behind it, flat or not, stays with the hill before
                count += 1
                starts[count] = top = p
                rising = True
            before = here
        if rising:
            tops[count], ends[count] = top, _last_of(heights, top)
        count += 1
    rows[height] = count
    starts[count] = (height + 1) * stride + 1
    return starts[: count + 1], tops[:count], ends[:count], rows


@compiled
def _last_of(heights: np.ndarray, pixel: int) -> int:
    """Find the last pixel of a flat stretch of a row; the padding ends it at the latest."""
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
            near = rows[other]
            shift = (other - y) * stride
            for hill in range(rows[y], rows[y + 1]):
                top_height = heights[tops[hill]]
                low, high = tops[hill] + shift - reach, ends[hill] + shift + reach
                # Tops of a row come from left to right, so that `near` need never go back. What
                # two of them touch may overlap, so that `there` starts from `near` each time.
                while near + 1 < rows[other + 1] and starts[near + 1] <= low:
                    near += 1
                there = near
                for q in range(low, high + 1):
                    if heights[q] >= top_height:
                        while there + 1 < rows[other + 1] and starts[there + 1] <= q:
                            there += 1
                        if heights[tops[there]] > top_height:  # from q its row only rises
                            higher[hill] = there
                        else:  # q is as high as both tops, and so part of the other one
                            zones[_find(zones, hill)] = _find(zones, there)
    return _number(zones, higher)


@compiled
def _number(zones: np.ndarray, higher: np.ndarray) -> tuple[np.ndarray, int]:
    """Lead every zone to one higher hill, up to a zone that has none, and number those.

    One and no more: through a second one, two peaks would be one basin, which falls apart above
    the zone that links them. Which one does not matter: the others become edges between basins.
    """
    basins = np.full(zones.size, -1, np.int32)
    for hill in range(zones.size):  # a way up from any hill of a zone is one for all of it
        if higher[hill] >= 0:
            higher[_find(zones, hill)] = higher[hill]
    count = 0
    for hill in range(zones.size):
        if zones[hill] == hill and higher[hill] < 0:
            basins[hill] = count
            count += 1
    for hill in range(zones.size):
        zone = _find(zones, hill)
        while basins[zone] < 0:  # ends, since every link leads to a higher top
            zone = _find(zones, higher[zone])
        basin = basins[zone]
        zone = _find(zones, hill)  # once more, to spare the next hill the way
        while basins[zone] < 0:
            basins[zone] = basin
            zone = _find(zones, higher[zone])
        basins[hill] = basin
    return basins, count


@compiled
def _find(zones: np.ndarray, hill: int) -> int:
    while zones[hill] != hill:
        zones[hill] = zones[zones[hill]]
        hill = zones[hill]
    return hill
