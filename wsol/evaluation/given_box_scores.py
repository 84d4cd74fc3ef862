"""Boxes as they are, scored at their one operating point: no map, no threshold, no oracle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from eval.geometry import clip_to_last_pixel, pairwise_iou, scale_boxes, to_edges
from eval.metrics.baselines import hit_baselines
from eval.metrics.failures import KINDS, failure_kinds
from eval.metrics.localization import HIT, MODES, LocalizationScores, Outcome
from eval.metrics.true_boxes import count_shown, true_boxes_in_square
from wsol.evaluation.map_source import NO_RANK, TOP
from wsol.evaluation.predictions import OTHER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eval.metrics.localization import LocalizationResult
    from eval.protocols import ClassMap, Protocol
    from eval.splits import Split
    from wsol.evaluation.given_boxes import GivenBoxes
    from wsol.evaluation.predictions import Predictions

_WHOLE = 1e-4  # pixels of the square within which an edge is that of a pixel


def boxes_in_square(boxes: np.ndarray, size: tuple[int, int], protocol: Protocol) -> np.ndarray:
    """Carry predicted boxes to the square in which a protocol compares boxes.

    Boxes of maps lie between pixels of the square, so that an edge that was written with rounding
    finds its place again.

    Args:
        boxes: (k, 4), x0 y0 x1 y1, outer edges in original pixels
        size: width, height of the original
        protocol: gives the square and the convention

    Returns:
        (k, 4), float64: outer edges; or, where pixels count inclusively, each edge at the nearest
        border between pixels, and cut at the last pixel as boxes of maps are. Without a box
        (0, 0, 0, 0), which stands for none
    """
    if not len(boxes):
        return np.zeros((1, 4))
    edges = scale_boxes(boxes, size, (protocol.size, protocol.size))
    whole = np.rint(edges)
    if protocol.convention == "inclusive":
        return clip_to_last_pixel(whole, (protocol.size, protocol.size))
    return np.where(abs(edges - whole) < _WHOLE, whole, edges)


def judge_boxes(
    boxes: np.ndarray, true: np.ndarray, size: tuple[int, int], protocol: Protocol
) -> tuple[np.ndarray, int]:
    """Tell how the boxes of an image overlap its true ones.

    Args:
        boxes: (k, 4), outer edges in original pixels, that of the largest score first
        true: (m, 4), in the square
        size: width, height of the original
        protocol: how boxes are compared

    Returns:
        (2,), the best overlap of the first box, and of any; and the position in `KINDS` of why the
        first one misses
    """
    inside = boxes_in_square(boxes, size, protocol)
    overlaps = pairwise_iou(inside, true, protocol.convention)
    best = np.array([overlaps[:1].max(initial=0.0), overlaps.max(initial=0.0)])
    blank = np.array([not len(boxes)])
    hit = protocol.hits(best[:1], HIT)
    kinds = failure_kinds(inside[:1], blank, hit, true, protocol.convention)
    return best, int(kinds[0])


@dataclass(frozen=True, eq=False)
class GivenBoxScores:
    """Scores of boxes under one protocol.

    Args:
        split: with boxes and sizes
        given: the predicted boxes
        protocol: how boxes are compared
        class_map: whose boxes they are; of the predicted class, GT-known is not defined
        predictions: predicted classes, in place of those of the boxes; None for these
    """

    split: Split
    given: GivenBoxes
    protocol: Protocol
    class_map: ClassMap
    predictions: Predictions | None = None

    @property
    def places(self) -> int:
        """How many of an image's first classes are known."""
        return 1 if self.predictions is None else self.predictions.places

    def compute(self) -> LocalizationResult:
        """Add all images up."""
        scores = LocalizationScores(self.protocol)
        count = len(scores.thresholds)
        for row, image_id in enumerate(self.split.ids):
            true, overlaps, kind = self._judge(row)
            hits = self._hits(overlaps)[:, :, None].repeat(count, axis=2)
            rank, _ = self._classify(row)
            rank = NO_RANK if rank is not None and row in self.given.missing else rank
            kinds, shown = np.full(count, kind), count_shown(true, self.protocol)
            baselines = hit_baselines(true, self.protocol)
            scores.update(Outcome(image_id, hits, kinds, rank, shown, baselines))
        return scores.compute(self.class_map == "ground_truth", self.places, sweeps=False)

    def rows(self) -> Iterator[dict[str, Any]]:
        """Tell how each image fared, as `BoxScorer.describe` does, with all of its boxes."""
        sizes, count = self.split.sizes, len(self.protocol.thresholds)
        for row, image_id in enumerate(self.split.ids):
            true, overlaps, kind = self._judge(row)
            rank, predicted = self._classify(row)
            fault, boxes = self.given.missing.get(row), self.given.boxes[row].tolist()
            label = int(self.split.labels[row])
            whose = label if self.class_map == "ground_truth" else predicted
            yield {
                "id": image_id,
                "label": label,
                "map_class": None if fault else whose,
                "predicted": None if fault else predicted,
                "rank": None if fault else rank,
                "score": float(self.given.scores[row][0]) if boxes else None,
                "width": int(sizes[row, 0]),  # type: ignore[index]
                "height": int(sizes[row, 1]),  # type: ignore[index]
                "box": boxes[0] if boxes else None,
                "boxes": boxes,
                "iou": float(overlaps[0]),
                "error": None if kind == 0 else KINDS[kind],
                "best_threshold": None,
                "best_iou": float(overlaps[0]),
                "true_boxes": to_edges(self.split.boxes[row]).tolist(),  # type: ignore[index]
                "true_boxes_shown": count_shown(true, self.protocol),
                "hits": {
                    mode: {
                        str(delta): [[0, count]] if hit else []
                        for delta, hit in zip(self.protocol.deltas, hits.tolist(), strict=True)
                    }
                    for mode, hits in zip(MODES, self._hits(overlaps), strict=True)
                },
                "baselines": dict(
                    zip(self.protocol.baselines, hit_baselines(true, self.protocol), strict=True)
                ),
                "unreadable": fault,
            }

    def _judge(self, row: int) -> tuple[np.ndarray, np.ndarray, int]:
        size = self.split.size(row) or (1, 1)
        true = true_boxes_in_square(self.split.boxes[row], size, self.protocol)  # type: ignore[index]
        return true, *judge_boxes(self.given.boxes[row], true, size, self.protocol)

    def _hits(self, overlaps: np.ndarray) -> np.ndarray:
        """(modes, deltas), bool."""
        return np.stack([self.protocol.hits(overlaps, d) for d in self.protocol.deltas], axis=1)

    def _classify(self, row: int) -> tuple[int | None, int | None]:
        """Rank of the true class, and the predicted one; None where not known."""
        label = int(self.split.labels[row])
        if self.predictions is not None:
            return self.predictions.rank(row, label), self.predictions.predicted(row)
        if self.given.predicted is None:
            return None, None
        predicted = self.given.predicted[row]
        return 0 if predicted == label else TOP, None if predicted == OTHER else predicted
