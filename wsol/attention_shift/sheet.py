"""A figure on which pictures, colour bars and lines of text are laid out in inches."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from PIL import Image

from wsol.attention_shift.text import scale_text
from wsol.overlays import colour_bar

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from wsol.attention_shift.trace import Shift

PANEL, BAR = 2.5, 0.1  # inches: width of a picture, of a colour bar


class Sheet:
    """A figure on which things are placed in inches from the top left corner.

    Args:
        width: of the figure
        height: of the figure
        dpi: pixels an inch
    """

    def __init__(self, width: float, height: float, dpi: int = 160) -> None:
        self.size = (width, height)
        self.figure = Figure(figsize=self.size, dpi=dpi)
        self.canvas = FigureCanvasAgg(self.figure)

    def add_axes(self, x: float, y: float, width: float, height: float) -> Axes:
        """Add axes at a position."""
        w, h = self.size
        return self.figure.add_axes((x / w, 1 - (y + height) / h, width / w, height / h))

    def picture(
        self,
        shown: Image.Image,
        shift: Shift,
        x: float,
        y: float,
        height: float,
        width: float = PANEL,
    ) -> Axes:
        """Place a picture whose axes are in pixels of the photograph.

        Args:
            shown: RGB, the photograph at any size, or a map laid over it
            shift: tells the photograph's size
            x: from the left
            y: from the top
            height: of the room for it
            width: of the room for it
        """
        axes = self.add_axes(x, y, width, height)
        axes.imshow(shown, extent=(0, shift.width, shift.height, 0), interpolation="antialiased")
        axes.set(xlim=(0, shift.width), ylim=(shift.height, 0), xticks=[], yticks=[])
        axes.set_facecolor("#eeeeee")
        axes.set_aspect("equal", anchor="NW")  # a very long picture leaves part of its room free
        return axes

    def note(self, axes: Axes, title: str, lines: list[str]) -> None:
        """Write a title above a picture and lines below it."""
        axes.set_title(title, fontsize=9.5, loc="left", pad=7, parse_math=False)
        axes.annotate(
            "\n".join(lines), (0, 0), xycoords="axes fraction", xytext=(0, -9),
            textcoords="offset points", va="top", fontsize=8.2, parse_math=False, linespacing=1.3,
        )  # fmt: skip

    def bar(
        self, x: float, y: float, height: float, colours: str, limits: tuple[float, float]
    ) -> Axes:
        """Place a colour bar of a matplotlib colour map between two values."""
        low, high = limits
        flat = not high > low
        axes = self.add_axes(x, y, BAR, height)
        if flat:  # one value, which has the colour in the middle
            low, high = low - 0.5, low + 0.5
        shown = ScalarMappable(Normalize(low, high), colour_bar(colours))
        ticks = [(low + high) / 2] if flat else None
        write = FuncFormatter(partial(scale_text, span=0.0 if flat else high - low))
        bar = self.figure.colorbar(shown, cax=axes, ticks=ticks, format=write)
        bar.ax.tick_params(labelsize=7.5, length=2)
        bar.outline.set_linewidth(0.5)
        return axes

    def image(self) -> Image.Image:
        """Draw the figure as RGB."""
        self.canvas.draw()
        return Image.fromarray(np.asarray(self.canvas.buffer_rgba())[..., :3])
