"""True boxes in the square in which a protocol compares boxes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from eval.geometry import scale_boxes, to_edges

if TYPE_CHECKING:
    from eval.protocols import Protocol


def true_boxes_in_square(
    boxes: np.ndarray,
    size: tuple[int, int],
    protocol: Protocol,
    region: tuple[float, float, float, float] | None = None,
) -> np.ndarray:
    """Carry true boxes to the square in which a protocol compares boxes.

    Args:
        boxes: (k, 4), x0 y0 x1 y1, first and last pixel in the original
        size: width, height of the original
        protocol: gives the square and the convention
        region: part of the original that the square shows, x0 y0 x1 y1, outer edges; None: all

    Returns:
        (k, 4): first and last pixel, truncated to int64, or outer edges, float64, cut to the region
    """
    side = (protocol.size, protocol.size)
    if region is None or tuple(region) == (0, 0, *size):
        if protocol.convention == "inclusive":
            pixels = scale_boxes(boxes, size, side).astype(np.int64)
            pixels[:, 2:] = np.maximum(pixels[:, 2:], pixels[:, :2])  # narrower than a pixel
            return pixels
        return scale_boxes(to_edges(boxes), size, side)
    shown = (region[2] - region[0], region[3] - region[1])
    edges = scale_boxes(to_edges(boxes) - np.tile(region[:2], 2), shown, side)
    edges = edges.clip(0, protocol.size)
    if protocol.convention == "edges":
        return edges
    inside = (edges[:, 2:] > edges[:, :2]).all(axis=1, keepdims=True)
    pixels = np.maximum(edges - [0, 0, 1, 1], 0).astype(np.int64)
    return np.where(inside, pixels, [0, 0, -1, -1])  # of no area


def count_shown(boxes: np.ndarray, protocol: Protocol) -> int:
    """Count the true boxes of which the square shows a part.

    Args:
        boxes: (k, 4), in the square, as `true_boxes_in_square` gives them
        protocol: gives the convention
    """
    if protocol.convention == "edges":
        return int((boxes[:, 2:] > boxes[:, :2]).all(axis=1).sum())
    return int((boxes[:, 2] >= boxes[:, 0]).sum())
