"""A frame around a box of an image; where it reaches beyond the image, a blur of it goes on."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter

WIDER = 1.5  # sides of a frame, in sides of the box that it is around
_SLIMMEST = 0.6  # the shorter side of what a frame is around, in longer ones
_THUMB = 64  # longer side of the image that surroundings are made of
_BLUR = 0.1  # radius, in sides of it
_SHARPER = 1.5  # pixels of a cut frame for a pixel that is asked for


def surround(boxes: np.ndarray, wider: float = WIDER) -> np.ndarray:
    """Give the frames around boxes.

    Args:
        boxes: (N, 4), x0 y0 x1 y1, outer edges, as shares of an image's width and height
        wider: sides of a frame, in sides of its box; that of a slim box is less slim

    Returns:
        (N, 4), as `boxes`; they may reach outside [0, 1]

    >>> surround(np.array([[0.25, 0.25, 0.75, 0.75]]), 2.0).tolist()
    [[0.0, 0.0, 1.0, 1.0]]
    """
    sides = boxes[:, 2:] - boxes[:, :2]
    half = wider * np.maximum(sides, _SLIMMEST * sides[:, ::-1]) / 2
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    return np.concatenate([middle - half, middle + half], axis=1)


def cut_frame(image: Image.Image, frame: np.ndarray, side: int) -> Image.Image:
    """Cut a frame out of an image, as sharp as a network needs it.

    Args:
        image: RGB
        frame: (4,), x0 y0 x1 y1, outer edges, as shares of width and height; where it reaches
            beyond the image, a blur of the whole image goes on
        side: pixels that a network takes; the result has about half as many more at its longer side

    Returns:
        RGB, at least a pixel wide and high
    """
    width, height = image.size
    x0, y0, x1, y1 = (float(each) for each in frame * [width, height, width, height])
    scale = min(1.0, _SHARPER * side / max(x1 - x0, y1 - y0, 1.0))
    size = (max(1, round((x1 - x0) * scale)), max(1, round((y1 - y0) * scale)))
    inside = (max(x0, 0.0), max(y0, 0.0), min(x1, float(width)), min(y1, float(height)))
    if inside[2] <= inside[0] or inside[3] <= inside[1]:
        return _blur(image, size)
    if inside == (x0, y0, x1, y1):
        return image.resize(size, Image.Resampling.BILINEAR, box=inside)
    canvas = _blur(image, size)
    left, top = (round((inside[k] - start) * scale) for k, start in ((0, x0), (1, y0)))
    right, bottom = (round((inside[k] - start) * scale) for k, start in ((2, x0), (3, y0)))
    shown = (max(1, right - left), max(1, bottom - top))
    canvas.paste(image.resize(shown, Image.Resampling.BILINEAR, box=inside), (left, top))
    return canvas


def _blur(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    thumb = image.copy()
    thumb.thumbnail((_THUMB, _THUMB))
    radius = _BLUR * max(thumb.size)
    blurred = thumb.filter(ImageFilter.GaussianBlur(radius))
    return blurred.resize(size, Image.Resampling.BILINEAR)
