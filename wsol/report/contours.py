"""Maps made small for a page, and the outline of what lies above the threshold as SVG paths."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from PIL import Image

from wsol.attention_shift.steps import scale_steps
from wsol.contours import simplify_line, svg_path, trace_contours
from wsol.levels import LEVELS, level_of
from wsol.pages import embed_image

if TYPE_CHECKING:
    from wsol.evaluation.kept_maps import KeptMap

MAP_SIDE, STEP_SIDE = 64, 48  # pixels of the grey copies that the page holds
UNITS = 1000  # of a path: the map's sides
_LONGEST = 4000  # characters of a path, so that a map of noise cannot fill the page
_TOLERANCES = (0.35, 1.5, 6.0, 24.0)  # pixels of a map; coarser where an outline is too long


def show_map(levels: np.ndarray, steps: int, side: int = MAP_SIDE) -> str:
    """Embed a map as a grey picture on its own scale, black for 0 and white for 1.

    Args:
        levels: (S, S), in whole steps
        steps: from 0 to 1
        side: of the picture, at most
    """
    scaled: np.ndarray = levels.astype(np.float32) * (255 / steps)
    if len(scaled) > side:
        scaled = cv2.resize(scaled, (side, side), interpolation=cv2.INTER_AREA)
    grey = Image.fromarray(np.rint(scaled).clip(0, 255).astype(np.uint8), "L")
    return embed_image(grey, side, None)


def write_outline(values: np.ndarray, level: float | None) -> tuple[str, bool]:
    """Write the outline of where a map reaches a level.

    Args:
        values: (S, S)
        level: value to reach; None gives no outline

    Returns:
        SVG path data in units of which the map's sides have 1000 each, and whether small pieces
        are left out, which happens with outlines that would fill the page
    """
    scale = UNITS / len(values)
    path = ""
    for line in sorted(trace_contours(values, level), key=len, reverse=True):
        for tolerance in _TOLERANCES:
            piece = svg_path(simplify_line(line, tolerance) * scale, 0)
            if len(piece) <= _LONGEST:
                break
        if len(path) + len(piece) > _LONGEST:
            return path, True
        path += piece
    return path, False


def outline_levels(levels: np.ndarray, threshold: float) -> tuple[str, bool]:
    """Write the outline of all pixels above a threshold.

    Args:
        levels: (S, S), uint8, in whole steps
        threshold: share of the map's maximum

    Returns:
        as `write_outline`
    """
    last_below = int(level_of(threshold, int(levels.max())))
    return write_outline(levels, last_below + 0.5)


def show_kept(
    kept: KeptMap, row: dict[str, Any], choices: dict[str, Any], threshold: float | None
) -> dict[str, Any]:
    """Describe a map for the page.

    Args:
        kept: as it was scored
        row: of its image
        choices: of the protocol
        threshold: share of the map's maximum, or None where there is none

    Returns:
        plain values: picture, region as shares of the image, outline
    """
    sides = np.tile([row.get("width") or 1, row.get("height") or 1], 2)
    contour, cut = ("", False) if threshold is None else outline_levels(kept.levels, threshold)
    return {
        "map": show_map(kept.levels, choices["levels"]),
        "region": [round(share, 5) for share in (kept.region / sides).tolist()],
        "contour": contour,
        "cut": cut,
        "blank": int(kept.levels.max()) == 0,
    }


def show_steps(
    maps: np.ndarray, region: np.ndarray, choices: dict[str, Any], threshold: float | None
) -> list[dict[str, Any]]:
    """Describe the maps of an image's steps, all on one scale, as `scale_steps` gives them.

    Args:
        maps: (T, h, w), as the map method gives them
        region: (4,), part of the image that they cover, in original pixels
        choices: of the protocol
        threshold: share of a map's maximum, or None where there is none

    Returns:
        plain values, one record a step, boxes in original pixels
    """
    scaled = scale_steps(
        list(maps),
        region,
        threshold,
        choices["size"],
        interpolation=choices["interpolation"],
        levels=choices["levels"],
        rounding=choices["rounding"],
    )
    records = []
    for step in scaled.steps:
        contour, cut = write_outline(step.map, step.level)
        grey = np.rint(np.nan_to_num(step.map) * LEVELS).astype(np.uint8)
        box = None if step.box is None else step.box.round(2).tolist()
        shown = show_map(grey, LEVELS, STEP_SIDE)
        records.append({"map": shown, "contour": contour, "cut": cut, "box": box})
    return records
