"""What appears and what touches at every level: cells and edges, over basins or over pixels.

A cell is the box of one node (a basin, or a pixel) down to one level. An edge says at which level
two nodes begin to touch. Both come sorted by level, those of level l in the rows from start[l] to
start[l + 1]. Boxes are x0 y0 x1 y1, outer edges in map pixels.

Two basins may touch along a whole border, but only the highest level counts, their saddle: above
every level both are connected, so from the saddle down they are one region, and where else they
touch changes nothing. Levels do here, for only they are thresholds; heights have done their work.
"""

from __future__ import annotations

import numpy as np

from eval.compiled import compiled

LEVELS = 256
Graph = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


@compiled
def join_basins(
    levels: np.ndarray,
    starts: np.ndarray,
    rows: np.ndarray,
    basins: np.ndarray,
    count: int,
    width: int,
    eight: bool,
) -> Graph:
    """Describe basins.

    Args:
        levels: int32, padded
        starts: where hills begin, see `cut_rows`
        rows: the first hill of every row
        basins: of every hill
        count: number of basins
        width: of the map, in pixels
        eight: whether diagonal neighbours touch

    Returns:
        cells (n, 5), node and box, their starts (257,), edges (m, 2), their starts (257,), int32
    """
    height = rows.size - 1
    stride = width + 2
    # The highest level in every column and row tells a basin's box at all levels: the box reaches
    # from the first column that comes up to the level to the last one, and likewise for rows.
    across = np.full((count, width), -1, np.int32)
    down = np.full((count, height), -1, np.int32)
    saddles = np.zeros((count, count), np.int32)  # 0 also where basins are apart, see `_sort_edges`
    for y in range(height):
        row_start = (y + 1) * stride + 1
        for hill in range(rows[y], rows[y + 1]):
            start = starts[hill]
            stop = starts[hill + 1] if hill + 1 < rows[y + 1] else row_start + width
            basin = basins[hill]
            top = down[basin, y]
            for x in range(start - row_start, stop - row_start):
                level = levels[row_start + x]
                across[basin, x] = max(across[basin, x], level)
                top = max(top, level)
            down[basin, y] = top
            if hill + 1 < rows[y + 1]:
                saddle = min(levels[stop - 1], levels[stop])
                _touch(saddles, basin, basins[hill + 1], saddle)
    reach = 1 if eight else 0
    for y in range(height - 1):
        row_start = (y + 1) * stride + 1
        leftmost = rows[y + 1]  # hill of the next row that touches
        for hill in range(rows[y], rows[y + 1]):
            start = starts[hill]
            stop = starts[hill + 1] if hill + 1 < rows[y + 1] else row_start + width
            # Hills of the next row that touch: from pixel start - reach to stop - 1 + reach.
            while leftmost + 1 < rows[y + 2] and starts[leftmost + 1] - stride <= start - reach:
                leftmost += 1
            under = leftmost
            while under < rows[y + 2] and starts[under] - stride < stop + reach:
                if basins[under] != basins[hill]:
                    under_start = starts[under] - stride
                    last = under + 1 == rows[y + 2]
                    under_stop = row_start + width if last else starts[under + 1] - stride
                    level = _pass(levels, start, stop, under_start, under_stop, stride, reach)
                    _touch(saddles, basins[hill], basins[under], level)
                under += 1
    cells, cell_starts = _sort_cells(across, down)
    edges, edge_starts = _sort_edges(saddles)
    return cells, cell_starts, edges, edge_starts


@compiled
def _touch(saddles: np.ndarray, a: int, b: int, level: int) -> None:
    high, low = max(a, b), min(a, b)
    saddles[high, low] = max(saddles[high, low], level)


@compiled
def _pass(
    levels: np.ndarray,
    start: int,
    stop: int,
    under_start: int,
    under_stop: int,
    stride: int,
    reach: int,
) -> int:
    """Find the highest level at which a hill touches one of the next row.

    Both are given as indices in the row of the first; `stop` is the pixel after the last.
    """
    best = 0
    for p in range(max(start, under_start - reach), min(stop, under_stop + reach)):
        for q in range(max(p - reach, under_start), min(p + reach + 1, under_stop)):
            best = max(best, min(levels[p], levels[q + stride]))
    return best


@compiled
def _sort_cells(across: np.ndarray, down: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Turn every basin's profiles into the boxes that change from level to level."""
    count = across.shape[0]
    boxes = np.full((LEVELS, count, 4), -1, np.int32)
    _reach(across, boxes, 0)
    _reach(down, boxes, 1)
    cells = np.empty((LEVELS * count, 5), np.int32)
    starts = np.zeros(LEVELS + 1, np.int32)
    used = 0
    for level in range(LEVELS):
        for basin in range(count):
            changed = level == LEVELS - 1  # nothing came before
            for k in range(4):
                changed = changed or boxes[level, basin, k] != boxes[level + 1, basin, k]
            if changed and boxes[level, basin, 2] >= 0:
                cells[used, 0] = basin
                for k in range(4):
                    cells[used, k + 1] = boxes[level, basin, k]
                used += 1
        starts[level + 1] = used
    return cells, starts


@compiled
def _reach(profiles: np.ndarray, boxes: np.ndarray, column: int) -> None:
    """For every level, find where a profile first reaches it, and behind where it last does."""
    for basin in range(profiles.shape[0]):
        top = -1
        for i in range(profiles.shape[1]):
            while top < profiles[basin, i]:
                top += 1
                boxes[top, basin, column] = i
        top = -1
        for i in range(profiles.shape[1] - 1, -1, -1):
            while top < profiles[basin, i]:
                top += 1
                boxes[top, basin, column + 2] = i + 1


@compiled
def _sort_edges(saddles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sort edges by level, without those of level 0: they matter above no level."""
    count = saddles.shape[0]
    starts = np.zeros(LEVELS + 1, np.int32)
    for a in range(count):
        for b in range(a):
            if saddles[a, b] > 0:
                starts[saddles[a, b] + 1] += 1
    for level in range(LEVELS):
        starts[level + 1] += starts[level]
    edges = np.empty((starts[LEVELS], 2), np.int32)
    free = starts.copy()
    for a in range(count):
        for b in range(a):
            level = saddles[a, b]
            if level > 0:
                edges[free[level], 0], edges[free[level], 1] = a, b
                free[level] += 1
    return edges, starts


@compiled
def join_pixels(levels: np.ndarray, height: int, width: int, eight: bool) -> Graph:
    """Describe pixels, each a node of its own, for maps with more basins than a table can hold.

    Args:
        levels: int32, padded
        height: of the map, in pixels
        width: of the map, in pixels
        eight: whether diagonal neighbours touch

    Returns:
        as `join_basins`; nodes are indices into the padded map
    """
    stride = width + 2
    cell_starts = np.zeros(LEVELS + 1, np.int32)
    edge_starts = np.zeros(LEVELS + 1, np.int32)
    # Half of the neighbours, so that every pair comes once. Nearest ones first, for four.
    steps = np.array([1, stride, stride + 1, stride - 1])
    ways = 4 if eight else 2
    for y in range(1, height + 1):
        for p in range(y * stride + 1, y * stride + 1 + width):
            cell_starts[levels[p] + 1] += 1
            for way in range(ways):
                other = levels[p + steps[way]]
                if other >= 0:  # the padding is no neighbour
                    edge_starts[min(levels[p], other) + 1] += 1
    for level in range(LEVELS):
        cell_starts[level + 1] += cell_starts[level]
        edge_starts[level + 1] += edge_starts[level]
    cells = np.empty((cell_starts[LEVELS], 5), np.int32)
    edges = np.empty((edge_starts[LEVELS], 2), np.int32)
    cell_free, edge_free = cell_starts.copy(), edge_starts.copy()
    for y in range(1, height + 1):
        for x in range(1, width + 1):
            p = y * stride + x
            level = levels[p]
            i = cell_free[level]
            cell_free[level] += 1
            cells[i, 0] = p
            cells[i, 1], cells[i, 2], cells[i, 3], cells[i, 4] = x - 1, y - 1, x, y
            for way in range(ways):
                q = p + steps[way]
                if levels[q] >= 0:
                    low = min(level, levels[q])
                    i = edge_free[low]
                    edge_free[low] += 1
                    edges[i, 0], edges[i, 1] = p, q
    return cells, cell_starts, edges, edge_starts
