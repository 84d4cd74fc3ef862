"""The attention shift: how map, box and class of one image change over the steps of a network."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from eval.geometry import pairwise_iou, square_to_image
from tdam.reprs import brief_repr
from wsol.attention_shift.steps import scale_steps
from wsol.boxes import threshold_regions
from wsol.levels import LEVELS, quantise
from wsol.overlays import ROUNDING
from wsol.pictures import find_photograph, to_png

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from PIL import Image

    from tdam.preprocessing import Preprocessing
    from wsol.results import Localization, Prediction

SAME_OBJECT = 0.5  # a box that overlaps an earlier one by more shows the same object


@dataclass(frozen=True, eq=False)
class ShiftStep:
    """What one step sees, in numbers.

    Args:
        map: (S, S), float64, in [0, 1] on the scale that all steps of the image share; NaN where
            the network put out no finite map
        level: of the threshold on that scale: the box is drawn around pixels from here on; above
            1 where no pixel can reach it, None for a map that does not vary
        score: probability of the class whose map it is, in [0, 1]
        top: the most probable class, or None where it is not known
        box: (4,), x0 y0 x1 y1, outer edges in pixels of the original image, or None
        area: share of the map's pixels above the threshold, in [0, 1]
        centroid: x, y, centre of mass of the map above the threshold, in pixels of the original
            image, or None where nothing is above it
        shift: distance of the centroid from that of the step before, in pixels, or None
        iou_before: IoU of the box with that of the step before, or None where one is missing
        iou_true: IoU of the box with the best true box, 0 without a box; None where no true box
            is known
        another_object: the box overlaps no earlier step's box by more than one half
    """

    map: np.ndarray
    level: float | None
    score: float
    top: Prediction | None
    box: np.ndarray | None
    area: float
    centroid: tuple[float, float] | None
    shift: float | None
    iou_before: float | None
    iou_true: float | None
    another_object: bool

    __repr__ = brief_repr


@dataclass(frozen=True, eq=False)
class Shift:
    """The attention shift on one image.

    Args:
        label: index of the class whose maps these are
        name: of the class
        threshold: share of each map's own range that a pixel has to exceed
        low: value of the network's map that 0 stands for in the steps' maps
        high: value that 1 stands for
        steps: all T of them, in order
        width: of the original image, in pixels
        height: of the original image, in pixels
        region: part of the image that the maps cover, x0 y0 x1 y1, outer edges in pixels
        path: of the image, or None for one that came from memory
        true_boxes: (k, 4), outer edges in pixels of the original image, or None
        searchlights: (M, h, w), in [0, 1], by the name of a block; M = T - 1, or T for m = 0
        regions: (k, 4), boxes around all regions of the last step's map above the threshold, outer
            edges in pixels of the original image, that of most pixels first
        image: as a `Localization` has it

    In a notebook it shows itself as the picture that `draw` gives.
    """

    label: int
    name: str
    threshold: float
    low: float
    high: float
    steps: tuple[ShiftStep, ...]
    width: int
    height: int
    region: tuple[float, float, float, float]
    path: Path | None = None
    true_boxes: np.ndarray | None = None
    searchlights: dict[str, np.ndarray] = field(default_factory=dict)
    regions: np.ndarray = field(default_factory=lambda: np.zeros((0, 4)))
    image: Any = field(default=None, repr=False)

    def __repr__(self) -> str:
        path = "" if self.path is None else f", path={str(self.path)!r}"
        boxes = [None if step.box is None else step.box.round(1).tolist() for step in self.steps]
        return (
            f"Shift(name={self.name!r}, "
            f"scores=[{', '.join(f'{step.score:.3f}' for step in self.steps)}], boxes={boxes}, "
            f"path_length={self.path_length:.1f}, width={self.width}, height={self.height}{path})"
        )

    def _repr_png_(self) -> bytes | None:
        return to_png(self)

    def draw(self, image: Any = None) -> Image.Image:
        """Draw the strip that `wsol.shift` writes: input, steps, difference, searchlights.

        Args:
            image: the photograph, as `Localization.draw` takes it

        Returns:
            RGB

        Raises:
            ImageError: a file that can be read no more
            ValueError: no photograph, or one of another size
        """
        from wsol.attention_shift.figures import draw_strip
        from wsol.figures import to_picture

        return to_picture(draw_strip(find_photograph(self, image), self), trim=False)

    @property
    def difference(self) -> np.ndarray:
        """Last map minus first, (S, S), on the scale of the network's maps."""
        change: np.ndarray = self.steps[-1].map - self.steps[0].map
        return change * (self.high - self.low)

    @property
    def greatest_change(self) -> float:
        """The difference's greatest value, whatever its sign; 0 where rounding alone differs."""
        greatest = float(np.abs(np.nan_to_num(self.difference)).max())
        return greatest if greatest > ROUNDING * max(abs(self.low), abs(self.high)) else 0.0

    @property
    def path_length(self) -> float:
        """How far the centroid travels in all, in pixels of the original image."""
        return float(sum(step.shift or 0.0 for step in self.steps))

    def to_dict(self) -> dict[str, Any]:
        """Describe everything but the maps in plain values.

        Returns:
            a dict that `json` can write, floats unrounded
        """
        return {
            "file": None if self.path is None else str(self.path),
            "width": self.width,
            "height": self.height,
            "label": self.label,
            "name": self.name,
            "threshold": self.threshold,
            "scale": [self.low, self.high],
            "true_boxes": None if self.true_boxes is None else self.true_boxes.tolist(),
            "steps": [_describe(step) for step in self.steps],
        }


def trace_shift(
    localization: Localization,
    threshold: float,
    preprocessing: Preprocessing,
    true_boxes: np.ndarray | None = None,
) -> Shift:
    """Follow map and box of one image over the steps.

    All maps are put on one scale, as `scale_steps` describes, and each step's box comes from its
    own map by the usual rule.

    Args:
        localization: by a localizer, with the raw map of every step
        threshold: share of a map's own range that a pixel has to exceed, in [0, 1]
        preprocessing: of the network, which says in which square boxes are found
        true_boxes: (k, 4), x0 y0 x1 y1, outer edges in pixels of the original image; k = 0 and
            None both mean that none is known

    Returns:
        the last step's box is the localization's own, for one with a box of the largest region

    Raises:
        ValueError: steps without raw maps, or a threshold outside [0, 1]
    """
    raws = [step.raw for step in localization.steps if step.raw is not None]
    if len(raws) < len(localization.steps):
        raise ValueError("Expected steps with raw maps but got one without; use a Localizer's")
    if true_boxes is not None:
        true_boxes = np.asarray(true_boxes, dtype=np.float64).reshape(-1, 4)
        true_boxes = true_boxes if len(true_boxes) else None
    region = localization.steps[-1].region
    scaled = scale_steps(raws, region, threshold, preprocessing.size)
    steps: list[ShiftStep] = []
    for step, seen in zip(localization.steps, scaled.steps, strict=True):
        centroid = _centroid(np.where(seen.mask, seen.heat, 0.0), region)
        before = steps[-1] if steps else None
        steps.append(
            ShiftStep(
                map=seen.map,
                level=seen.level,
                score=step.score,
                top=step.top,
                box=seen.box,
                area=float(seen.mask.mean()),
                centroid=centroid,
                shift=_distance(centroid, before.centroid if before else None),
                iou_before=_iou(seen.box, before.box if before else None),
                iou_true=None if true_boxes is None else best_iou(seen.box, true_boxes),
                another_object=shows_another(seen.box, [each.box for each in steps]),
            )
        )
    return Shift(
        label=localization.label,
        name=localization.name,
        threshold=threshold,
        low=scaled.low,
        high=scaled.high,
        steps=tuple(steps),
        width=localization.width,
        height=localization.height,
        region=region,
        path=localization.path,
        true_boxes=true_boxes,
        searchlights=localization.searchlights,
        regions=_box_regions(scaled.steps[-1].heat, threshold, region),
        image=localization.image,
    )


def _box_regions(
    heat: np.ndarray, threshold: float, region: tuple[float, float, float, float]
) -> np.ndarray:
    boxes, pixels = threshold_regions(quantise(heat) / LEVELS, threshold, "outer")
    order = np.argsort([-each.sum() for each in pixels], kind="stable")
    ordered: np.ndarray = square_to_image(boxes[order], len(heat), region).reshape(-1, 4)
    return ordered


def shows_another(box: np.ndarray | None, earlier: Sequence[np.ndarray | None]) -> bool:
    """Tell whether a step's box marks another object than all steps before it.

    Args:
        box: (4,), x0 y0 x1 y1, outer edges, or None
        earlier: boxes of the steps before, None for one that has none

    Returns:
        whether there are earlier boxes and the IoU with each is at most one half

    >>> shows_another(np.array([0, 0, 4, 4]), [np.array([0, 0, 4, 2])])
    True
    """
    others = [other for other in earlier if other is not None]
    if box is None or not others:
        return False
    return best_iou(box, np.stack(others)) <= SAME_OBJECT


def best_iou(box: np.ndarray | None, others: np.ndarray) -> float:
    """Overlap of a box with that of several which it overlaps most; 0 without a box."""
    return 0.0 if box is None else float(pairwise_iou(box, others).max())


def _centroid(
    weights: np.ndarray, region: tuple[float, float, float, float]
) -> tuple[float, float] | None:
    """Centre of mass of pixels, each at its middle, in pixels of the original image."""
    total = weights.sum()
    if total <= 0:
        return None
    height, width = weights.shape
    x = float(weights.sum(axis=0) @ (np.arange(width) + 0.5) / total / width)
    y = float(weights.sum(axis=1) @ (np.arange(height) + 0.5) / total / height)
    x0, y0, x1, y1 = region
    return x0 + x * (x1 - x0), y0 + y * (y1 - y0)


def _distance(point: tuple[float, float] | None, other: tuple[float, float] | None) -> float | None:
    if point is None or other is None:
        return None
    return float(np.hypot(point[0] - other[0], point[1] - other[1]))


def _iou(box: np.ndarray | None, other: np.ndarray | None) -> float | None:
    return None if box is None or other is None else best_iou(box, other)


def _describe(step: ShiftStep) -> dict[str, Any]:
    top = step.top
    return {
        "top": None if top is None else {"label": top.label, "name": top.name, "score": top.score},
        "score": step.score,
        "box": None if step.box is None else step.box.tolist(),
        "level": step.level,
        "area": step.area,
        "centroid": None if step.centroid is None else list(step.centroid),
        "shift": step.shift,
        "iou_before": step.iou_before,
        "iou_true": step.iou_true,
        "another_object": step.another_object,
    }
