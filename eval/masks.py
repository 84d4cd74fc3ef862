"""True masks: the union of an image's instances, less the pixels that do not count."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from eval.image_decoding import decode, split_bands, taking_turns
from eval.image_errors import ImageError
from eval.image_files import image_errors, open_image
from eval.metrics.pixels import BACKGROUND, FOREGROUND, IGNORED
from eval.splits import ManifestError

if TYPE_CHECKING:
    from eval.splits import MaskPaths

_NUMBERS = ("L", "P", "I", "I;16", "I;16B", "F", "1")  # modes in which 0 is black


def read_mask(paths: MaskPaths, root: str | Path, size: int) -> np.ndarray:
    """Read the masks of one image in a protocol's square.

    Args:
        paths: of the masks, below the root
        root: folder of the masks
        size: side of the square, in pixels

    Returns:
        (size, size), uint8: 0 background, 1 foreground (a pixel other than black in any instance),
        2 ignored (other than black in the ignore mask, and no foreground)

    Raises:
        ManifestError: a mask that cannot be read
    """
    mask = np.full((size, size), BACKGROUND, np.uint8)
    if paths.ignore is not None:
        mask[_read(Path(root) / paths.ignore, size)] = IGNORED
    for instance in paths.instances:
        mask[_read(Path(root) / instance, size)] = FOREGROUND
    return mask


def _read(path: Path, size: int) -> np.ndarray:
    import cv2

    try:
        with image_errors(), open_image(path) as opened, taking_turns(opened.size):
            image = decode(opened)
            marked = np.empty((image.height, image.width), np.uint8)
            for top, band in split_bands(image):
                whole = band if band.mode in _NUMBERS else band.convert("L")
                values = np.asarray(whole)
                if not np.isfinite(values).all():
                    raise ImageError("it holds values that are not finite")
                marked[top : top + band.height] = values != 0
            nearest = cv2.resize(marked, (size, size), interpolation=cv2.INTER_NEAREST)
    except ImageError as error:
        raise ManifestError(f"{path}: expected a mask but {error}") from error
    return nearest != 0
