"""A map's rows cut into hills, and the hills gathered into basins, one for every peak.

A hill is a stretch of a row that rises and then falls, so the part of it above any level is one
piece. Its top touches, unless it is a peak of the map, something higher in the next row or the one
before, and belongs to the same basin. Basins are therefore connected above every level.

Maps are flat int32 arrays, padded by -1 all around, one pixel wide. Pixels of equal height are
ordered by their place, which leaves no plateau and no cycle.
"""

from __future__ import annotations

import numpy as np

from eval.compiled import compiled


@compiled
def cut_rows(
    heights: np.ndarray, height: int, width: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cut every row of a map into hills.

    Args:
        heights: ((height + 2) * (width + 2),), int32, padded
        height: of the map, in pixels
        width: of the map, in pixels

    Returns:
        starts (n + 1,), where hills begin: hill i of a row ends where hill i + 1 begins, or at the
        row's end; tops (n,), where they are highest; rows (height + 1,), the first hill of each row
    """
    stride = width + 2
    starts = np.empty(height * ((width + 1) // 2 + 1) + 1, np.int32)
    tops = np.empty(starts.size, np.int32)
    rows = np.empty(height + 1, np.int32)
    count = 0
    for y in range(height):
        rows[y] = count
        begin = (y + 1) * stride + 1
        starts[count] = begin
        before = heights[begin]
        rising = True
        for p in range(begin + 1, begin + width):
            here = heights[p]
            if rising:
                if here < before:
                    tops[count] = p - 1
                    rising = False
            elif here >= before:
                count += 1
                starts[count] = p
                rising = True
            before = here
        if rising:
            tops[count] = begin + width - 1
        count += 1
    rows[height] = count
    starts[count] = (height + 1) * stride + 1
    return starts[: count + 1], tops[:count], rows


@compiled
def gather_hills(
    heights: np.ndarray,
    starts: np.ndarray,
    tops: np.ndarray,
    rows: np.ndarray,
    width: int,
    eight: bool,
) -> tuple[np.ndarray, int]:
    """Number the basins and tell which one every hill belongs to.

    Args:
        heights: int32, padded
        starts: see `cut_rows`
        tops: see `cut_rows`
        rows: see `cut_rows`
        width: of the map, in pixels
        eight: whether diagonal neighbours touch

    Returns:
        a basin for every hill, (n,), int32, and the number of basins
    """
    stride = width + 2
    reach = 1 if eight else 0
    basins = np.full(tops.size, -1, np.int32)
    nexts = np.empty(tops.size, np.int32)
    count = 0
    for y in range(rows.size - 1):
        for hill in range(rows[y], rows[y + 1]):
            top = tops[hill]
            best, at = heights[top], top
            for row in (-stride, stride):
                for q in range(top + row - reach, top + row + reach + 1):
                    if heights[q] > best or (heights[q] == best and q > at):
                        best, at = heights[q], q
            if at == top:
                basins[hill] = count
                count += 1
                continue
            near = rows[y - 1] if at < top else rows[y + 1]
            while starts[near + 1] <= at:
                near += 1
            nexts[hill] = near
    for hill in range(tops.size):
        last = hill
        while basins[last] < 0:
            last = nexts[last]
        basin = basins[last]
        last = hill
        while basins[last] < 0:
            basins[last] = basin
            last = nexts[last]
    return basins, count
