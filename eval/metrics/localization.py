"""Box accuracy at every threshold: MaxBoxAcc, GT-known, Top-1 and Top-5 localization.

Per image the scores need, for each threshold, the best overlap of any predicted with any true
box. What is kept over a data set is counts of hits, so scores of shards add up exactly.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from eval.geometry import pairwise_iou, scale_boxes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from eval.geometry import Convention
    from eval.protocols import Protocol

MODES = ("largest", "all")
HIT = 50  # percent of overlap that GT-known, Top-1 and Top-5 localization ask for


def true_boxes_in_square(
    boxes: np.ndarray, size: tuple[int, int], protocol: Protocol
) -> np.ndarray:
    """Carry true boxes to the square in which a protocol compares boxes.

    Args:
        boxes: (k, 4), x0 y0 x1 y1 in original pixels
        size: width, height of the original
        protocol: gives the square and the convention

    Returns:
        (k, 4), int64 where the protocol's boxes are pixel indices (each truncated), else float64
    """
    scaled = scale_boxes(boxes, size, (protocol.size, protocol.size))
    return scaled.astype(np.int64) if protocol.convention == "inclusive" else scaled


def best_ious(
    boxes: Sequence[np.ndarray], true_boxes: np.ndarray, convention: Convention
) -> np.ndarray:
    """Find the best overlap of any predicted with any true box, at every threshold.

    Args:
        boxes: one (k, 4) array a threshold; thresholds that share an array are computed once
        true_boxes: (m, 4), in the same pixels
        convention: what the four numbers of a box mean

    Returns:
        (number of thresholds,), float64, in [0, 1]; 0 where there is no box on either side
    """
    if not len(boxes):
        return np.zeros(0)
    distinct = {id(found): np.reshape(found, (-1, 4)) for found in boxes}
    every = np.concatenate(list(distinct.values()))
    overlaps = pairwise_iou(every, true_boxes, convention).max(axis=1, initial=0)
    ends = np.cumsum([len(found) for found in distinct.values()])
    best = [part.max(initial=0) for part in np.split(overlaps, ends[:-1])]
    places = dict(zip(distinct, best, strict=True))
    return np.array([places[id(found)] for found in boxes])


@dataclass(frozen=True)
class LocalizationResult:
    """Localization scores of one split under one protocol, all in percent.

    Args:
        curves: by mode and delta, the number of images that are hit at each threshold of the grid
        max_box_acc: largest share of hits over the thresholds, at delta 50, largest contour
        max_box_acc_threshold: where it is reached
        box_acc: by delta, the largest share of hits over the thresholds, all contours
        max_box_acc_v2: mean of `box_acc`
        threshold: at which the scores below were taken
        gt_known_loc: share of hits of the true class's map; None for the predicted class's
        top1_loc: share of hits with the right top-1 class; None where no classes are known
        top5_loc: share of hits with the true class among the five
        top1_cls: share of images with the right top-1 class
        top5_cls: share of images with the true class among the five
        baselines: by name, the share of hits of boxes that need no network
        several_true_boxes: share of images, from 0 to 1, with more than one true box
        without_true_box: number of images that can never be hit
    """

    images: int
    curves: dict[str, dict[str, list[int]]]
    max_box_acc: float
    max_box_acc_threshold: float
    box_acc: dict[str, float]
    max_box_acc_v2: float
    threshold: float
    gt_known_loc: float | None
    top1_loc: float | None
    top5_loc: float | None
    top1_cls: float | None
    top5_cls: float | None
    baselines: dict[str, float]
    several_true_boxes: float
    without_true_box: int

    def to_dict(self) -> dict[str, Any]:
        """Return the scores under the keys of the JSON output."""
        return {name: value for name, value in vars(self).items() if name != "threshold"}


@dataclass
class LocalizationScores:
    """Counts of hits that grow image by image.

    Args:
        protocol: deltas, grid and baselines
        threshold: one more threshold beside the grid, or None

    Every image brings its boxes at `thresholds`, which is the grid and then the one more.
    """

    protocol: Protocol
    threshold: float | None = None
    images: int = 0
    several: int = 0
    without: int = 0
    right: dict[str, int] = field(default_factory=lambda: {"top1": 0, "top5": 0})
    classified: int = 0
    hits: dict[str, np.ndarray] = field(init=False)
    baseline_hits: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        shape = (len(self.protocol.deltas), len(self.thresholds))
        self.hits = {mode: np.zeros(shape, dtype=np.int64) for mode in MODES}
        self.hits |= {k: np.zeros(shape[1], dtype=np.int64) for k in ("top1", "top5")}
        self.baseline_hits = dict.fromkeys(self.protocol.baselines, 0)

    @property
    def thresholds(self) -> np.ndarray:
        """The protocol's grid, then the one more threshold if there is one."""
        extra = [] if self.threshold is None else [self.threshold]
        return np.concatenate([self.protocol.thresholds, extra])

    def update(
        self,
        boxes: Mapping[str, Sequence[np.ndarray]],
        true_boxes: np.ndarray,
        rank: int | None = None,
    ) -> None:
        """Add one image.

        Args:
            boxes: by mode (`largest`, `all`), one (k, 4) array a threshold, in the square
            true_boxes: (m, 4), in the square
            rank: place of the true class among the predictions, from 0; None where unknown
        """
        convention = self.protocol.convention
        deltas = np.array(self.protocol.deltas)[:, None] / 100
        overlaps = {mode: best_ious(boxes[mode], true_boxes, convention) for mode in MODES}
        for mode in MODES:
            self.hits[mode] += overlaps[mode] >= deltas
        hit = overlaps[self.protocol.contours] >= HIT / 100
        if rank is not None:
            self.classified += 1
            for name, places in (("top1", 1), ("top5", 5)):
                self.right[name] += rank < places
                self.hits[name] += hit & (rank < places)
        for name, box in self.protocol.baselines.items():
            overlap = pairwise_iou([box], true_boxes, convention).max(initial=0)
            self.baseline_hits[name] += bool(overlap >= HIT / 100)
        self.images += 1
        self.several += len(true_boxes) > 1
        self.without += len(true_boxes) == 0

    def merge(self, other: LocalizationScores) -> None:
        """Add the counts of another shard.

        Raises:
            ValueError: the other shard was scored under another protocol or threshold
        """
        if (self.protocol, self.threshold) != (other.protocol, other.threshold):
            raise ValueError(
                f"Expected scores under {self.protocol.name} at threshold {self.threshold} but "
                f"got {other.protocol.name} at {other.threshold}"
            )
        for name in self.hits:
            self.hits[name] += other.hits[name]
        for name in self.right:
            self.right[name] += other.right[name]
        for name in self.baseline_hits:
            self.baseline_hits[name] += other.baseline_hits[name]
        for name in ("images", "several", "without", "classified"):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def compute(self, true_class: bool = True) -> LocalizationResult:
        """Turn the counts into scores.

        Args:
            true_class: the maps were those of the true class, so that GT-known is defined

        Raises:
            ValueError: no image was added
        """
        if self.images == 0:
            raise ValueError("Expected at least one image but got none")
        grid = self.protocol.thresholds
        share = 100 / self.images
        rows = {delta: row for row, delta in enumerate(self.protocol.deltas)}
        curves = {mode: self.hits[mode][:, : len(grid)] for mode in MODES}
        v1 = curves["largest"][rows[HIT]]
        best = int(np.argmax(v1))
        at = best if self.threshold is None else len(grid)
        box_acc = {str(d): float(share * curves["all"][row].max()) for d, row in rows.items()}
        classes_known = self.classified == self.images

        def classified(count: int) -> float | None:
            return float(share * count) if classes_known else None

        known = self.hits[self.protocol.contours][rows[HIT], at]
        return LocalizationResult(
            images=self.images,
            curves={
                mode: {str(d): curves[mode][row].tolist() for d, row in rows.items()}
                for mode in MODES
            },
            max_box_acc=float(share * v1[best]),
            max_box_acc_threshold=float(grid[best]),
            box_acc=box_acc,
            max_box_acc_v2=float(np.mean(list(box_acc.values()))),
            threshold=float(self.thresholds[at]),
            gt_known_loc=float(share * known) if true_class else None,
            top1_loc=classified(self.hits["top1"][at]),
            top5_loc=classified(self.hits["top5"][at]),
            top1_cls=classified(self.right["top1"]),
            top5_cls=classified(self.right["top5"]),
            baselines={k: float(share * v) for k, v in self.baseline_hits.items()},
            several_true_boxes=self.several / self.images,
            without_true_box=self.without,
        )
