"""True masks: the union of an image's instances, less the pixels that do not count."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from eval.metrics.pixels import BACKGROUND, FOREGROUND, IGNORED
from eval.splits import ManifestError

if TYPE_CHECKING:
    from eval.splits import MaskPaths


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
    from PIL import Image

    try:
        with Image.open(path) as image:
            pixels = np.asarray(
                image if image.mode in ("L", "P", "I", "I;16", "1") else image.convert("L")
            )
    except Exception as error:  # decoders raise anything on a broken file
        raise ManifestError(f"{path}: expected a mask but {error}") from error
    nearest = cv2.resize(
        (pixels != 0).astype(np.uint8), (size, size), interpolation=cv2.INTER_NEAREST
    )
    return nearest != 0
