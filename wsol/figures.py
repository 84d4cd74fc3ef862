"""Pictures of localizations: the photograph, its boxes, and the map that the boxes came from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache, partial
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import cv2
import numpy as np
from matplotlib import rcParams
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.patches import Polygon, Rectangle
from PIL import Image

from wsol.contours import contour_lines
from wsol.fonts import all_fonts, drawing, list_fonts, shorten, substitute
from wsol.levels import first_value_above
from wsol.out_files import save_file, write_file
from wsol.overlays import colour_bar, fit_view, overlay
from wsol.palette import DEFAULT_MAP, PREDICTED, TRUE
from wsol.png import encode_png
from wsol.text import percent

if TYPE_CHECKING:
    from collections.abc import Iterable

    from matplotlib.axes import Axes

    from wsol.results import Localization

PANEL = 4.2  # inches: width of a picture
_VIEW = 640  # pixels of a picture's longer side
_SIDE = 224  # of the square that a map is brought to where no rule says it
_LETTERS = 9  # of a class's name in an inch
_MARGIN = 0.06  # inches around what is drawn
_DPI = 110  # pixels of an inch
_LEFT, _GAP, _BAR, _ABOVE, _BELOW = 20, 18, 90, 40, 40  # pixels around photographs on a sheet
_STEP = 32  # pixels between the heights of sheets, so that few of them fit all photographs
_SMALLER = Image.Resampling.LANCZOS


@all_fonts()
def draw_localization(
    image: Image.Image, localization: Localization, true_boxes: np.ndarray | None = None
) -> Figure:
    """Draw a photograph with boxes beside the same photograph under its map.

    The map's colours span its whole range, 0 to 1, and the threshold's contour is drawn on it, so
    that map and box can be seen to agree.

    Args:
        image: RGB, as the localizer saw it
        localization: on this image; where it does not tell its rule, there is no contour
        true_boxes: (k, 4), x0 y0 x1 y1, outer edges in original pixels

    Returns:
        a figure, not shown anywhere

    Raises:
        ValueError: true boxes of another shape
    """
    sheet = _Sheet(_plan(image, localization, true_boxes, PANEL))
    sheet.place(image.size)
    views = sheet.fill(fit_view(image, _VIEW), localization, true_boxes)
    for axes, view in zip(sheet.axes, views, strict=True):
        axes.imshow(view, extent=sheet.extent, aspect="auto", interpolation="antialiased")
    return sheet.figure


def draw_picture(
    image: Image.Image,
    localization: Localization,
    true_boxes: np.ndarray | None = None,
    panel: float = PANEL,
) -> Image.Image:
    """Draw what `draw_localization` draws as pixels, which takes a third of the time.

    What pictures of one size share is drawn once. It changes no setting of matplotlib, so that a
    thread can draw beside whatever others do; threads of pictures draw one after the other.

    Args:
        image: as for `draw_localization`, like the next two
        localization: on this image
        true_boxes: to draw too
        panel: width of each of the two pictures, in inches

    Returns:
        RGB

    Raises:
        ValueError: true boxes of another shape, or no width
    """
    with drawing:
        sheet = _get_sheet(_plan(image, localization, true_boxes, panel))
        return sheet.draw(image, localization, true_boxes)


@dataclass(frozen=True)
class _Plan:
    """What tells sheets apart.

    Args:
        room: width and height that a photograph lies in the middle of, in pixels
        threshold: of the rule; None without one
        truth: whether there are true boxes
        style: matplotlib's settings, which a sheet is drawn by
    """

    room: tuple[int, int]
    threshold: float | None
    truth: bool
    style: tuple[str, ...]


def _plan(image: Image.Image, localization: Localization, true_boxes: Any, panel: float) -> _Plan:
    shape = (0, 4) if true_boxes is None else np.shape(true_boxes)
    if len(shape) != 2 or shape[1] != 4:
        raise ValueError(f"Expected true_boxes to be of shape (k, 4) but got {shape}")
    if not panel > 0:
        raise ValueError(f"Expected panel to be above 0 but got {panel}")
    side = max(round(0.96 * panel * _DPI), 1)
    down = side * min(max(image.height / image.width, 0.4), 2.0)
    rule = localization.rule
    threshold = None if rule is None else rule.threshold
    style = tuple(map(repr, dict.values(rcParams)))
    return _Plan((side, ceil(down / _STEP) * _STEP), threshold, true_boxes is not None, style)


class _Sheet:
    """The axes of a picture, with all that other pictures of the plan have too.

    Args:
        plan: of the picture
    """

    def __init__(self, plan: _Plan) -> None:
        self._room = across, down = plan.room
        self._outer = outer = (_LEFT + 2 * across + _GAP + _BAR, _ABOVE + down + _BELOW)
        self.figure = figure = Figure(figsize=(outer[0] / _DPI, outer[1] / _DPI), dpi=_DPI)
        self._canvas = FigureCanvasAgg(figure)
        family = list_fonts()
        self.axes = [figure.add_axes((0, 0, 1, 1), xticks=[], yticks=[]) for _ in range(2)]
        words = ("", "map" if plan.threshold is None else "map and threshold")
        self._titles = [
            axes.set_title(text, fontsize=11, fontfamily=family, loc="left", parse_math=False)
            for axes, text in zip(self.axes, words, strict=True)
        ]
        scale = ScalarMappable(cmap=colour_bar(DEFAULT_MAP))
        scale.set_clim(0, 1)
        start = _LEFT + 2.03 * across + _GAP
        beside = self._find(start, _ABOVE, 0.045 * across, down)
        bar = figure.colorbar(scale, cax=figure.add_axes(beside))
        if plan.threshold is not None:
            bar.ax.axhline(plan.threshold, color="white")
        handles = [Line2D([], [], color=PREDICTED, lw=2.5, label="predicted box")]
        if plan.truth:
            handles.append(Line2D([], [], color=TRUE, lw=2.5, ls="--", label="true box"))
        font = FontProperties(family=family, size=10)
        figure.legend(handles=handles, loc="lower center", ncols=2, frameon=False, prop=font)
        self._empty: Any = None  # the canvas with all this and no photograph
        self._letters = round(_LETTERS * across / _DPI)

    def _find(
        self, x: float, y: float, wide: float, high: float
    ) -> tuple[float, float, float, float]:
        """Turn pixels from the upper left corner into the figure's shares."""
        across, down = self._outer
        return (x / across, 1 - (y + high) / down, wide / across, high / down)

    def place(self, size: tuple[int, int]) -> list[tuple[int, int]]:
        """Make room for a photograph of a size; gives its two upper left corners, in pixels."""
        across, down = self._room
        scale = min(across / size[0], down / size[1])
        wide, high = (max(1, round(edge * scale)) for edge in size)
        self.extent = (0, wide, high, 0)
        top = _ABOVE + (down - high) // 2
        starts = (_LEFT, _LEFT + across + _GAP)
        corners = [(start + (across - wide) // 2, top) for start in starts]
        for axes, corner in zip(self.axes, corners, strict=True):
            axes.set_position(self._find(*corner, wide, high))
            axes.set(xlim=(0, wide), ylim=(high, 0))
        return corners

    def fill(
        self, view: Image.Image, localization: Localization, true_boxes: np.ndarray | None
    ) -> tuple[Image.Image, Image.Image]:
        """Put boxes, contour and name on the sheet; gives the views to lie under them.

        Args:
            view: of the photograph, of any size
            localization: on it
            true_boxes: in original pixels, or None
        """
        size = (localization.width, localization.height)
        region, rule = localization.steps[-1].region, localization.rule
        side = _SIDE if rule is None else rule.side
        heat = localization.steps[-1].heatmap((side, side))
        under_map = overlay(view, heat, region, size, DEFAULT_MAP)
        share = np.divide(self.extent[1:3], size)
        if rule is not None:
            lines = contour_lines(heat, first_value_above(rule.threshold), region, tolerance=0)
            draw_contours(self.axes[1], (line * share for line in lines))
        for axes in self.axes:
            if true_boxes is not None:
                draw_boxes(axes, np.asarray(true_boxes) * np.tile(share, 2), TRUE, "--")
            draw_boxes(axes, localization.boxes * np.tile(share, 2), PREDICTED, "-")
        name = substitute(shorten(localization.name, self._letters))
        self._titles[0].set_text(f"{name}  {percent(localization.score)}")
        return view, under_map

    def draw(
        self, image: Image.Image, localization: Localization, true_boxes: np.ndarray | None
    ) -> Image.Image:
        """Draw a picture, and leave the sheet as it was."""
        if self._empty is None:
            for axes in self.axes:
                axes.set_visible(False)
            self._canvas.draw()
            self._empty = self._canvas.copy_from_bbox(self.figure.bbox)
            for axes in self.axes:
                axes.set_visible(True)
        self._canvas.restore_region(self._empty)
        renderer = self._canvas.get_renderer()
        pixels = np.asarray(self._canvas.buffer_rgba())
        corners = self.place(image.size)
        wide, high = self.extent[1:3]
        try:
            views = self.fill(image.resize((wide, high), _SMALLER), localization, true_boxes)
            for axes, view, (x, y) in zip(self.axes, views, corners, strict=True):
                pixels[y : y + high, x : x + wide] = np.asarray(view.convert("RGBA"))
                for artist in (*axes.patches, *axes.spines.values()):
                    artist.draw(renderer)
            for title in self._titles:
                title.draw(renderer)
        finally:
            for axes in self.axes:
                for patch in list(axes.patches):
                    patch.remove()
        return _to_image(_trim(pixels))


_get_sheet = lru_cache(maxsize=24)(_Sheet)


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
        axes.add_artist(border)
        line = Rectangle(corner, across, down, fill=False, ec=colour, lw=width, ls=style)
        axes.add_artist(line)


def draw_contours(axes: Axes, lines: Iterable[np.ndarray]) -> None:
    """Draw closed lines, each (n, 2), x y in pixels of the photograph, white on a dark border."""
    for line in lines:
        axes.add_artist(Polygon(line, closed=True, fill=False, ec="black", lw=2.0, alpha=0.6))
        axes.add_artist(Polygon(line, closed=True, fill=False, ec="white", lw=1.0))


@all_fonts()
def save_figure(figure: Figure, path: Path | BinaryIO, trim: bool = True) -> None:
    """Write a figure as a file of the kind that its suffix names; into an open file, as PNG.

    Args:
        figure: to write
        path: of the file, or the open file
        trim: leave out what is empty around it
    """
    if not isinstance(path, Path) or path.suffix.lower() == ".png":
        save_picture(to_picture(figure, trim), path, figure.dpi)
        return
    box = "tight" if trim else None
    kind = path.suffix.removeprefix(".")
    save_file(path, partial(figure.savefig, bbox_inches=box, pad_inches=_MARGIN, format=kind))


def save_picture(picture: Image.Image, path: Path | BinaryIO, dpi: float = _DPI) -> None:
    """Write a picture as PNG.

    Args:
        picture: RGB
        path: of the file, or the open file
        dpi: pixels of an inch
    """
    content = encode_png(picture, dpi)
    if isinstance(path, Path):
        write_file(path, content)
    else:
        path.write(content)


@all_fonts()
def to_picture(figure: Figure, trim: bool = True) -> Image.Image:
    """Draw a figure as RGB, pixel for pixel as `save_figure` writes it as PNG.

    Args:
        figure: to draw
        trim: leave out what is empty around it
    """
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())
    return _to_image(_trim(pixels, figure.dpi) if trim else pixels)


def _to_image(pixels: np.ndarray) -> Image.Image:
    """Copy what is drawn, (h, w, 4), without its opacity."""
    return Image.fromarray(cv2.cvtColor(pixels, cv2.COLOR_RGBA2RGB))


def _trim(pixels: np.ndarray, dpi: float = _DPI) -> np.ndarray:
    """Leave out what is empty around a drawing: to ask matplotlib for it takes as long as to draw.

    Args:
        pixels: (H, W, 4), the first of which is empty
        dpi: pixels of an inch

    Returns:
        (h, w, 4), a part of it
    """
    whole = pixels.view(np.uint32)[..., 0]
    drawn = whole != whole[0, 0]
    margin = round(_MARGIN * dpi)
    spans = []
    for axis in (1, 0):
        places = np.flatnonzero(drawn.any(axis=axis))
        first, last = (places[0], places[-1]) if len(places) else (0, drawn.shape[1 - axis] - 1)
        spans.append(slice(max(first - margin, 0), last + margin + 1))
    return pixels[spans[0], spans[1]]
