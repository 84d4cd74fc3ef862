"""Pictures of localizations: the photograph, its boxes, and the map that the boxes came from."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from wsol.fonts import displayable, letters
from wsol.levels import first_value_above

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from PIL import Image

    from wsol.results import Localization

PREDICTED = "#E69F00"  # orange and sky blue are told apart by every kind of colour vision
TRUE = "#56B4E9"
MAP_COLOURS = "magma"


@letters()
def draw_localization(
    image: Image.Image,
    found: Localization,
    threshold: float,
    true_boxes: np.ndarray | None = None,
    size: int = 224,
) -> Figure:
    """Draw a photograph with boxes beside the same photograph under its map.

    The map's colours span its whole range, 0 to 1, and the threshold's contour is drawn on it, so
    that map and box can be seen to agree.

    Args:
        image: RGB, as the localizer saw it
        found: on this image
        threshold: share of the map's maximum that made the boxes
        true_boxes: (k, 4), x0 y0 x1 y1, outer edges in original pixels
        size: side of the square in which the boxes were found, in pixels

    Returns:
        a figure, not shown anywhere
    """
    panel = 4.2
    height = panel * min(max(image.height / image.width, 0.4), 2.0)
    figure = Figure(figsize=(2 * panel + 0.9, height + 0.95), dpi=110)
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(1, 3, width_ratios=[1, 1, 0.045], wspace=0.06)
    left, right = figure.add_subplot(grid[0]), figure.add_subplot(grid[1])
    x0, y0, x1, y1 = found.steps[-1].region
    heat = found.steps[-1].heatmap((size, size))
    left.imshow(image)
    right.imshow(image)
    shown = right.imshow(heat, cmap=MAP_COLOURS, vmin=0, vmax=1, alpha=0.6, extent=(x0, x1, y1, y0))
    if heat.max() > 0:
        centres = (np.arange(size) + 0.5) / size
        right.contour(
            x0 + centres * (x1 - x0),
            y0 + centres * (y1 - y0),
            heat,
            levels=[min(first_value_above(threshold), 0.999)],
            colors="white",
            linewidths=1.0,
        )
    for axes in (left, right):
        if true_boxes is not None:
            _draw_boxes(axes, true_boxes, TRUE, "--")
        _draw_boxes(axes, found.boxes, PREDICTED, "-")
        axes.set(xlim=(0, image.width), ylim=(image.height, 0), xticks=[], yticks=[])
    title = f"{displayable(found.name)}  {found.score:.0%}"
    left.set_title(title, fontsize=11, loc="left", parse_math=False)
    right.set_title("map and threshold", fontsize=11, loc="left")
    figure.colorbar(shown, cax=figure.add_subplot(grid[2])).ax.axhline(threshold, color="white")
    handles = [Line2D([], [], color=PREDICTED, lw=2.5, label="predicted box")]
    if true_boxes is not None:
        handles.append(Line2D([], [], color=TRUE, lw=2.5, ls="--", label="true box"))
    figure.legend(handles=handles, loc="lower center", ncols=2, frameon=False, fontsize=10)
    figure.subplots_adjust(left=0.02, right=0.94, top=1 - 0.35 / (height + 0.95), bottom=0.075)
    return figure


def _draw_boxes(axes: Axes, boxes: np.ndarray, colour: str, style: str) -> None:
    for x0, y0, x1, y1 in boxes:
        corner, width, height = (x0, y0), x1 - x0, y1 - y0
        halo = Rectangle(corner, width, height, fill=False, ec="black", lw=4, alpha=0.5)
        axes.add_patch(halo)
        axes.add_patch(Rectangle(corner, width, height, fill=False, ec=colour, lw=2.2, ls=style))


@letters()
def save_figure(figure: Figure, path: Path | BinaryIO) -> None:
    """Write a figure as a file of the kind that its suffix names; into an open file, as PNG."""
    figure.savefig(path, bbox_inches="tight", pad_inches=0.06)
