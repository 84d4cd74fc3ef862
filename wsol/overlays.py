"""Maps laid over photographs: one fixed scale, and colours that keep their meaning."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import matplotlib
import numpy as np
from matplotlib.colors import ListedColormap
from PIL import Image

from wsol.heatmap import resize_map
from wsol.palette import CONTRAST, MIDDLE, OPACITY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wsol.contours import Region

# what becomes of a grey
_DRAWN = [round(255 * MIDDLE + CONTRAST * (grey - 255 * MIDDLE)) for grey in range(256)]
ROUNDING = 1e-5  # share of the greatest value: what differs by less is the same


def fit_view(image: Image.Image, longest_side: int) -> Image.Image:
    """Resize a photograph so that its longer side has a length, also where that enlarges it.

    Args:
        image: RGB
        longest_side: of the result, in pixels

    Returns:
        RGB; no side is shorter than one pixel
    """
    scale = longest_side / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    how = Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.BICUBIC
    return image.resize(size, how, reducing_gap=3.0 if scale < 1 else None)


def grey_backdrop(view: Image.Image) -> Image.Image:
    """Make a photograph grey and draw it towards the middle of the scale, for maps to lie on.

    Hue comes from the map alone then, and `colour_bar` shows its colours as they come out in the
    mean.

    Args:
        view: RGB

    Returns:
        grey, mode L, of the same size
    """
    return view.convert("L").point(_DRAWN)


def overlay(
    view: Image.Image,
    values: np.ndarray,
    region: Region,
    size: tuple[int, int],
    colours: str,
    limits: tuple[float, float] = (0.0, 1.0),
) -> Image.Image:
    """Lay a map's colours over the photograph's grey backdrop.

    Args:
        view: RGB, the photograph or a copy of another size
        values: (h, w), the map; NaN leaves the photograph grey
        region: part of the photograph that the map covers, x0 y0 x1 y1 in original pixels
        size: width and height of the original photograph, in pixels
        colours: name of a matplotlib colour map
        limits: values that the first and the last colour stand for; values beyond get the nearest

    Returns:
        RGB, of the view's size
    """
    grey = np.asarray(grey_backdrop(view))
    picture = np.repeat(grey[..., None], 3, axis=2)
    if np.isfinite(values).all():
        x0, x1 = (round(x * view.width / size[0]) for x in (region[0], region[2]))
        y0, y1 = (round(y * view.height / size[1]) for y in (region[1], region[3]))
        shown = resize_map(values, (max(x1 - x0, 1), max(y1 - y0, 1)), "bilinear")
        part = grey[y0 : y0 + shown.shape[0], x0 : x0 + shown.shape[1]]
        places = _find_places(shown[: part.shape[0], : part.shape[1]], colours, limits)
        inside = picture[y0 : y0 + part.shape[0], x0 : x0 + part.shape[1]]
        # one flat index: numpy looks pairs of indices up ten times as slowly
        inside[:] = _over_all_greys(colours).take(256 * places + part, axis=0)
    return Image.fromarray(picture)


def colour(
    values: np.ndarray, colours: str, limits: tuple[float, float] = (0.0, 1.0)
) -> np.ndarray:
    """Turn values into colours.

    Args:
        values: any shape, finite
        colours: name of a matplotlib colour map
        limits: values that the first and the last colour stand for; where they are equal, every
            value gets the colour in the middle

    Returns:
        (..., 3), float64, red green blue in [0, 1]
    """
    return _list_colours(colours)[_find_places(values, colours, limits)]


def _find_places(values: np.ndarray, colours: str, limits: tuple[float, float]) -> np.ndarray:
    """Number the colour of each value, from 0, of those that divide the limits evenly."""
    low, high = limits
    number = len(_list_colours(colours))
    shares = (values - low) / (high - low) if high > low else np.full(np.shape(values), 0.5)
    return np.clip(shares * number, 0, number - 1).astype(np.intp)


@lru_cache
def _list_colours(colours: str) -> np.ndarray:
    """(k, 3), float64, in [0, 1]: all colours of a map, most of which have 256."""
    scale = matplotlib.colormaps[colours]
    rgb: np.ndarray = np.asarray(scale(np.arange(scale.N)))[:, :3]
    return rgb


@lru_cache
def _over_all_greys(colours: str) -> np.ndarray:
    """(k * 256, 3), uint8: every colour of a map over every grey, colour by colour."""
    greys = np.arange(256)[None, :, None] / 255
    over: np.ndarray = _blend(_list_colours(colours)[:, None], greys)
    return (over * 255).round().astype(np.uint8).reshape(-1, 3)


def value_limits(values: np.ndarray) -> tuple[float, float]:
    """Least and greatest value, or the least twice where rounding alone tells them apart.

    Stretched to all colours, the rounding of a map that is the same everywhere would look like a
    pattern.

    >>> value_limits(np.array([0.25, 0.75])), value_limits(np.array([1, 1 + 1e-7]))
    ((0.25, 0.75), (1.0, 1.0))
    """
    low, high = float(values.min()), float(values.max())
    return (low, high) if high - low > ROUNDING * max(abs(low), abs(high)) else (low, low)


def colour_bar(colours: str) -> ListedColormap:
    """Return the colours of a map as `overlay` shows them on a middle grey."""
    return ListedColormap(_blend(colour(np.linspace(0, 1, 256), colours), np.full(3, MIDDLE)))


def box_line(box: Sequence[float] | np.ndarray) -> tuple[list[float], list[float]]:
    """Corners of a box, x0 y0 x1 y1, as a closed line: all x, all y."""
    x0, y0, x1, y1 = box
    return [x0, x1, x1, x0, x0], [y0, y0, y1, y1, y0]


def _blend(rgb: np.ndarray, below: np.ndarray) -> np.ndarray:
    mixed: np.ndarray = OPACITY * rgb + (1 - OPACITY) * below
    return mixed
