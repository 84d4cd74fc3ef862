"""The one home of box conventions: what four numbers mean, and how much two boxes overlap.

Two conventions occur. `edges`: x0 y0 x1 y1 are the outer edges of a box in pixels, so its width
is x1 - x0 and a full image is (0, 0, W, H). `inclusive`: they are the indices of the first and
last pixel, so its width is x1 - x0 + 1 and a full image is (0, 0, W - 1, H - 1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

Convention = Literal["edges", "inclusive"]


def pairwise_iou(
    boxes: ArrayLike, others: ArrayLike, convention: Convention = "edges"
) -> np.ndarray:
    """Compute the intersection over union of every box with every other.

    Args:
        boxes: (k, 4), x0 y0 x1 y1
        others: (m, 4), x0 y0 x1 y1
        convention: what the four numbers mean

    Returns:
        (k, m), float64, in [0, 1]; 0 where both boxes are empty

    >>> pairwise_iou([[0, 0, 2, 2]], [[1, 0, 3, 2]])
    array([[0.33333333]])
    """
    first = np.asarray(boxes, dtype=np.float64).reshape(-1, 1, 4)
    second = np.asarray(others, dtype=np.float64).reshape(1, -1, 4)
    extra = {"edges": 0.0, "inclusive": 1.0}[convention]
    corner0 = np.maximum(first[..., :2], second[..., :2])
    corner1 = np.minimum(first[..., 2:], second[..., 2:])
    shared = np.maximum(corner1 - corner0 + extra, 0).prod(axis=-1)
    area = (first[..., 2:] - first[..., :2] + extra).prod(axis=-1)
    other_area = (second[..., 2:] - second[..., :2] + extra).prod(axis=-1)
    union = area + other_area - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def to_edges(boxes: ArrayLike) -> np.ndarray:
    """Turn first and last pixels into outer edges.

    Args:
        boxes: (k, 4), `inclusive`

    Returns:
        (k, 4), `edges`; whole numbers stay whole
    """
    return np.asarray(boxes).reshape(-1, 4) + np.array([0, 0, 1, 1])


def scale_boxes(
    boxes: ArrayLike, size: tuple[float, float], new_size: tuple[float, float]
) -> np.ndarray:
    """Scale boxes with the image that they lie on.

    Args:
        boxes: (k, 4), x0 y0 x1 y1 in pixels of the old image
        size: width, height of the old image
        new_size: width, height of the new image

    Returns:
        (k, 4), float64, in pixels of the new image
    """
    # Multiply before dividing: x * (new / old) can fall just below an integer that x * new / old
    # meets, and protocols that truncate would then lose a pixel.
    scaled = np.asarray(boxes, dtype=np.float64).reshape(-1, 4) * (*new_size, *new_size)
    return scaled / (*size, *size)


def square_to_image(coordinates: ArrayLike, side: float, region: ArrayLike) -> np.ndarray:
    """Carry boxes or points from a square, such as a network's input, to the image it shows.

    Args:
        coordinates: (k, 4) boxes x0 y0 x1 y1 with outer edges, or (k, 2) points x y, in
            pixels of the square
        side: of the square, in pixels
        region: part of the image that the square shows, x0 y0 x1 y1, outer edges in pixels

    Returns:
        float64, of the same shape, in pixels of the image: a box around the whole square is the
        region

    >>> square_to_image([[0, 0, 224, 112]], 224, (10, 0, 650, 480))
    array([[ 10.,   0., 650., 240.]])
    """
    edges = np.asarray(region, dtype=np.float64)
    inside = np.asarray(coordinates, dtype=np.float64)
    corners = inside.shape[-1] // 2
    shown = np.tile(edges[2:] - edges[:2], corners)
    carried: np.ndarray = inside * shown / side + np.tile(edges[:2], corners)
    return carried


def clip_to_last_pixel(boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Cut outer edges at the last pixel, as the standard evaluation counts `inclusive` boxes.

    Its boxes are x0, y0, min(x0 + width, W - 1), min(y0 + height, H - 1): one pixel too wide where
    they do not touch the border, which the field's published numbers have in them.

    Args:
        boxes: (k, 4), `edges`, in pixels
        size: width, height of the map

    Returns:
        (k, 4), of the same type
    """
    width, height = size
    return np.minimum(boxes, np.array([width, height, width, height], boxes.dtype) - 1)
