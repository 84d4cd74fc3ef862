"""One map under one protocol: its boxes at every level, how they overlap, and why they miss."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from eval.geometry import clip_to_last_pixel
from eval.metrics.baselines import hit_baselines
from eval.metrics.failures import failure_kinds
from eval.metrics.localization import MODES, Outcome
from eval.metrics.overlaps import best_overlaps
from eval.metrics.true_boxes import count_shown
from wsol.levels import level_of, scale_map
from wsol.sweep.graph import LEVELS
from wsol.sweep.map_sweep import sweep_map

if TYPE_CHECKING:
    from eval.protocols import Protocol

# What is known of one map, at every level l of its quantised values: the box of the protocol's one
# contour (x0 y0 x1 y1, outer edges in the square), and for that one and for all contours the best
# overlap with a true box. Of fixed size, so that a file of them can be cut and continued.
TRACE = np.dtype(
    [
        ("peak", np.int32),
        ("boxes", np.int16, (LEVELS, 4)),
        ("overlaps", np.float64, (len(MODES), LEVELS)),
    ]
)


def trace_map(heat: np.ndarray, true_boxes: np.ndarray, protocol: Protocol) -> np.ndarray:
    """Score a map at every level.

    Args:
        heat: (S, S), in [0, 1], S the side of the protocol's square
        true_boxes: (m, 4), in the square and the protocol's convention
        protocol: how boxes are made and compared

    Returns:
        (), dtype `TRACE`
    """
    scaled = scale_map(heat, protocol.levels, protocol.rounding)
    most_points = protocol.contours == "most_points"
    sweep = sweep_map(scaled, wants_largest=not most_points)
    single = _with_most_points(scaled, protocol.least_points) if most_points else sweep.largest
    boxes, spans = sweep.boxes, sweep.spans
    if sweep.peak == 0:  # nothing in it: the one box that stands for none
        boxes, spans = np.zeros((1, 4), np.int32), np.tile(np.array([0, 1]), (LEVELS, 1))
    trace = np.zeros((), TRACE)
    trace["peak"], trace["boxes"] = sweep.peak, single
    levels = np.arange(LEVELS)
    for row, (each, rows) in enumerate(
        ((single, np.stack([levels, levels + 1], axis=1)), (boxes, spans))
    ):
        kept = in_convention(each, protocol)
        trace["overlaps"][row] = best_overlaps(kept, rows, true_boxes, protocol.convention)
    return trace


def read_trace(
    image_id: str,
    trace: np.ndarray,
    true_boxes: np.ndarray,
    rank: int | None,
    protocol: Protocol,
    thresholds: np.ndarray,
) -> Outcome:
    """Tell how an image fared at every threshold.

    Args:
        image_id: names the image
        trace: (), dtype `TRACE`
        true_boxes: (m, 4), as for `trace_map`
        rank: position of the true class among the predictions, from 0; None where unknown
        protocol: as for `trace_map`
        thresholds: (k,), shares of the map's maximum, in [0, 1]
    """
    at = levels_of(trace, thresholds)
    overlaps = trace["overlaps"]
    hits = np.stack([protocol.hits(overlaps, delta) for delta in protocol.deltas], axis=1)
    boxes = trace["boxes"]
    kinds = failure_kinds(
        in_convention(boxes, protocol),
        boxes[:, 2] == 0,
        protocol.hits(overlaps[0], 50),
        true_boxes,
        protocol.convention,
    )
    baselines = hit_baselines(true_boxes, protocol)
    shown = count_shown(true_boxes, protocol)
    return Outcome(image_id, hits[:, :, at], kinds[at], rank, shown, baselines)


def levels_of(trace: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Find the level that each threshold falls on, (k,), int64."""
    return level_of(thresholds, int(trace["peak"]))


def in_convention(boxes: np.ndarray, protocol: Protocol) -> np.ndarray:
    """Turn outer edges into what the protocol compares; `inclusive` cuts at the last pixel."""
    if protocol.convention == "edges":
        return boxes
    return clip_to_last_pixel(boxes, (protocol.size, protocol.size))


def _with_most_points(scaled: np.ndarray, least: int) -> np.ndarray:
    """Find at every level the box of the contour with the most points, the first among equals.

    Args:
        scaled: (H, W), levels as floats
        least: points that it must exceed, or the box is zero

    Returns:
        (256, 4), int32, outer edges
    """
    boxes = np.zeros((LEVELS, 4), np.int32)
    levels = scaled.astype(np.uint8)
    *steps, above = np.union1d(levels, [0]).tolist()
    for level in reversed(steps):
        foreground = (levels > level).astype(np.uint8)
        contours, _ = cv2.findContours(foreground, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
        best = max(contours, key=len)
        if len(best) > least:
            x, y, width, height = cv2.boundingRect(best)
            boxes[level:above] = x, y, x + width, y + height
        above = level
    return boxes
