"""Is there a shift? How far maps move over the steps, and how many objects the steps find."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from eval.geometry import pairwise_iou
from eval.metrics.localization import HIT
from tdam.reprs import brief_repr
from wsol.text import count_things

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wsol.attention_shift.trace import Shift

_MOST_REGIONS = 3


def count_found(boxes: Sequence[np.ndarray | None] | np.ndarray, true_boxes: np.ndarray) -> int:
    """Count the objects that boxes find, each by a box of its own.

    Args:
        boxes: (4,) each, x0 y0 x1 y1, outer edges; None where there is none
        true_boxes: (k, 4)

    Returns:
        how many objects can be paired with a box that overlaps them as much as a hit has to
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import maximum_bipartite_matching

    known = [box for box in boxes if box is not None]
    if not known or not len(true_boxes):
        return 0
    enough = pairwise_iou(np.stack(known), true_boxes) >= HIT / 100
    pairs = maximum_bipartite_matching(csr_array(enough), perm_type="column")
    return int((pairs >= 0).sum())


@dataclass(frozen=True)
class ShiftSummary:
    """What the steps of a network do on many images.

    Args:
        images: how many
        steps: T
        moved: how far the map's centre moves from the first step to the last, in percent of the
            image's diagonal, in the mean; None where no image has both
        apart: how far the last step's centre lies from that of the first step of the image before,
            which is what steps that have nothing to do with each other would move; None likewise
        others: images on which a later step's box shows another object than all steps before it
        crowded: images with two or more true boxes
        objects: true boxes on these
        found_by_step: objects that each step's box finds
        found_by_all: objects that the boxes of all steps find together, each with a box of its own
        found_by_regions: objects that the 1, 2, ... largest regions of the last step's map find:
            as many boxes from one map
    """

    images: int
    steps: int
    moved: float | None
    apart: float | None
    others: int
    crowded: int
    objects: int
    found_by_step: tuple[int, ...]
    found_by_all: int
    found_by_regions: tuple[int, ...]

    __repr__ = brief_repr

    def describe(self) -> list[str]:
        """Say it in some lines."""
        lines = []
        if self.steps > 1 and self.moved is not None:
            told = "" if self.apart is None else f"; maps of different images {self.apart:.1f} %"
            lines.append(
                f"the map's centre moves {self.moved:.1f} % of the diagonal from the first step to "
                f"the last{told}"
            )
            lines.append(
                f"a later step's box shows another object on {self.others} of "
                f"{count_things(self.images, 'image')}"
            )
        if self.crowded:
            found = [f"step {at} {count}" for at, count in enumerate(self.found_by_step, start=1)]
            found.append(f"all steps together {self.found_by_all}")
            if self.steps == 1:
                found = [f"the largest region {self.found_by_all}"]
            found += [
                f"the {most} largest regions of the last map {count}"
                for most, count in enumerate(self.found_by_regions, start=1)
                if most > 1
            ]
            lines.append(
                f"of {self.objects} true objects on {count_things(self.crowded, 'image')} with "
                f"several, boxes find: {', '.join(found)}"
            )
        return lines


class ShiftCounter:
    """Adds up shifts, one image after the other."""

    def __init__(self) -> None:
        self._steps = self._images = self._others = self._crowded = self._objects = 0
        self._moved: list[float] = []
        self._apart: list[float] = []
        self._before: np.ndarray | None = None
        self._by_step: list[int] = []
        self._by_all = 0
        self._by_regions: list[int] = []

    def add(self, shift: Shift) -> None:
        """Take the next image's shift."""
        self._images += 1
        self._steps = len(shift.steps)
        self._others += any(step.another_object for step in shift.steps)
        self._measure_way(shift)
        if shift.true_boxes is not None and len(shift.true_boxes) > 1:
            self._count_objects(shift, shift.true_boxes)

    def _measure_way(self, shift: Shift) -> None:
        """Measure how far centres are apart, in shares of the diagonal of each image."""
        sides = np.array([shift.width, shift.height], np.float64)
        diagonal = float(np.hypot(*sides))
        ends = [shift.steps[at].centroid for at in (0, -1)]
        first, last = (None if end is None else np.array(end) for end in ends)
        if first is not None and last is not None:
            self._moved.append(float(np.hypot(*(last - first))) / diagonal)
        if last is not None and self._before is not None:
            self._apart.append(float(np.hypot(*(last - self._before * sides))) / diagonal)
        self._before = None if first is None else first / sides

    def _count_objects(self, shift: Shift, true_boxes: np.ndarray) -> None:
        boxes = [step.box for step in shift.steps]
        most = max(len(boxes), _MOST_REGIONS)
        self._by_step = self._by_step or [0] * len(boxes)
        self._by_regions = self._by_regions or [0] * most
        self._crowded += 1
        self._objects += len(true_boxes)
        for at, box in enumerate(boxes):
            self._by_step[at] += count_found([box], true_boxes)
        self._by_all += count_found(boxes, true_boxes)
        for at in range(most):
            self._by_regions[at] += count_found(shift.regions[: at + 1], true_boxes)

    def summarize(self) -> ShiftSummary:
        """Give what was added up."""
        return ShiftSummary(
            self._images,
            self._steps,
            100 * float(np.mean(self._moved)) if self._moved else None,
            100 * float(np.mean(self._apart)) if self._apart else None,
            self._others,
            self._crowded,
            self._objects,
            tuple(self._by_step),
            self._by_all,
            tuple(self._by_regions),
        )
