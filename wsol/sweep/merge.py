"""Nodes grow and merge into regions, level by level, and every level's boxes are written down."""

from __future__ import annotations

import numpy as np

from eval.compiled import compiled
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
    alive = np.empty(nodes, np.int32)
    count = 0
    boxes = np.empty((max(1024, cells.shape[0]) if wants_all else 0, 4), np.int32)
    used = 0
    spans = np.zeros((LEVELS, 2), np.int32)
    largest = np.zeros((LEVELS, 4), np.int32)
    # Downwards, since a forest of parents can be joined but not taken apart. Cells come before
    # edges: what touches at a level has appeared there, or above.
    for above in range(LEVELS - 2, -1, -1):
        level = above + 1
        first, last = cell_starts[level], cell_starts[level + 1]
        begin, end = edge_starts[level], edge_starts[level + 1]
        count = _grow(cells[first:last], parents, regions, alive, count)
        _join(edges[begin:end], parents, regions, areas)
        count = _keep_roots(parents, alive, count)
        if wants_largest and count > 0:  # areas may change where boxes do not
            best = _pick(regions, areas, alive, count, parents, labels, levels, stride, above)
            largest[above] = regions[best]
        if first == last and begin == end:  # the boxes of the level above
            spans[above] = spans[above + 1]
        elif wants_all:
            boxes = _make_room(boxes, used, count)
            for i in range(count):
                boxes[used + i] = regions[alive[i]]
            spans[above, 0], spans[above, 1] = used, used + count
            used += count
    return boxes, spans, largest


@compiled
def _grow(
    cells: np.ndarray, parents: np.ndarray, regions: np.ndarray, alive: np.ndarray, count: int
) -> int:
    """Let nodes appear, or their regions grow, and return how many regions there are."""
    for i in range(cells.shape[0]):
        node = cells[i, 0]
        if parents[node] < 0:
            parents[node] = node
            for k in range(4):
                regions[node, k] = cells[i, k + 1]
            alive[count] = node
            count += 1
        else:  # it may have become part of another's region
            _widen(regions, _find(parents, node), cells[i, 1:])
    return count


@compiled
def _join(edges: np.ndarray, parents: np.ndarray, regions: np.ndarray, areas: np.ndarray) -> None:
    """Make one region of those that begin to touch; the root of either may be that of both."""
    for i in range(edges.shape[0]):
        a, b = _find(parents, edges[i, 0]), _find(parents, edges[i, 1])
        if a != b:
            parents[b] = a
            areas[a] = max(areas[a], areas[b])
            _widen(regions, a, regions[b])


@compiled
def _widen(regions: np.ndarray, root: int, box: np.ndarray) -> None:
    for k in range(2):
        regions[root, k] = min(regions[root, k], box[k])
        regions[root, k + 2] = max(regions[root, k + 2], box[k + 2])


@compiled
def _keep_roots(parents: np.ndarray, alive: np.ndarray, count: int) -> int:
    """Move the nodes that still stand for a region to the front, and count them."""
    kept = 0
    for i in range(count):
        if parents[alive[i]] == alive[i]:
            alive[kept] = alive[i]
            kept += 1
    return kept


@compiled
def _make_room(boxes: np.ndarray, used: int, count: int) -> np.ndarray:
    """Return the boxes, or a longer copy of those used where no further `count` fit in."""
    if used + count <= boxes.shape[0]:
        return boxes
    longer = np.empty((2 * (used + count), 4), np.int32)
    longer[:used] = boxes[:used]
    return longer


@compiled
def _find(parents: np.ndarray, node: int) -> int:
    while parents[node] != node:
        parents[node] = parents[parents[node]]
        node = parents[node]
    return node


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

    A region's box bounds its area from above, and any area that it once had from below, since
    regions only grow. A border is walked only where these leave several in question. OpenCV lists
    contours from the last one in reading order to the first, and the field takes the first of the
    largest.
    """
    least = 0
    for i in range(count):
        least = max(least, areas[alive[i]])
    rivals = 0  # those that may be the largest come to the front
    for i in range(count):
        if _most(regions, alive[i]) >= least:
            alive[i], alive[rivals] = alive[rivals], alive[i]
            rivals += 1
    best, best_first = alive[0], -1
    if rivals == 1:
        return best
    best_area = -1
    for i in range(rivals):
        node = alive[i]
        most = _most(regions, node)
        if most < best_area:
            continue
        # The uppermost row of its box has a pixel of the region, and none left of the box.
        first = regions[node, 1] * stride + stride + 1 + regions[node, 0]
        while levels[first] <= above or _find(parents, labels[first]) != node:
            first += 1
        if most > 0:
            areas[node] = trace_area(levels, stride, first, above)
        if areas[node] > best_area or (areas[node] == best_area and first > best_first):
            best, best_first, best_area = node, first, areas[node]
    return best


@compiled
def _most(regions: np.ndarray, node: int) -> int:
    """Twice the area of the polygon through the centres of a box's border pixels."""
    across = regions[node, 2] - regions[node, 0] - 1
    return 2 * across * (regions[node, 3] - regions[node, 1] - 1)
