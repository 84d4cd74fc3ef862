"""True masks: the union of an image's instances, less the pixels that do not count."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from eval.image_decoding import decode, read_deep_colours, split_bands, taking_turns
from eval.image_errors import ImageError
from eval.image_files import image_errors, open_image
from eval.metrics.pixels import BACKGROUND, FOREGROUND, IGNORED
from eval.splits import ManifestError
from eval.stored_sizes import StoredSizes

if TYPE_CHECKING:
    from PIL import Image

    from eval.image_files import OpenImage
    from eval.splits import MaskPaths
    from eval.stored_sizes import Size

_NOT_FINITE = "it holds values that are not finite"


def read_mask(
    paths: MaskPaths,
    root: str | Path,
    size: int,
    image: Size | None = None,
    stored: StoredSizes | None = None,
) -> np.ndarray:
    """Read the masks of one image in a protocol's square.

    Args:
        paths: of the masks, below the root
        root: folder of the masks
        size: side of the square, in pixels
        image: width and height of the image, which masks must be of; None: of the first mask
        stored: tells squashed copies, where all masks are

    Returns:
        (size, size), uint8: 0 background, 1 foreground (a pixel other than black in any instance),
        2 ignored (other than black in the ignore mask, and no foreground); it is the colour that
        counts, as a palette has it, however dark and however transparent

    Raises:
        ManifestError: a mask that cannot be read, or that is of another image
    """
    mask = np.full((size, size), BACKGROUND, np.uint8)
    parts = [] if paths.ignore is None else [(paths.ignore, IGNORED)]
    for name, kind in (*parts, *((instance, FOREGROUND) for instance in paths.instances)):
        path = Path(root) / name
        marked, own = _read(path, size)
        image = image or own
        if reason := (stored or StoredSizes((), None)).explain(own, image):
            raise ManifestError(f"{path}: a mask of another image: {reason}")
        mask[marked] = kind
    return mask


def _read(path: Path, size: int) -> tuple[np.ndarray, Size]:
    """Read where a mask is marked in the square, and its own width and height."""
    import cv2

    try:
        with image_errors(), open_image(path) as opened, taking_turns(opened.size):
            deep = _is_deep(opened)
            image = decode(opened)
            marked = np.empty((image.height, image.width), np.uint8)
            if deep and len(image.getbands()) > 1:
                for top, colours in read_deep_colours(opened, image)():
                    flat = colours.reshape(*colours.shape[:2], -1)
                    marked[top : top + len(flat)] = flat.any(axis=-1)
            else:
                white_is_zero = opened.tags is not None and opened.tags.number(262, 1) == 0
                black = 65535 if deep and white_is_zero and image.mode.startswith("I;16") else 0
                for top, band in split_bands(image):
                    marked[top : top + band.height] = _mark(band, black)
            nearest = cv2.resize(marked, (size, size), interpolation=cv2.INTER_NEAREST)
    except ImageError as error:
        raise ManifestError(f"{path}: expected a mask but {error}") from error
    return nearest != 0, image.size


def _mark(image: Image.Image, black: int) -> np.ndarray:
    """Mark the pixels whose colour is other than black."""
    if image.mode == "CMYK":  # black is black ink in full, or all the others
        missing = np.asarray(image) != 255
        marked: np.ndarray = missing[..., :3].any(axis=-1) & missing[..., 3]
        return marked
    if image.mode in ("P", "PA", "YCbCr", "HSV"):
        image = image.convert("RGB")
    values = np.asarray(image)
    if not np.isfinite(values).all():
        raise ImageError(_NOT_FINITE)
    if values.ndim == 2:
        return values != black
    colours = values[..., :-1] if image.mode[-1] in "Aa" else values[..., :3]
    return np.any(colours, axis=-1)


def _is_deep(opened: OpenImage) -> bool:
    """Tell whether a sample has more than 8 bits."""
    tiles = getattr(opened.image, "tile", None)
    if opened.tags is not None:
        return max((*opened.tags.values(258), 1)) > 8
    if tiles and tiles[0].codec_name in ("ppm", "ppm_plain"):
        return opened.image.mode == "RGB" and int(tiles[0].args[-1]) > 255
    return opened.deep
