"""The colours of all pictures and pages: of boxes, of maps, and of what maps are laid over."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from matplotlib.colors import to_hex

if TYPE_CHECKING:
    from collections.abc import Iterator

PREDICTED = "#E69F00"  # orange and sky blue are told apart by every kind of colour vision
TRUE = "#56B4E9"  # always dashed, too
MAP_COLOURS = {"perceptual": "magma", "jet": "jet"}  # matplotlib's colour maps, by our names
DEFAULT_MAP = MAP_COLOURS["perceptual"]
DIVERGING = "RdBu_r"  # blue for less, red for more: told apart by every kind of colour vision
OPACITY = 0.68  # of a map's colours over the grey photograph
MIDDLE = 0.5  # grey that colour bars lie on, and that photographs are drawn towards
CONTRAST = 0.75  # of the grey photograph, against that of the original
_STEPS = "Greens"
_DARK = ("#e8eaed", "#14171a")  # ink and paper of a dark page, as in style.css


def step_colours(count: int) -> list[str]:
    """Give each step's box its colour: one hue, from light to dark.

    Args:
        count: of the steps

    Returns:
        names of the form `#rrggbb`

    >>> step_colours(2)
    ['#a9dca3', '#005321']
    """
    shares = np.linspace(0.35, 0.95, count) if count > 1 else [0.6]
    return [to_hex(matplotlib.colormaps[_STEPS](share)) for share in shares]


def colour_stops(colours: str, count: int = 33) -> list[tuple[float, str]]:
    """List colours of a map at equal distances, for a gradient on a page.

    Args:
        colours: name of a matplotlib colour map
        count: of the colours

    Returns:
        pairs of a share of the scale, from 0 to 1, and a colour of the form `#rrggbb`
    """
    shares = np.linspace(0, 1, count)
    rows = matplotlib.colormaps[colours](shares)
    return [(share, to_hex(row)) for share, row in zip(shares.tolist(), rows, strict=True)]


@contextmanager
def paper(dark: bool) -> Iterator[None]:
    """Draw figures for a dark page, or as usual; the colours are those of the pages.

    Not for several threads at once, as matplotlib's settings are those of the process.
    """
    ink, ground = _DARK
    names = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
    given: Any = {**dict.fromkeys(names, ink), "figure.facecolor": ground} if dark else {}
    with matplotlib.rc_context(given):
        yield


def css_variables() -> str:
    """Write what pages share with pictures as a style sheet of CSS variables."""
    grey = to_hex((MIDDLE,) * 3)
    return (
        f":root {{ --predicted: {PREDICTED}; --true: {TRUE}; --middle: {grey}; "
        f"--contrast: {CONTRAST}; --opacity: {OPACITY}; }}\n"
    )
