"""Photographs in: any common format becomes upright 8-bit RGB, and sources become file lists."""

from __future__ import annotations

import glob
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

if TYPE_CHECKING:
    from collections.abc import Iterable

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"})


class ImageError(ValueError):
    """An image that cannot be read; the message is the reason, without the file's name."""


class SourceError(ValueError):
    """A source that names no images; the message names the source."""


def read_image(path: str | Path) -> Image.Image:
    """Read a photograph as people see it.

    JPEG, PNG, WebP, BMP, TIFF and GIF (first frame). The EXIF orientation is applied; transparent
    pixels are laid on white; grey, palette, CMYK and 16-bit images become 8-bit RGB.

    Args:
        path: of the file

    Returns:
        an RGB image; its width and height are the ones that boxes refer to

    Raises:
        ImageError: missing, empty, truncated, or not an image
    """
    path = Path(path)
    try:
        if path.stat().st_size == 0:
            raise ImageError("the file is empty")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                image.load()
                return to_rgb(ImageOps.exif_transpose(image))
    except UnidentifiedImageError:
        return _read_deep(path)
    except Image.DecompressionBombError as error:
        raise ImageError(f"the image is too large ({error})") from error
    except ImageError:
        raise
    except FileNotFoundError as error:
        raise ImageError("no such file") from error
    except OSError as error:
        raise ImageError(error.strerror or str(error)) from error
    except (ValueError, SyntaxError, EOFError, TypeError) as error:  # broken headers
        raise ImageError(f"not a readable image ({error})") from error


def to_rgb(image: Image.Image) -> Image.Image:
    """Turn an image of any mode into 8-bit RGB.

    Args:
        image: any mode that PIL knows

    Returns:
        RGB; transparent pixels on white, 16-bit values divided by 256, floats on a scale to 1
        multiplied by 255
    """
    if image.mode == "RGB":
        return image
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(_to_8_bit(np.asarray(image))).convert("RGB")
    if image.mode in ("LA", "PA", "RGBA", "RGBa", "La") or "transparency" in image.info:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return image.convert("RGB")


def _to_8_bit(pixels: np.ndarray) -> np.ndarray:
    if pixels.dtype == np.uint8:
        return pixels
    if np.issubdtype(pixels.dtype, np.floating):
        pixels = np.nan_to_num(pixels, nan=0.0)
        return (np.clip(pixels * (255 if pixels.max() <= 1 else 1), 0, 255)).astype(np.uint8)
    return np.clip(pixels // (256 if pixels.max() > 255 else 1), 0, 255).astype(np.uint8)


def _read_deep(path: Path) -> Image.Image:
    """Read what PIL does not know, such as 16-bit RGB TIFF, by OpenCV."""
    data = np.frombuffer(path.read_bytes(), dtype=np.uint8)
    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        pixels = cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    except cv2.error:
        pixels = None
    finally:
        cv2.utils.logging.setLogLevel(level)
    if pixels is None:
        raise ImageError("not an image")
    return Image.fromarray(_to_8_bit(pixels[..., ::-1]))


def find_images(sources: Iterable[str | Path]) -> list[Path]:
    """Turn sources into a list of image files, in order, each once.

    Args:
        sources: each a file, a folder (searched to any depth for image suffixes), a glob pattern,
            a list file (`.txt`, one path a line, relative to the list's folder), or `-` for a
            list on standard input

    Returns:
        paths; those from lists are not checked, so that one missing file does not stop a run

    Raises:
        SourceError: a source that is missing, or that holds or matches no image
    """
    found: dict[Path, None] = {}
    for source in map(str, sources):
        paths = _expand(source)
        if not paths:
            raise SourceError(f"{source}: no images here ({' '.join(sorted(SUFFIXES))})")
        found.update(dict.fromkeys(paths))
    return list(found)


def _expand(source: str) -> list[Path]:
    path = Path(source)
    if source == "-":
        return [Path(line.strip()) for line in sys.stdin if line.strip()]
    if path.is_dir():
        return _with_image_suffix(path.rglob("*"))
    if path.is_file():
        return _read_list(path) if path.suffix.lower() == ".txt" else [path]
    if glob.has_magic(source):
        names = glob.glob(source, recursive=True)  # noqa: PTH207, absolute patterns too
        return _with_image_suffix(map(Path, names))
    raise SourceError(f"{source}: no such file or folder")


def _with_image_suffix(paths: Iterable[Path]) -> list[Path]:
    return sorted(path for path in paths if path.suffix.lower() in SUFFIXES and path.is_file())


def _read_list(path: Path) -> list[Path]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise SourceError(f"{path}: expected a list of paths in UTF-8") from error
    return [path.parent / line.strip() for line in lines if line.strip()]
