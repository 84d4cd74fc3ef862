"""The page of `wsol shift`: a gallery of all images with their steps, in one file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from wsol.attention_shift.text import scale_text, write_overlap
from wsol.contours import contour_lines, svg_path
from wsol.fonts import displayable
from wsol.heatmap import resize_map
from wsol.overlays import colour, fit_view, grey_backdrop, value_limits
from wsol.pages import embed_image, write_page
from wsol.palette import DIVERGING, OPACITY, colour_stops, step_colours
from wsol.text import percent

if TYPE_CHECKING:
    from pathlib import Path

    from wsol.attention_shift.trace import Shift, ShiftStep

_VIEW = 560  # pixels of a photograph's longer side
_MAP = 112  # pixels of a map's side: maps are smooth, and a browser smooths between


def make_card(image: Image.Image, shift: Shift, colours: str) -> dict[str, Any]:
    """Put what the page shows of one image into plain values.

    Args:
        image: RGB, the photograph that the shift is of, or a smaller copy
        shift: to show
        colours: name of a matplotlib colour map

    Returns:
        pictures as `data:` URIs, shapes as SVG text in pixels of the original image, numbers as
        text, and keys to sort and filter by
    """
    view = fit_view(image, _VIEW)
    limits = (0.0, 1.0) if shift.high > shift.low else (0.0, 0.0)
    change = shift.difference
    reach = shift.greatest_change
    shades = step_colours(len(shift.steps))
    points = [step.centroid for step in shift.steps if step.centroid is not None]
    x0, y0, x1, y1 = shift.region
    return {
        "file": displayable("" if shift.path is None else shift.path.name),
        "folder": displayable("" if shift.path is None else str(shift.path.parent)),
        "name": displayable(shift.name),
        "score": percent(shift.steps[-1].score),
        "width": shift.width,
        "height": shift.height,
        "radius": max(shift.width, shift.height) / 70,
        "region": (x0, y0, x1 - x0, y1 - y0),
        "photo": embed_image(view, _VIEW),
        "grey": embed_image(grey_backdrop(view), _VIEW, 65),
        "steps": [
            {
                **_tell(step),
                "shade": shade,
                "map": _map_uri(step.map, colours, limits),
                "contour": _outline(step, shift),
                "path": _points(points[: 1 + sum(s.centroid is not None for s in before)]),
            }
            for step, shade, before in (
                (step, shade, shift.steps[:index])
                for index, (step, shade) in enumerate(zip(shift.steps, shades, strict=True))
            )
        ],
        "bar": _bar(shift.low, shift.high),
        "difference": None
        if len(shift.steps) == 1
        else {"map": _map_uri(change, DIVERGING, (-reach, reach)), "bar": _bar(-reach, reach)},
        "path": _points(points),
        "true_boxes": []
        if shift.true_boxes is None
        else [_rectangle(box) for box in shift.true_boxes],
        "lights": [_light(shift, name, colours) for name in shift.searchlights],
        "travel": shift.path_length / float(np.hypot(shift.width, shift.height)),
        "other": any(step.another_object for step in shift.steps),
        "changes": len({step.top.label for step in shift.steps if step.top is not None}) > 1,
        "boxless": any(step.box is None for step in shift.steps),
        "true_iou": shift.steps[-1].iou_true,
    }


def write_shift_page(
    path: Path, cards: list[dict[str, Any]], about: str, colours: str, count: int
) -> None:
    """Write the gallery.

    Args:
        path: of the file
        cards: one an image, of those that the page shows
        about: network and threshold, in a line
        colours: name of a matplotlib colour map
        count: of all images
    """
    steps = max((len(card["steps"]) for card in cards), default=0)
    write_page(
        path,
        "shift.html.j2",
        styles=["shift.css"],
        scripts=["address.js", "shift.js"],
        title="Attention shift",
        about=displayable(about),
        cards=cards,
        count=count,
        steps=steps,
        opacity=round(100 * OPACITY),
        stops={"map": _stops(colours), "change": _stops(DIVERGING)},
        truth=any(card["true_iou"] is not None for card in cards),
    )


def _tell(step: ShiftStep) -> dict[str, Any]:
    """A step's numbers as text, `-` for what there is not."""
    return {
        "top": "-" if step.top is None else displayable(step.top.name),
        "top_score": "" if step.top is None else percent(step.top.score),
        "score": percent(step.score),
        "area": percent(step.area),
        "shift": "-" if step.shift is None else f"{step.shift:.1f}",
        "iou_before": "-" if step.iou_before is None else write_overlap(step.iou_before),
        "iou_true": "-" if step.iou_true is None else write_overlap(step.iou_true),
        "box_text": "no box"
        if step.box is None
        else "{:.0f} {:.0f} {:.0f} {:.0f}".format(*step.box),
        "box": None if step.box is None else _rectangle(step.box),
        "centre": None if step.centroid is None else [round(value, 2) for value in step.centroid],
        "another": step.another_object,
        "mark": None if step.level is None or step.level > 1 else 100 * step.level,
    }


def _light(shift: Shift, name: str, colours: str) -> dict[str, Any]:
    lights = shift.searchlights[name]
    low, high = value_limits(lights)
    first = len(shift.steps) - len(lights)
    return {
        "name": displayable(name),
        "size": f"{lights.shape[2]} \u00d7 {lights.shape[1]}",
        "flat": scale_text(low, span=0.0) if low == high else None,
        "bar": _bar(low, high),
        "maps": [
            {"step": number, "map": _map_uri(light, colours, (low, high))}
            for number, light in enumerate(lights, start=first + 1)
        ],
        "own": not first,
    }


def _map_uri(values: np.ndarray, colours: str, limits: tuple[float, float]) -> str | None:
    """Colour a map; None for one that is not finite."""
    if not np.isfinite(values).all():
        return None
    small = resize_map(values, (_MAP, _MAP), "bilinear")
    pixels = (255 * colour(small, colours, limits)).round().astype(np.uint8)
    return embed_image(Image.fromarray(pixels), _MAP, 90)


def _outline(step: ShiftStep, shift: Shift) -> str:
    return " ".join(map(svg_path, contour_lines(step.map, step.level, shift.region)))


def _points(points: list[tuple[float, float]]) -> str:
    return " ".join(f"{x:.2f},{y:.2f}" for x, y in points)


def _rectangle(box: np.ndarray) -> tuple[float, ...]:
    x0, y0, x1, y1 = box.tolist()
    return tuple(round(value, 2) for value in (x0, y0, x1 - x0, y1 - y0))


def _bar(low: float, high: float) -> list[str]:
    """Numbers below a colour bar, from the left; one in the middle for a scale of one value."""
    if not high > low:
        return [scale_text(low, span=0.0)]
    return [scale_text(value, 0, span=high - low) for value in (low, (low + high) / 2, high)]


def _stops(colours: str) -> list[tuple[int, str]]:
    """List the colours of a bar from the left, each with its distance from there in percent."""
    return [(round(100 * share), colour) for share, colour in colour_stops(colours)]
