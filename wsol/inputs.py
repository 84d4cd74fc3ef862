"""Anything that a localizer takes for an image, turned into RGB."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from wsol.images import read_image, to_rgb


def to_image(item: Any) -> Image.Image:
    """Turn anything that a localizer takes for an image into RGB.

    Raises:
        ImageError: a path that cannot be read as an image
        TypeError: something else
        ValueError: an array of the wrong shape or type
    """
    if isinstance(item, (str, Path)):
        return read_image(item)
    if isinstance(item, Image.Image):
        return to_rgb(item)
    if isinstance(item, torch.Tensor):
        item = item.detach().cpu()
        array = (item.float() if item.dtype == torch.bfloat16 else item).numpy()  # has no bfloat16
        if array.ndim == 3:
            array = array.transpose(1, 2, 0)
        if np.issubdtype(array.dtype, np.floating):
            if array.size and not (array.min() >= 0 and array.max() <= 1):
                raise ValueError("Expected a float image in [0, 1]; do not normalise it")
            array = (array * 255).round().astype(np.uint8)
    elif isinstance(item, np.ndarray):
        array = item
    else:
        raise TypeError(f"Expected a path, an image or an array but got {type(item).__name__}")
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or array.size == 0:
        raise ValueError(
            f"Expected an RGB image, uint8 (H, W, 3), but got {array.dtype} {array.shape}"
        )
    return Image.fromarray(np.ascontiguousarray(array))
