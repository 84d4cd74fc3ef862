"""Pixel scores against masks: PxAP, and the best overlap of map and object over the thresholds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from eval.compiled import compiled
from eval.statistics import REPLICATES, image_columns, interval

if TYPE_CHECKING:
    from eval.protocols import Protocol

BACKGROUND, FOREGROUND, IGNORED = 0, 1, 2
_STRETCH = 256  # pixels that are checked together
_BLOCK = 64  # images whose histograms are weighted in one product


def bin_edges(thresholds: np.ndarray) -> np.ndarray:
    """Return the edges of the bins that pixel scores are counted in: the grid, then 1, 2, 3."""
    return np.append(thresholds, [1.0, 2.0, 3.0])


def count_pixels(
    scores: np.ndarray, mask: np.ndarray, edges: np.ndarray, checked: bool = False
) -> np.ndarray:
    """Count the pixels of a map by score.

    Args:
        scores: (H, W), in [0, 1]
        mask: (H, W), uint8: 0 background, 1 foreground, 2 ignored; nothing else
        edges: (b + 1,), from `bin_edges`; a bin holds its lower edge and not its upper one
        checked: whether scores, mask and edges are known to hold no other values

    Returns:
        (2, b), int64: pixels of the background, and of the foreground

    Raises:
        ValueError: scores and mask differ in shape, or hold other values than these

    >>> edges = bin_edges(np.arange(0, 1, 0.5))
    >>> count_pixels(np.array([[0.1, 0.9]]), np.array([[0, 1]], np.uint8), edges)
    array([[1, 0, 0, 0],
           [0, 1, 0, 0]])
    """
    if scores.shape != mask.shape:
        raise ValueError(f"Expected mask to be of shape {scores.shape} but got {mask.shape}")
    edges = np.ascontiguousarray(edges, np.float64)
    if not checked:
        if not _are_even(edges):
            raise ValueError("Expected edges as bin_edges gives them but got others")
        if scores.size and not (scores.min() >= 0 and scores.max() <= 1 and mask.max() <= IGNORED):
            raise ValueError("Expected scores in [0, 1] and a mask of 0, 1 and 2 but got others")
    return _count(
        np.ascontiguousarray(scores, np.float64).reshape(-1),
        np.ascontiguousarray(mask, np.uint8).reshape(-1),
        edges,
    )


@compiled
def _are_even(edges: np.ndarray) -> bool:
    """Tell whether the edges of a grid, all but the last three, are evenly spaced from 0."""
    grid = edges.size - 3
    if grid < 2:
        return False
    step = edges[1] - edges[0]
    for i in range(grid):
        if abs(edges[i] - i * step) > 1e-6 * step:
            return False
    return step > 0


@compiled
def _count(scores: np.ndarray, mask: np.ndarray, edges: np.ndarray) -> np.ndarray:
    bins = edges.size - 1
    per_unit = 1 / (edges[1] - edges[0])
    # Where the grid's last bin is as wide as the others, only scores near an edge need a search.
    always = abs(per_unit - (bins - 2)) > 1e-6
    cells = np.empty(_STRETCH, np.uint32)
    # In turn into two tables, since neighbours often fall into one bin.
    counts, others = np.zeros(3 * bins, np.int32), np.zeros(3 * bins, np.int32)
    for start in range(0, scores.size, _STRETCH):
        some, kinds = scores[start : start + _STRETCH], mask[start : start + _STRETCH]
        near = 0
        for i in range(some.size):
            scaled = some[i] * per_unit
            bin_index = np.int32(scaled)
            part = scaled - bin_index
            near += (part < 1e-6) | (part > 1 - 1e-6)
            cells[i] = np.uint32(np.int32(kinds[i]) * np.int32(bins) + bin_index)
        if near > 0 or always:
            for i in range(some.size):
                guess = min(int(some[i] * per_unit), bins - 1)
                while some[i] < edges[guess]:
                    guess -= 1
                while guess + 1 < bins and some[i] >= edges[guess + 1]:
                    guess += 1
                cells[i] = np.uint32(kinds[i] * bins + guess)
        for i in range(some.size // 2):
            counts[cells[2 * i]] += 1
            others[cells[2 * i + 1]] += 1
        if some.size % 2:
            counts[cells[some.size - 1]] += 1
    histograms = np.empty((2, bins), np.int64)
    for i in range(bins):
        histograms[0, i] = counts[i] + others[i]
        histograms[1, i] = counts[bins + i] + others[bins + i]
    return histograms


def pixel_average_precision(counts: np.ndarray) -> np.ndarray:
    """Compute PxAP, the area under the curve of precision over recall.

    Args:
        counts: (..., 2, b), pixels of background and foreground by score

    Returns:
        (...,), percent; NaN without a foreground pixel
    """
    false, true = _above(counts)
    total = true[..., -1:]
    predicted = true + false
    precision = np.divide(true, predicted, out=np.zeros_like(true), where=predicted > 0)
    recall = np.divide(true, total, out=np.full_like(true, np.nan), where=total > 0)
    return 100 * (precision * np.diff(recall, axis=-1, prepend=0)).sum(axis=-1)


def best_pixel_iou(counts: np.ndarray) -> np.ndarray:
    """Compute the overlap of thresholded maps with the objects, at the threshold where it is best.

    Args:
        counts: (..., 2, b), pixels of background and foreground by score

    Returns:
        (...,), percent; NaN without a foreground pixel
    """
    false, true = _above(counts)
    total = true[..., -1:]
    union = false + total
    overlap = np.divide(true, union, out=np.zeros_like(true), where=total > 0)
    return np.where(total[..., 0] > 0, 100 * overlap.max(axis=-1), np.nan)


def _above(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Count the pixels from each bin upwards, highest bin first."""
    sums = np.cumsum(np.asarray(counts, np.float64)[..., ::-1], axis=-1)
    return sums[..., 0, :], sums[..., 1, :]


@dataclass(frozen=True)
class PixelResult:
    """Pixel scores of one split, in percent.

    Args:
        images: number of images
        pxap: area under the curve of precision over recall, over the pixels of all images
        peak_pixel_iou: overlap at the best threshold
        intervals95: by the name of a score, its bootstrap interval
        curve: precision and recall in percent at every threshold of the grid, from the lowest
        without_foreground: number of images that have none, so that all their pixels count as
            background
    """

    images: int
    pxap: float
    peak_pixel_iou: float
    intervals95: dict[str, list[float] | None]
    curve: dict[str, list[float]] = field(repr=False)
    without_foreground: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return the scores under the keys of the JSON output."""
        return dict(vars(self))


@dataclass
class PixelScores:
    """Counts of pixels that grow image by image, with their bootstrap replicates.

    Args:
        protocol: gives the grid
    """

    protocol: Protocol
    images: int = 0
    without: int = 0
    counts: np.ndarray = field(init=False)
    _waiting: list[tuple[np.ndarray, np.ndarray]] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        bins = len(self.edges) - 1
        self.counts = np.zeros((REPLICATES + 1, 2, bins))

    @property
    def edges(self) -> np.ndarray:
        """The edges of the bins, see `bin_edges`."""
        return bin_edges(self.protocol.thresholds)

    def update(self, image_id: str, counts: np.ndarray) -> None:
        """Add one image.

        Args:
            image_id: names the image
            counts: (2, b), as `count_pixels` returns them for `edges`
        """
        self._waiting.append((image_columns(image_id), counts))
        self.images += 1
        self.without += not counts[1].any()
        if len(self._waiting) == _BLOCK:
            self._add_up()

    def merge(self, other: PixelScores) -> None:
        """Add the counts of another shard.

        Raises:
            ValueError: the other shard was scored under another protocol
        """
        if self.protocol != other.protocol:
            raise ValueError(
                f"Expected scores under {self.protocol.name} but got {other.protocol.name}"
            )
        self._add_up()
        other._add_up()
        self.counts += other.counts
        self.images += other.images
        self.without += other.without

    def compute(self) -> PixelResult:
        """Turn the counts into scores.

        Raises:
            ValueError: no image was added, or none has a foreground pixel
        """
        self._add_up()
        if not self.counts[-1, 1].sum() > 0:
            raise ValueError("Expected at least one foreground pixel but got none")
        scores = {
            "pxap": pixel_average_precision(self.counts),
            "peak_pixel_iou": best_pixel_iou(self.counts),
        }
        false, true = _above(self.counts[-1])
        grid = len(self.protocol.thresholds)
        precision = 100 * np.divide(true, true + false, out=np.zeros_like(true), where=true > 0)
        return PixelResult(
            images=self.images,
            pxap=float(scores["pxap"][-1]),
            peak_pixel_iou=float(scores["peak_pixel_iou"][-1]),
            intervals95={name: interval(values[:-1]) for name, values in scores.items()},
            curve={
                "precision": precision[::-1][:grid].tolist(),
                "recall": (100 * true / true[-1])[::-1][:grid].tolist(),
            },
            without_foreground=self.without,
        )

    def _add_up(self) -> None:
        if not self._waiting:
            return
        weights = np.stack([row for row, _ in self._waiting]).astype(np.float64)
        counts = np.stack([each for _, each in self._waiting]).astype(np.float64)
        self.counts += np.tensordot(weights, counts, axes=(0, 0))
        self._waiting.clear()
