"""Maps made small for a page, and the outline of what lies above the threshold as SVG paths."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from PIL import Image
from skimage.measure import approximate_polygon, find_contours

from wsol.boxes import threshold_boxes
from wsol.heatmap import resize_map, to_heatmap
from wsol.levels import level_of, quantise
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


def trace_contour(levels: np.ndarray, threshold: float) -> tuple[str, bool]:
    """Trace the outline of all pixels above a threshold.

    Args:
        levels: (S, S), uint8, in whole steps
        threshold: share of the map's maximum

    Returns:
        SVG path data in units of which the map's sides have 1000 each, and whether small pieces
        are left out, which happens with outlines that would fill the page
    """
    above = int(level_of(threshold, int(levels.max())))
    if not (levels > above).any():
        return "", False
    size = levels.shape[0]
    padded = np.pad(levels.astype(np.float32), 1)
    lines = find_contours(padded, above + 0.5, fully_connected="high")  # across corners, as boxes
    pieces = sorted(lines, key=len, reverse=True)
    path = ""
    for piece in pieces:
        for tolerance in _TOLERANCES:
            text = _write_outline(piece, tolerance, size)
            if len(text) <= _LONGEST:
                break
        if len(path) + len(text) > _LONGEST:
            return path, True
        path += text
    return path, False


def _write_outline(line: np.ndarray, tolerance: float, size: int) -> str:
    """Write a closed line of a padded map of this size as path data, within a tolerance."""
    points = approximate_polygon(line, tolerance)
    if len(points) < 3:
        points = line
    # Behind the padding, the centre of the first pixel lies at 1 and its outer edge at 0.5.
    places = np.rint((points[:, ::-1] - 0.5).clip(0, size) * (UNITS / size)).astype(int)
    return "M" + "L".join(f"{x} {y}" for x, y in places[:-1].tolist()) + "Z"


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
    contour, cut = ("", False) if threshold is None else trace_contour(kept.levels, threshold)
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
    """Describe the maps of an image's steps, all on one scale.

    The scale spans the values of all steps together, so that steps can be compared; outline and
    box are those of the threshold on a step's own range.

    Args:
        maps: (T, h, w), as the map method gives them
        region: (4,), part of the image that they cover, in original pixels
        choices: of the protocol
        threshold: share of a map's maximum, or None where there is none

    Returns:
        plain values, one record a step, boxes in original pixels
    """
    side = (choices["size"], choices["size"])
    resized = np.stack([resize_map(each, side, choices["interpolation"]) for each in maps])
    finite = np.isfinite(resized).all()
    low, high = (float(resized.min()), float(resized.max())) if finite else (0.0, 0.0)
    sides = np.tile(region[2:] - region[:2], 2)
    found = []
    for each, raw in zip(resized, maps, strict=True):
        share = (each - low) / (high - low) if high > low else np.zeros_like(each)
        own = to_heatmap(raw, side, choices["interpolation"])
        levels = quantise(own, choices["levels"], choices["rounding"])
        contour, cut, box = "", False, None
        if threshold is not None:
            contour, cut = trace_contour(levels, threshold)
            corners = threshold_boxes(levels / 255, threshold)[:1] / choices["size"]  # as they are
            box = next(iter((np.tile(region[:2], 2) + corners * sides).round(2).tolist()), None)
        shown = show_map(np.rint(share * 255).astype(np.uint8), 255, STEP_SIDE)
        found.append({"map": shown, "contour": contour, "cut": cut, "box": box})
    return found
