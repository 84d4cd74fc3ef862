"""The maps of an image's steps on one scale, each with the threshold and the box of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from eval.geometry import square_to_image
from wsol.boxes import threshold_boxes, threshold_mask
from wsol.heatmap import resize_map, stretch_map, varies
from wsol.levels import LEVELS, first_value_above, quantise

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, eq=False)
class ScaledStep:
    """One step's map beside those of the other steps.

    Args:
        map: (S, S), float64, in [0, 1] on the scale that all steps of the image share; NaN where
            the network put out no finite map
        heat: (S, S), float64, in [0, 1] on the step's own range; all zeros for a map that does
            not vary
        level: of the threshold on the common scale: a pixel is above it from here on; above 1
            where no pixel can reach it, None for a map that does not vary and without a threshold
        mask: (S, S), bool, the pixels above the threshold
        box: (4,), x0 y0 x1 y1, around the largest region above the threshold, outer edges in
            pixels of the original image, or None
    """

    map: np.ndarray
    heat: np.ndarray
    level: float | None
    mask: np.ndarray
    box: np.ndarray | None


@dataclass(frozen=True, eq=False)
class ScaledSteps:
    """All steps of an image.

    Args:
        low: value of the network's maps that 0 stands for in the steps' maps
        high: value that 1 stands for
        steps: all T of them, in order
    """

    low: float
    high: float
    steps: tuple[ScaledStep, ...]


def scale_steps(
    raws: Sequence[np.ndarray],
    region: Sequence[float] | np.ndarray,
    threshold: float | None,
    side: int,
    *,
    interpolation: str = "bicubic",
    levels: int = LEVELS,
    rounding: str = "below",
) -> ScaledSteps:
    """Put the maps of an image's steps on one scale, and find each one's box.

    The scale spans the finite values of all steps together, so that what is drawn of two steps can
    be compared. A step's box comes from its own map by the usual rule, and its threshold, which is
    a share of its own range, is expressed on the common scale.

    Args:
        raws: (h, w) each, as the map method gives them, any range
        region: part of the image that the maps cover, x0 y0 x1 y1, outer edges in original pixels
        threshold: share of a map's own range that a pixel has to exceed, in [0, 1], or None where
            there is none
        side: S, of the square in which boxes are found, in pixels
        interpolation: how a map is resized to that square, as for `to_heatmap`
        levels: that 1 stands for when a map is quantised, as for `quantise`
        rounding: of quantising, as for `quantise`

    Raises:
        ValueError: a threshold outside [0, 1]
    """
    scaled = [_resize(raw, side, interpolation) for raw in raws]
    finite = [values for values in scaled if np.isfinite(values).all()]
    low = min((float(values.min()) for values in finite), default=0.0)
    high = max((float(values.max()) for values in finite), default=0.0)
    span = high - low
    steps = []
    for raw, values in zip(raws, scaled, strict=True):
        heat = stretch_map(raw, (side, side), interpolation)
        level, box, mask = None, None, np.zeros(heat.shape, dtype=bool)
        if threshold is not None:
            quantised = quantise(heat, levels, rounding) / LEVELS
            mask = threshold_mask(quantised, threshold)
            boxes = square_to_image(threshold_boxes(quantised, threshold), side, region)
            box = boxes[0] if len(boxes) else None
            if heat.any():
                least, most = float(values.min()), float(values.max())
                first = first_value_above(threshold, levels, rounding)
                level = (least + first * (most - least) - low) / span
        steps.append(ScaledStep(_on_scale(values, low, span), heat, level, mask, box))
    return ScaledSteps(low, high, tuple(steps))


def _resize(raw: np.ndarray, side: int, interpolation: str) -> np.ndarray:
    """Bring a raw map to the size in which boxes are found, on its own scale."""
    if not varies(raw) and np.isfinite(raw).all():  # resizing would only add rounding
        return np.full((side, side), raw.flat[0], dtype=np.float64)
    return resize_map(raw, (side, side), interpolation).astype(np.float64)


def _on_scale(values: np.ndarray, low: float, span: float) -> np.ndarray:
    if not np.isfinite(values).all():
        return np.full(values.shape, np.nan)
    scaled: np.ndarray = (values - low) / span if span > 0 else np.zeros(values.shape)
    return scaled
