"""The regions that boxes are drawn around: pixels of a map, wherever they lie on the photograph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from eval.geometry import square_to_image
from tdam.reprs import brief_repr
from wsol.boxes import threshold_boxes, threshold_regions
from wsol.heatmap import stretch_map
from wsol.outlines import outline_pixels

if TYPE_CHECKING:
    from wsol.results import Localization


@dataclass(frozen=True)
class BoxRule:
    """How boxes are cut out of a map.

    Args:
        side: of the square that the map is brought to, in pixels
        threshold: share of the map's maximum that a pixel has to exceed, in [0, 1]
        contours: as for `wsol.boxes.threshold_boxes`
    """

    side: int
    threshold: float
    contours: str


@dataclass(frozen=True, eq=False)
class Region:
    """What a box is drawn around.

    Args:
        pixels: (n, n), bool, connected by sides and corners
        frame: part of the photograph that they cover, x0 y0 x1 y1, outer edges in pixels
    """

    pixels: np.ndarray
    frame: tuple[float, float, float, float]

    __repr__ = brief_repr

    def polygon(self) -> np.ndarray:
        """Outline the region by one polygon, whose bounding box is the region's.

        Returns:
            (n, 2), float64, x y in pixels of the photograph, without the first point again; holes
            are cut out as `wsol.outlines.outline_pixels` has it
        """
        return square_to_image(outline_pixels(self.pixels), len(self.pixels), self.frame)

    def paint(self, width: int, height: int) -> np.ndarray:
        """Paint the region: pixels of the photograph whose centre lies in it.

        A region that is so small that it holds no centre has the pixel that its own centre is in.

        Args:
            width: of the photograph, in pixels
            height: of the photograph, in pixels

        Returns:
            (height, width), bool
        """
        painted = np.zeros((height, width), dtype=bool)
        columns, left = self._sample(0, width)
        rows, top = self._sample(1, height)
        part = self.pixels[np.ix_(rows, columns)]
        painted[top : top + len(rows), left : left + len(columns)] = part
        if not part.any():
            y, x = (np.argwhere(self.pixels) + 0.5).mean(axis=0)
            ((x, y),) = square_to_image([(x, y)], len(self.pixels), self.frame)
            painted[min(max(int(y), 0), height - 1), min(max(int(x), 0), width - 1)] = True
        return painted

    def _sample(self, axis: int, length: int) -> tuple[np.ndarray, int]:
        """Tell which of the region's columns, or rows, the photograph's are, and the first one."""
        low, high = self.frame[axis], self.frame[axis + 2]
        centres = np.arange(length) + 0.5
        inside = np.flatnonzero((centres >= low) & (centres < high))
        count = len(self.pixels)
        found = (centres[inside] - low) * count / (high - low)
        return np.minimum(found.astype(np.int64), count - 1), int(inside[0]) if len(inside) else 0


def cut_boxes(raw: np.ndarray, rule: BoxRule) -> tuple[np.ndarray, np.ndarray]:
    """Cut boxes out of a map.

    Args:
        raw: (h, w), on any scale
        rule: how

    Returns:
        (k, 4), int64, x0 y0 x1 y1, outer edges in pixels of the square, that of the highest peak
        first; and (k,), the stretched map's maximum within each
    """
    heat = stretch_map(raw, (rule.side, rule.side))
    boxes = threshold_boxes(heat, rule.threshold, rule.contours)
    order, peaks = _rank(heat, boxes)
    return boxes[order], peaks[order]


def find_regions(localization: Localization) -> list[Region]:
    """Find the region of every box of one class again, out of the map that the boxes came from.

    Args:
        localization: of the class

    Returns:
        one a box, in the boxes' order; where it is not known how the boxes came about, the boxes
        themselves
    """
    rule = localization.rule
    if rule is None or not localization.steps:
        whole = np.ones((1, 1), dtype=bool)
        return [Region(whole, (x0, y0, x1, y1)) for x0, y0, x1, y1 in localization.boxes.tolist()]
    if not len(localization.boxes):
        return []
    last = localization.steps[-1]
    heat = last.heatmap((rule.side, rule.side))
    boxes, pixels = threshold_regions(heat, rule.threshold, rule.contours)
    order, _ = _rank(heat, boxes)
    return [Region(each, last.region) for each in pixels[order]]


def _rank(heat: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rank boxes by their peaks, the highest first; gives the order and the peaks."""
    peaks = np.array([heat[y0:y1, x0:x1].max() for x0, y0, x1, y1 in boxes]).reshape(-1)
    return np.argsort(-peaks, kind="stable"), peaks
