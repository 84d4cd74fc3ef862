"""A threshold from a few true boxes: whose boxes overlap them most, and how sure that is."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from eval.protocols import find_protocol
from eval.statistics import image_weights
from tdam.events import SILENT, Events
from tdam.reprs import brief_repr
from wsol.boxes import DEFAULT_THRESHOLD
from wsol.evaluation.box_scorer import BoxScorer
from wsol.evaluation.level_scores import levels_of
from wsol.evaluation.map_source import read_batches
from wsol.sharing import share

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from wsol.evaluation.map_source import MapSource


@dataclass(frozen=True)
class Calibration:
    """A threshold and what it was chosen by.

    Args:
        threshold: share of a map's range
        overlap: mean overlap (IoU) of the largest region's box with the nearest true box there, on
            the very images that the threshold was chosen on
        classic_overlap: the same at 0.2
        interval: 95 % interval of the threshold, had other images of the same kind been at hand
        images: number of images that were used
        unreadable: those that were not, with the reason
        path: file of weights that it is stored in, or None
        method: of the maps that it is of; empty where it is not stored
        overlaps: a line for each set of images that it shares some with and the weights were
            trained on, where that was allowed; None where these are not known
    """

    threshold: float
    overlap: float
    classic_overlap: float
    interval: tuple[float, float]
    images: int
    unreadable: tuple[str, ...]
    path: Path | None = None
    method: str = ""
    overlaps: tuple[str, ...] | None = ()

    __repr__ = brief_repr


def choose_threshold(source: MapSource, events: Events = SILENT) -> Calibration:
    """Pick the threshold at which boxes overlap true boxes most, in the mean over images.

    The mean overlap changes smoothly with the threshold, unlike the number of hits, so that fifty
    images say more. Among equals the middle one is taken.

    Args:
        source: of the maps of a split with boxes
        events: told of every image within a task that the caller has begun

    Raises:
        ValueError: a split without boxes, no image with boxes that can be read, or no box that
            overlaps a true one at any threshold
    """
    grid = find_protocol("clean").thresholds
    overlaps, ids, unreadable = [], [], []
    with closing(share(partial(_measure, source))) as batches:
        for row, fault, each in chain.from_iterable(batches):
            events.advance()
            if fault:
                unreadable.append(fault)
            elif each is not None:
                overlaps.append(each)
                ids.append(source.split.ids[row])
    if not ids:
        why = f"; the first: {unreadable[0]}" if unreadable else ""
        raise ValueError(
            f"Expected images with boxes in split {source.split.name} that can be read but of "
            f"{len(source.split)} there are none{why}"
        )
    every = np.stack(overlaps)
    weights = np.stack([image_weights(image_id) for image_id in ids], axis=1).astype(np.float64)
    mean = every.mean(axis=0)
    if not mean.any():
        raise ValueError("Expected a box that overlaps a true one but none does at any threshold")
    best = _middle_of_best(mean)
    replicates = weights[weights.any(axis=1)] @ every
    chosen = [grid[_middle_of_best(sums)] for sums in replicates]
    low, high = np.percentile(chosen, [2.5, 97.5]).tolist()
    classic = int(np.abs(grid - DEFAULT_THRESHOLD).argmin())
    return Calibration(
        threshold=float(round(grid[best], 6)),
        overlap=float(mean[best]),
        classic_overlap=float(mean[classic]),
        interval=(low, high),
        images=len(ids),
        unreadable=tuple(unreadable),
    )


def _measure(
    source: MapSource, rank: int, count: int
) -> Iterator[list[tuple[int, str, np.ndarray | None]]]:
    """Give a process's images a batch at a time: row, fault, and overlap at every threshold."""
    scorer = BoxScorer(source.split, find_protocol("clean"), None)
    sizes = np.asarray(source.split.sizes)
    with closing(read_batches(source, rank, count)) as batches:
        for batch in batches:
            measured: list[tuple[int, str, np.ndarray | None]] = []
            for shown in batch:
                overlaps = None
                if shown.heat is not None and len(scorer.boxes[shown.row]):
                    region = np.multiply(shown.region, np.tile(sizes[shown.row], 2))
                    trace = scorer.trace(shown.row, shown.heat(scorer.protocol), region)
                    overlaps = trace["overlaps"][0][levels_of(trace, scorer.protocol.thresholds)]
                fault = shown.fault if shown.heat is None else ""
                measured.append((shown.row, fault, overlaps))
            yield measured


def _middle_of_best(overlaps: np.ndarray) -> int:
    """Find the index of the largest value, the middle one among equals."""
    best = np.flatnonzero(overlaps >= overlaps.max() * (1 - 1e-12))
    return int(best[len(best) // 2])
