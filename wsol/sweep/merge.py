"""Nodes grow and merge into regions, level by level, and every level's boxes are written down.

A threshold that falls by one level adds that level's pixels and contacts and takes none away. So
the regions above a level are those of the level before, and what cells and edges of one level
change in them. Two nodes are in one region above level l if a chain of edges higher than l joins
them; edges taken from the highest saddle to the lowest have joined just those by then, as in
Kruskal's spanning tree, and one pass serves all thresholds.
"""

from __future__ import annotations

import numpy as np

from eval.compiled import compiled
from wsol.sweep.forest import find_root
from wsol.sweep.graph import LEVELS
from wsol.sweep.outline import trace_area


@compiled
def merge_regions(
    cells: np.ndarray,
    cell_starts: np.ndarray,
    edges: np.ndarray,
    edge_starts: np.ndarray,
    nodes: int,
    labels: np.ndarray,
    levels: np.ndarray,
    stride: int,
    wants_all: bool,
    wants_largest: bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find the regions above every level.

    Args:
        cells: (n, 5), int32, as `join_basins` returns them
        cell_starts: see there
        edges: see there
        edge_starts: see there
        nodes: how many there are
        labels: the node of every pixel, int32, padded
        levels: int32, padded
        stride: width of the padded map
        wants_all: whether to write every region's box down
        wants_largest: whether to choose the largest region at every level

    Returns:
        boxes (k, 4), int32, outer edges in map pixels; spans (256, 2), the rows that hold the
        boxes of the regions above level l; largest (256, 4), the box of the largest region there.
        Above levels that nothing exceeds the span is empty and the box zero.
    """
    parents = np.full(nodes, -1, np.int32)  # -1: not there yet
    regions = np.empty((nodes, 4), np.int32)
    areas = np.zeros(nodes, np.int32)  # the last one measured, a lower bound ever after
    alive = np.empty(nodes, np.int32)  # the roots: one a region
    count = 0
    boxes = np.empty((max(1024, cells.shape[0]) if wants_all else 0, 4), np.int32)
    used = 0
    spans = np.zeros((LEVELS, 2), np.int32)
    largest = np.zeros((LEVELS, 4), np.int32)
    for above in range(LEVELS - 2, -1, -1):
        level = above + 1
        begin, end = cell_starts[level], cell_starts[level + 1]
        edge_begin, edge_end = edge_starts[level], edge_starts[level + 1]
        count = _grow(cells, begin, end, parents, regions, alive, count)
        if edge_begin < edge_end:
            _unite(edges, edge_begin, edge_end, parents, regions, areas)
            count = _keep_roots(parents, alive, count)
        # Even where no cell and no edge came: a region can gain area within its box.
        if wants_largest and count > 0:
            best = _pick(regions, areas, alive, count, parents, labels, levels, stride, above)
            for k in range(4):
                largest[above, k] = regions[best, k]
        if begin == end and edge_begin == edge_end:
            spans[above, 0], spans[above, 1] = spans[above + 1, 0], spans[above + 1, 1]
        elif wants_all:
            if used + count > boxes.shape[0]:
                boxes = _lengthen(boxes, used, 2 * (used + count))
            for i in range(count):
                for k in range(4):
                    boxes[used + i, k] = regions[alive[i], k]
            spans[above, 0], spans[above, 1] = used, used + count
            used += count
    return boxes, spans, largest


@compiled
def _grow(
    cells: np.ndarray,
    begin: int,
    end: int,
    parents: np.ndarray,
    regions: np.ndarray,
    alive: np.ndarray,
    count: int,
) -> int:
    """Let one level's cells appear, or widen the regions that they are part of.

    Returns:
        the number of regions alive
    """
    for i in range(begin, end):
        node = cells[i, 0]
        if parents[node] < 0:
            parents[node] = node
            for k in range(4):
                regions[node, k] = cells[i, k + 1]
            alive[count] = node
            count += 1
        else:
            _widen(regions, find_root(parents, node), cells, i, 1)
    return count


@compiled
def _unite(
    edges: np.ndarray,
    begin: int,
    end: int,
    parents: np.ndarray,
    regions: np.ndarray,
    areas: np.ndarray,
) -> None:
    """Merge the regions that one level's edges join; the first one's root stays."""
    for i in range(begin, end):
        a, b = find_root(parents, edges[i, 0]), find_root(parents, edges[i, 1])
        if a != b:
            parents[b] = a
            areas[a] = max(areas[a], areas[b])
            _widen(regions, a, regions, b, 0)


@compiled
def _widen(regions: np.ndarray, root: int, boxes: np.ndarray, row: int, column: int) -> None:
    """Widen a region's box by the one that begins at a column of a row of `boxes`."""
    for k in range(2):
        regions[root, k] = min(regions[root, k], boxes[row, column + k])
        regions[root, k + 2] = max(regions[root, k + 2], boxes[row, column + k + 2])


@compiled
def _keep_roots(parents: np.ndarray, alive: np.ndarray, count: int) -> int:
    """Drop the regions that have merged into others, and return how many are left."""
    kept = 0
    for i in range(count):
        if parents[alive[i]] == alive[i]:
            alive[kept] = alive[i]
            kept += 1
    return kept


@compiled
def _lengthen(boxes: np.ndarray, used: int, size: int) -> np.ndarray:
    """Copy the used rows into a longer array."""
    longer = np.empty((size, 4), np.int32)
    for i in range(used):
        for k in range(4):
            longer[i, k] = boxes[i, k]
    return longer


@compiled
def _pick(
    regions: np.ndarray,
    areas: np.ndarray,
    alive: np.ndarray,
    count: int,
    parents: np.ndarray,
    labels: np.ndarray,
    levels: np.ndarray,
    stride: int,
    above: int,
) -> int:
    """Choose the region with the largest polygon area, among equals the one that begins last.

    The field's rule takes the first of the largest in OpenCV's list of contours. Regions of equal
    area lie side by side, for one within another is smaller, and OpenCV lists contours side by
    side from the last found, row by row, to the first. Borders of holes need no look: they enclose
    no more than the outer border of their region, and are listed after it.

    A region's box bounds its area from above, and any area that it once had from below, since
    regions only grow. A border is walked only where these leave several in question.
    """
    least = 0
    for i in range(count):
        least = max(least, areas[alive[i]])
    rivals = 0
    for i in range(count):
        if _area_bound(regions, alive[i]) >= least:
            alive[i], alive[rivals] = alive[rivals], alive[i]
            rivals += 1
    best, best_first = alive[0], -1
    if rivals == 1:
        return best
    best_area = -1
    for i in range(rivals):
        node = alive[i]
        bound = _area_bound(regions, node)
        if bound < best_area:  # one that could be equal stays: where it begins decides
            continue
        # Its first pixel, row by row, is in the top row of its box, where others may lie too.
        first = regions[node, 1] * stride + stride + 1 + regions[node, 0]
        while levels[first] <= above or find_root(parents, labels[first]) != node:
            first += 1
        if bound > 0:
            areas[node] = trace_area(levels, stride, first, above)
        if areas[node] > best_area or (areas[node] == best_area and first > best_first):
            best, best_first, best_area = node, first, areas[node]
    return best


@compiled
def _area_bound(regions: np.ndarray, node: int) -> int:
    """Twice the area of the polygon through the centres of a box's border pixels."""
    across = regions[node, 2] - regions[node, 0] - 1
    return 2 * across * (regions[node, 3] - regions[node, 1] - 1)
