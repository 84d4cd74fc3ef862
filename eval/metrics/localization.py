"""Box accuracy at every threshold: MaxBoxAcc, GT-known, Top-1 and Top-5 localization.

An image enters as its hits at all thresholds. What is kept over a data set is counts and their
bootstrap replicates, so the scores of its parts add up exactly and no image has to be kept.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from eval.compiled import compiled
from eval.metrics.failures import KINDS
from eval.statistics import REPLICATES, image_columns, interval, to_percent

if TYPE_CHECKING:
    from eval.protocols import Protocol

MODES = ("largest", "all")
# Scores that need the predicted classes, and how many of them.
_CLASSES = {"top1_loc": 1, "top5_loc": 5, "top1_cls": 1, "top5_cls": 5}
HIT = 50  # percent of overlap that GT-known, Top-1 and Top-5 localization ask for


@compiled
def _add_changes(changes: np.ndarray, rows: np.ndarray, weights: np.ndarray) -> None:
    """Add weights where a row of hits begins to be true, take them off where it ceases."""
    for row in range(rows.shape[0]):
        before = False
        for at in range(rows.shape[1]):
            if rows[row, at] != before:
                before = rows[row, at]
                sign = 1 if before else -1
                for i in range(weights.size):
                    changes[row, at, i] += sign * weights[i]
        if before:
            for i in range(weights.size):
                changes[row, rows.shape[1], i] -= weights[i]


@compiled
def _add_up(changes: np.ndarray) -> np.ndarray:
    """Turn changes from threshold to threshold, along the second axis, into counts.

    It is numpy's cumsum, which along this axis takes ten times as long.
    """
    rows, count, columns = changes.shape
    counts = np.empty((rows, count - 1, columns), np.int32)
    for row in range(rows):
        for i in range(columns):
            counts[row, 0, i] = changes[row, 0, i]
        for at in range(1, count - 1):
            for i in range(columns):
                counts[row, at, i] = counts[row, at - 1, i] + changes[row, at, i]
    return counts


@dataclass(frozen=True, eq=False)
class Outcome:
    """How one image fared at every threshold of the grid, and at the extra one if there is one.

    Args:
        image_id: names the image
        hits: (modes, deltas, thresholds), bool: whether the protocol's one contour, or any of all
            contours, overlaps a true box enough
        kinds: (thresholds,), positions in `KINDS`: why the one contour's box misses
        rank: position of the true class among the predictions, from 0; None where unknown
        true_boxes: how many there are in what the maps show
        baselines: hits of the protocol's baselines, in their order
    """

    image_id: str
    hits: np.ndarray
    kinds: np.ndarray
    rank: int | None
    true_boxes: int
    baselines: tuple[bool, ...]


@dataclass(frozen=True)
class LocalizationResult:
    """Localization scores of one split under one protocol, all in percent.

    Boxes that came without a map have no curves, no best threshold and what depends on it (None);
    `box_acc` is then of them as they are.

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
        intervals95: by the name of a score, its bootstrap interval; of a score with a threshold
            chosen on this very split, the choice is made anew in every replicate
        errors: number of images by why their box misses, and `misclassified`
        baselines: by name, the share of hits of boxes that need no network
        several_true_boxes: share of images, from 0 to 1, with more than one true box
        without_true_box: number of images that can never be hit
    """

    images: int
    curves: dict[str, dict[str, list[int]]] | None = field(repr=False)
    max_box_acc: float | None
    max_box_acc_threshold: float | None
    box_acc: dict[str, float]
    max_box_acc_v2: float | None
    threshold: float | None
    gt_known_loc: float | None
    top1_loc: float | None
    top5_loc: float | None
    top1_cls: float | None
    top5_cls: float | None
    intervals95: dict[str, list[float] | None]
    errors: dict[str, int | None]
    baselines: dict[str, float]
    several_true_boxes: float
    without_true_box: int

    def to_dict(self) -> dict[str, Any]:
        """Return the scores under the keys of the JSON output."""
        return {name: value for name, value in vars(self).items() if name != "threshold"}


@dataclass
class LocalizationScores:
    """Counts that grow image by image.

    The last column of every table is the plain count, the ones before are bootstrap replicates.

    Args:
        protocol: deltas, grid and baselines
        threshold: an extra threshold beside the grid, or None
    """

    protocol: Protocol
    threshold: float | None = None
    several: int = 0
    without: int = 0
    classified: int = 0
    tables: dict[str, np.ndarray] = field(init=False)
    kinds: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        count, columns = len(self.thresholds), REPLICATES + 1
        curves = (len(MODES) * len(self.protocol.deltas) + 2, count + 1, columns)
        self.tables = {
            # Where a count begins and ceases to be up, by threshold; `curves` adds it up.
            "changes": np.zeros(curves, np.int32),
            "right": np.zeros((2, columns), np.int32),
            "baselines": np.zeros((len(self.protocol.baselines), columns), np.int32),
            "images": np.zeros(columns, np.int32),
        }
        self.kinds = np.zeros((len(KINDS), count), np.int64)

    @cached_property
    def thresholds(self) -> np.ndarray:
        """The protocol's grid, then the extra threshold if there is one."""
        extra = [] if self.threshold is None else [self.threshold]
        return np.concatenate([self.protocol.thresholds, extra])

    @property
    def images(self) -> int:
        """How many images were added."""
        return int(self.tables["images"][-1])

    def update(self, outcome: Outcome) -> None:
        """Add one image."""
        weights = image_columns(outcome.image_id)
        rank = outcome.rank
        count = len(self.thresholds)
        located = outcome.hits[0, self.protocol.deltas.index(HIT)]
        rows = [*outcome.hits.reshape(-1, count)]
        rows += [located & (rank is not None and rank < k) for k in (1, 5)]
        _add_changes(self.tables["changes"], np.array(rows), weights)
        if rank is not None:
            self.classified += 1
            for row, k in enumerate((1, 5)):
                self.tables["right"][row] += weights * (rank < k)
        for row, hit in enumerate(outcome.baselines):
            self.tables["baselines"][row] += weights * hit
        self.tables["images"] += weights
        self.kinds[outcome.kinds, np.arange(count)] += 1
        self.several += outcome.true_boxes > 1
        self.without += outcome.true_boxes == 0

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
        for name, table in self.tables.items():
            table += other.tables[name]
        self.kinds += other.kinds
        for name in ("several", "without", "classified"):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def curves(self) -> np.ndarray:
        """Count the hits at every threshold.

        Returns:
            (rows, thresholds, 1001), int32: modes and deltas, then Top-1 Loc and Top-5 Loc; 1000
            replicates, then the plain count
        """
        return _add_up(self.tables["changes"])

    def replicates(
        self, at: int | Literal["best"] | None = None, curves: np.ndarray | None = None
    ) -> dict[str, np.ndarray]:
        """Compute every score from every replicate.

        Args:
            at: index of the threshold at which GT-known, Top-1 and Top-5 Loc are taken, or
                `best` for the one with the most hits in each replicate; None for the extra
                threshold if there is one, else `best`
            curves: as the method gives them, where they are at hand

        Returns:
            by name, (1001,) percent: 1000 replicates, NaN where one holds no image, and last the
            score itself; `threshold` and `max_box_acc_threshold` are indices of thresholds

        Raises:
            ValueError: no image was added
        """
        if self.images == 0:
            raise ValueError("Expected at least one image but got none")
        percent = partial(to_percent, images=self.tables["images"])
        curves = self.curves() if curves is None else curves
        deltas = self.protocol.deltas
        grid = len(self.protocol.thresholds)
        columns = np.arange(REPLICATES + 1)
        located = curves[deltas.index(HIT)]
        best = located[:grid].argmax(axis=0)
        scores = {"max_box_acc_threshold": best, "max_box_acc": percent(located[best, columns])}
        for row, delta in enumerate(deltas):
            scores[f"box_acc_{delta}"] = percent(curves[len(deltas) + row, :grid].max(axis=0))
        scores["max_box_acc_v2"] = np.mean([scores[f"box_acc_{d}"] for d in deltas], axis=0)
        if at is None:
            at = "best" if self.threshold is None else grid
        chosen = best if at == "best" else np.full(len(columns), at)
        scores["threshold"] = chosen
        scores["gt_known_loc"] = percent(located[chosen, columns])
        scores["top1_loc"] = percent(curves[-2][chosen, columns])
        scores["top5_loc"] = percent(curves[-1][chosen, columns])
        scores["top1_cls"], scores["top5_cls"] = percent(self.tables["right"])
        for row, name in enumerate(self.protocol.baselines):
            scores[name] = percent(self.tables["baselines"][row])
        return scores

    def compute(
        self, true_class: bool = True, places: int = 5, sweeps: bool = True
    ) -> LocalizationResult:
        """Turn the counts into scores.

        Args:
            true_class: the maps were those of the true class, so that GT-known is defined
            places: how many of an image's first classes are known; below 5, what needs them is None
            sweeps: boxes differ between thresholds; without that there is no best threshold, so
                that curves, MaxBoxAcc and MaxBoxAccV2 are None

        Raises:
            ValueError: no image was added
        """
        every = self.replicates()
        if not true_class:
            del every["gt_known_loc"]
        known = self.classified == self.images
        if not sweeps:
            del every["max_box_acc"], every["max_box_acc_v2"]
        for name, depth in _CLASSES.items():
            if not known or depth > places:
                del every[name]
        at, best = int(every.pop("threshold")[-1]), int(every.pop("max_box_acc_threshold")[-1])
        score = {name: float(values[-1]) for name, values in every.items()}
        deltas = [str(delta) for delta in self.protocol.deltas]
        plain = self.tables["changes"][:-2, :-1, -1].cumsum(axis=1)  # those of the plain counts
        counts = plain[:, : len(self.protocol.thresholds)]
        by_mode = counts.reshape(len(MODES), len(deltas), -1).tolist()
        curves = [dict(zip(deltas, rows, strict=True)) for rows in by_mode]
        errors: dict[str, int | None] = {
            kind: int(self.kinds[row, at]) for row, kind in enumerate(KINDS) if kind != "none"
        }
        wrong = self.images - int(self.tables["right"][0, -1])
        return LocalizationResult(
            images=self.images,
            curves=dict(zip(MODES, curves, strict=True)) if sweeps else None,
            max_box_acc=score.get("max_box_acc"),
            max_box_acc_threshold=float(self.thresholds[best]) if sweeps else None,
            box_acc={delta: score[f"box_acc_{delta}"] for delta in deltas},
            max_box_acc_v2=score.get("max_box_acc_v2"),
            threshold=float(self.thresholds[at]) if sweeps else None,
            gt_known_loc=score.get("gt_known_loc"),
            top1_loc=score.get("top1_loc"),
            top5_loc=score.get("top5_loc"),
            top1_cls=score.get("top1_cls"),
            top5_cls=score.get("top5_cls"),
            intervals95={name: interval(values[:-1]) for name, values in every.items()},
            errors={**errors, "misclassified": wrong if known else None},
            baselines={name: score[name] for name in self.protocol.baselines},
            several_true_boxes=self.several / self.images,
            without_true_box=self.without,
        )
