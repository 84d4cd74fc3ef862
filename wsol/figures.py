"""Pictures of localizations: the photograph, its boxes, and the map that the boxes came from."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Polygon, Rectangle
from PIL import Image

from wsol.contours import contour_lines
from wsol.fonts import all_fonts, shorten
from wsol.levels import first_value_above
from wsol.out_files import save_file
from wsol.overlays import colour_bar, fit_view, overlay
from wsol.palette import DEFAULT_MAP, PREDICTED, TRUE
from wsol.text import percent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from matplotlib.axes import Axes

    from wsol.results import Localization

PANEL = 4.2  # inches: width of a picture
_VIEW = 640  # pixels of a picture's longer side
_SIDE = 224  # of the square that a map is brought to where no rule says it
_LETTERS = 9  # of a class's name in an inch
_MARGIN = 0.06  # inches around what is drawn


@all_fonts()
def draw_localization(
    image: Image.Image,
    localization: Localization,
    true_boxes: np.ndarray | None = None,
    panel: float = PANEL,
) -> Figure:
    """Draw a photograph with boxes beside the same photograph under its map.

    The map's colours span its whole range, 0 to 1, and the threshold's contour is drawn on it, so
    that map and box can be seen to agree.

    Args:
        image: RGB, as the localizer saw it
        localization: on this image; where it does not tell its rule, there is no contour
        true_boxes: (k, 4), x0 y0 x1 y1, outer edges in original pixels
        panel: width of each of the two pictures, in inches

    Returns:
        a figure, not shown anywhere
    """
    height = panel * min(max(image.height / image.width, 0.4), 2.0)
    figure = Figure(figsize=(2 * panel + 0.9, height + 0.95), dpi=110)
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, gridspec_kw={"wspace": 0.04})
    view = fit_view(image, _VIEW)
    region, rule = localization.steps[-1].region, localization.rule
    side = _SIDE if rule is None else rule.side
    heat = localization.steps[-1].heatmap((side, side))
    under_map = overlay(view, heat, region, image.size, DEFAULT_MAP)
    for axes, shown in ((left, view), (right, under_map)):
        axes.imshow(shown, extent=(0, image.width, image.height, 0), interpolation="antialiased")
        axes.set(xlim=(0, image.width), ylim=(image.height, 0), xticks=[], yticks=[])
    if rule is not None:
        draw_contours(right, contour_lines(heat, first_value_above(rule.threshold), region))
    for axes in (left, right):
        if true_boxes is not None:
            draw_boxes(axes, true_boxes, TRUE, "--")
        draw_boxes(axes, localization.boxes, PREDICTED, "-")
    name = shorten(localization.name, round(_LETTERS * panel))
    title = f"{name}  {percent(localization.score)}"
    left.set_title(title, fontsize=11, loc="left", parse_math=False)
    right.set_title("map and threshold" if rule else "map", fontsize=11, loc="left")
    scale = ScalarMappable(cmap=colour_bar(DEFAULT_MAP))
    scale.set_clim(0, 1)
    bar = figure.colorbar(scale, cax=right.inset_axes((1.03, 0, 0.045, 1)))  # as high as the map
    if rule is not None:
        bar.ax.axhline(rule.threshold, color="white")
    handles = [Line2D([], [], color=PREDICTED, lw=2.5, label="predicted box")]
    if true_boxes is not None:
        handles.append(Line2D([], [], color=TRUE, lw=2.5, ls="--", label="true box"))
    figure.legend(handles=handles, loc="lower center", ncols=2, frameon=False, fontsize=10)
    figure.subplots_adjust(left=0.02, right=0.905, top=1 - 0.35 / (height + 0.95), bottom=0.075)
    return figure


def draw_boxes(
    axes: Axes, boxes: Iterable[np.ndarray], colour: str, style: str, width: float = 2.2
) -> None:
    """Draw boxes with a dark border, which shows them on any photograph.

    Args:
        axes: in pixels of the photograph
        boxes: each (4,), x0 y0 x1 y1, outer edges
        colour: of the lines
        style: of the lines, as matplotlib writes it
        width: of the lines, in points
    """
    for x0, y0, x1, y1 in boxes:
        corner, across, down = (x0, y0), x1 - x0, y1 - y0
        border = Rectangle(corner, across, down, fill=False, ec="black", lw=width + 1.8, alpha=0.5)
        axes.add_patch(border)
        line = Rectangle(corner, across, down, fill=False, ec=colour, lw=width, ls=style)
        axes.add_patch(line)


def draw_contours(axes: Axes, lines: Iterable[np.ndarray]) -> None:
    """Draw closed lines, each (n, 2), x y in pixels of the photograph, white on a dark border."""
    for line in lines:
        axes.add_patch(Polygon(line, closed=True, fill=False, ec="black", lw=2.0, alpha=0.6))
        axes.add_patch(Polygon(line, closed=True, fill=False, ec="white", lw=1.0))


@all_fonts()
def save_figure(figure: Figure, path: Path | BinaryIO, trim: bool = True) -> None:
    """Write a figure as a file of the kind that its suffix names; into an open file, as PNG.

    Args:
        figure: to write
        path: of the file, or the open file
        trim: leave out what is empty around it
    """
    kind = path.suffix.removeprefix(".") if isinstance(path, Path) else "png"
    save: Callable[..., Any]
    if kind == "png":
        # Least compression takes a quarter of the time, and makes photographs hardly larger.
        picture, dpi = to_picture(figure, trim), (figure.dpi, figure.dpi)
        save = partial(picture.save, format=kind, compress_level=1, dpi=dpi)
    else:
        box = "tight" if trim else None
        save = partial(figure.savefig, bbox_inches=box, pad_inches=_MARGIN, format=kind)
    if isinstance(path, Path):
        save_file(path, save)
    else:
        save(path)


@all_fonts()
def to_picture(figure: Figure, trim: bool = True) -> Image.Image:
    """Draw a figure as RGB, pixel for pixel as `save_figure` writes it as PNG.

    Args:
        figure: to draw
        trim: leave out what is empty around it
    """
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3]
    if trim:  # by what is drawn: to ask matplotlib for it takes as long as to draw
        drawn = (pixels != pixels[0, 0]).any(axis=2)
        margin = round(_MARGIN * figure.dpi)
        spans = []
        for axis in (1, 0):
            places = np.flatnonzero(drawn.any(axis=axis))
            first, last = (places[0], places[-1]) if len(places) else (0, drawn.shape[1 - axis] - 1)
            spans.append(slice(max(first - margin, 0), last + margin + 1))
        pixels = pixels[spans[0], spans[1]]
    return Image.fromarray(np.ascontiguousarray(pixels))
