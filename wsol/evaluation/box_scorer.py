"""Scoring against true boxes: what is kept of an image, what is added up, what is told of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from eval.geometry import square_to_image, to_edges
from eval.metrics.failures import KINDS
from eval.metrics.localization import (
    MODES,
    LocalizationResult,
    LocalizationScores,
)
from eval.metrics.true_boxes import count_shown, true_boxes_in_square
from wsol.evaluation.level_scores import TRACE, levels_of, read_trace, trace_map

if TYPE_CHECKING:
    from eval.protocols import Protocol
    from eval.splits import Split
    from eval.stored_sizes import Size


class BoxScorer:
    """Scores maps of a split under one protocol.

    Args:
        split: with boxes
        protocol: how boxes are made and compared
        threshold: share of the map's maximum; None for the best on the split itself

    Raises:
        ValueError: the split has no boxes
    """

    dtype = TRACE

    def __init__(self, split: Split, protocol: Protocol, threshold: float | None) -> None:
        if split.boxes is None or split.sizes is None:
            raise ValueError(f"Expected split {split.name} to have boxes but it has none")
        self.split = split
        self.boxes, self.sizes = split.boxes, split.sizes
        self.protocol = protocol
        self.threshold = threshold
        self.scores = LocalizationScores(protocol, threshold)
        self._thresholds = self.scores.thresholds

    def trace(
        self, row: int, heat: np.ndarray, region: np.ndarray, image: Size | None = None
    ) -> np.ndarray:
        """Score one map at every level.

        Args:
            row: of the image in its split
            heat: (S, S), in [0, 1]
            region: part of the image that the map covers, in original pixels
            image: what masks may need; boxes come with sizes

        Returns:
            (), of `dtype`
        """
        return trace_map(heat, self._true(row, region), self.protocol)

    def is_blank(self, trace: np.ndarray) -> bool:
        """Tell whether a map shows nothing: a constant one became zeros."""
        return not trace["peak"]

    def add(self, record: Any, trace: np.ndarray) -> None:
        """Add one image's trace to the scores."""
        self.scores.update(
            read_trace(
                self.split.ids[record["row"]],
                trace,
                self._true(int(record["row"]), record["region"]),
                _rank(record),
                self.protocol,
                self._thresholds,
            )
        )

    def compute(self, true_class: bool, places: int) -> LocalizationResult:
        """Turn what was added into scores, as `LocalizationScores.compute`."""
        return self.scores.compute(true_class, places)

    def describe(self, record: Any, trace: np.ndarray, threshold: float) -> dict[str, Any]:
        """Tell how one image fared at a threshold.

        Returns:
            plain values; boxes are x0 y0 x1 y1, outer edges in original pixels; `true_boxes_shown`
            of them lie at least in part in what the map covers; `hits` holds, by mode and delta,
            the thresholds that hit as ranges of indices in the grid
        """
        row = int(record["row"])
        rank = _rank(record)
        fault = record["fault"].decode("utf-8", "surrogateescape")
        true = self._true(row, record["region"])
        grid = self.protocol.thresholds
        image_id = self.split.ids[row]
        outcome = read_trace(image_id, trace, true, rank, self.protocol, np.append(grid, threshold))
        at = levels_of(trace, np.array([threshold]))[0]
        overlaps = trace["overlaps"][0]
        best = int(np.argmax(overlaps[levels_of(trace, grid)]))
        kind = KINDS[outcome.kinds[-1]]
        edges = to_edges(self.boxes[row])
        side = self.protocol.size
        box = square_to_image(trace["boxes"][at], side, record["region"]).tolist()
        return {
            "id": image_id,
            "label": int(self.split.labels[row]),
            "map_class": None if fault else int(record["label"]),
            "predicted": None if record["predicted"] < 0 else int(record["predicted"]),
            "rank": None if fault else rank,
            "score": float(record["score"]) if not fault and np.isfinite(record["score"]) else None,
            "width": int(self.sizes[row, 0]),
            "height": int(self.sizes[row, 1]),
            "box": None if kind == "blank" else box,
            "iou": float(overlaps[at]),
            "error": None if kind == "none" else kind,
            "best_threshold": float(grid[best]),
            "best_iou": float(overlaps[levels_of(trace, grid[best : best + 1])[0]]),
            "true_boxes": edges.tolist(),
            "true_boxes_shown": count_shown(true, self.protocol),
            "hits": {
                mode: {
                    str(delta): _ranges(outcome.hits[i, j, :-1])
                    for j, delta in enumerate(self.protocol.deltas)
                }
                for i, mode in enumerate(MODES)
            },
            "baselines": dict(zip(self.protocol.baselines, outcome.baselines, strict=True)),
            "unreadable": fault or None,
        }

    def _true(self, row: int, region: np.ndarray) -> np.ndarray:
        width, height = self.sizes[row].tolist()
        shown = (float(region[0]), float(region[1]), float(region[2]), float(region[3]))
        return true_boxes_in_square(self.boxes[row], (width, height), self.protocol, shown)


def _rank(record: Any) -> int | None:
    return None if record["rank"] < 0 else int(record["rank"])


def _ranges(hits: np.ndarray) -> list[list[int]]:
    """Write the indices that are true as half-open ranges."""
    steps = np.flatnonzero(np.diff(np.concatenate([[False], hits, [False]]).astype(np.int8)))
    ranges: list[list[int]] = steps.reshape(-1, 2).tolist()
    return ranges
