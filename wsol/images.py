"""Photographs in: any common format becomes upright 8-bit RGB, and sources become file lists."""

from __future__ import annotations

import glob
import struct
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import tifffile
from PIL import ExifTags, Image, UnidentifiedImageError

from eval.folders import SUFFIXES
from eval.headers import QUARTER_TURNS, stored_size
from wsol.text import count_things

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # by EXIF's orientation; 1 is upright
_BACK = {5: 5, 6: 8, 7: 7, 8: 6}  # what undoes a quarter turn
# suffixes of photographs too, but not read
_OTHERS = (
    ".heic", ".heif", ".avif", ".jxl", ".jp2", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf"
)  # fmt: skip


class ImageError(ValueError):
    """An image that cannot be read; the message is the reason, without the file's name."""


class SourceError(ValueError):
    """A source that names no images; the message names the source."""


def read_image(
    path: str | Path, at_least: int | None = None, boxed: tuple[int, int] | None = None
) -> Image.Image:
    """Read a photograph as people see it.

    JPEG, PNG, WebP, BMP, TIFF and GIF (first frame). The EXIF orientation is applied; transparent
    pixels are laid on white; grey, palette, CMYK and 16-bit images become 8-bit RGB.

    Args:
        path: of the file
        at_least: a JPEG may come at half, a quarter or an eighth of its size, which is decoded
            faster, as long as its shorter side keeps this many pixels
        boxed: width and height that the image's true boxes refer to; None where there are none.
            Official boxes are often those of the stored pixels: a quarter turn is not applied
            where it would make a wide image tall, or a tall one wide, against this size

    Returns:
        an RGB image; at full size, its width and height are the ones that boxes refer to

    Raises:
        ImageError: missing, empty, truncated, or not an image
    """
    path = Path(path)
    try:
        if path.stat().st_size == 0:
            raise ImageError("the file is empty")
        # by its name alone, PIL would map a TIFF into memory, and turns that wrongly
        with path.open("rb") as file, Image.open(file) as image:
            if at_least is not None:
                image.draft("", (at_least, at_least))
            return to_rgb(image, boxed)
    except UnidentifiedImageError as error:
        if path.suffix.lower() in (".tif", ".tiff"):
            return _read_deep(path)
        raise ImageError("not an image") from error
    except Image.DecompressionBombError as error:
        raise ImageError(f"the image is too large ({error})") from error
    except ImageError:
        raise
    except FileNotFoundError as error:
        raise ImageError("no such file") from error
    except OSError as error:
        raise ImageError(error.strerror or str(error)) from error
    except (ValueError, SyntaxError, EOFError, TypeError, struct.error) as error:  # broken headers
        raise ImageError(f"not a readable image ({error})") from error


def to_rgb(image: Image.Image, boxed: tuple[int, int] | None = None) -> Image.Image:
    """Turn an image of any mode into 8-bit RGB.

    Args:
        image: any mode that PIL knows
        boxed: as in `read_image`

    Returns:
        RGB, upright; transparent pixels on white; 16-bit values divided by 256, wider integers too
        where one exceeds 255; floats multiplied by 255 where none exceeds 1
    """
    image = _turn_upright(image, boxed)
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(_to_8_bit(np.asarray(image))).convert("RGB")
    if image.mode in ("LA", "PA", "RGBA", "RGBa", "La") or "transparency" in image.info:
        layer = image.convert("LA" if image.mode == "La" else image.mode).convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return image.convert("RGB")


def _turn_upright(image: Image.Image, boxed: tuple[int, int] | None) -> Image.Image:
    """Turn as EXIF says, and forget EXIF: other tags of it may be broken, and are not written."""
    tag, stored = image.getexif().get(ExifTags.Base.Orientation), stored_size(image)
    image.load()
    if not isinstance(tag, int) or tag not in _TURNS:
        return image
    done = ExifTags.Base.Orientation not in image.getexif()  # PIL turns a TIFF as it loads it
    if boxed is not None and tag in QUARTER_TURNS and _lie_alike(stored, boxed):
        return image.transpose(_TURNS[_BACK[tag]]) if done else image
    if done:
        return image
    turned = image.transpose(_TURNS[tag])
    turned.info = {k: v for k, v in image.info.items() if k == "transparency"}
    return turned


def _lie_alike(size: tuple[int, int], other: tuple[int, int]) -> bool:
    """Tell whether both are wide or both are tall; a square is neither."""
    return (size[0] - size[1]) * (other[0] - other[1]) > 0


def _to_8_bit(pixels: np.ndarray) -> np.ndarray:
    if pixels.dtype == np.uint8:
        return pixels
    if np.issubdtype(pixels.dtype, np.floating):
        pixels = np.nan_to_num(pixels, nan=0.0)
        return (np.clip(pixels * (255 if pixels.max() <= 1 else 1), 0, 255)).astype(np.uint8)
    deep = pixels.dtype == np.uint16 or pixels.max() > 255
    return np.clip(pixels // (256 if deep else 1), 0, 255).astype(np.uint8)


def _read_deep(path: Path) -> Image.Image:
    """Read a TIFF that PIL does not know, such as 16-bit RGB."""
    try:
        pixels = tifffile.imread(path, key=0)
    except Exception as error:  # decoders raise anything on a broken file
        raise ImageError("not an image") from error
    if not pixels.size:
        raise ImageError("not an image (it has no pixels)")
    if pixels.ndim == 3 and pixels.shape[0] in (3, 4) and pixels.shape[2] > 4:
        pixels = pixels.transpose(1, 2, 0)
    if pixels.ndim != 3 or pixels.shape[2] < 3 or pixels.dtype.kind not in "uif":
        raise ImageError(f"an unusual TIFF, {pixels.dtype} {pixels.shape}")
    return Image.fromarray(np.ascontiguousarray(_to_8_bit(pixels[..., :3])))


def find_images(
    sources: Iterable[str | Path], skip: Callable[[Path], object] | None = None
) -> list[Path]:
    """Turn sources into a list of image files, in order, each once.

    Args:
        sources: each a file, a folder (searched to any depth for image suffixes), a glob pattern,
            a list file (`.txt`, one path a line, relative to the list's folder), or `-` for a
            list on standard input
        skip: is told of photographs in a folder, or that a pattern matches, whose format is not
            read, such as HEIC

    Returns:
        paths; those from lists are not checked, so that one missing file does not stop a run

    Raises:
        SourceError: a source that is missing, or that holds or matches no image
    """
    images: dict[Path, None] = {}
    for source in map(str, sources):
        paths = _expand(source, skip or _ignore)
        if not paths:
            raise SourceError(f"{source}: no images here ({' '.join(sorted(SUFFIXES))})")
        images.update(dict.fromkeys(paths))
    return list(images)


def describe_passed_over(paths: Sequence[Path]) -> str:
    """Say that photographs were passed over because their format is not read.

    Args:
        paths: of these photographs, at least one
    """
    kinds = ", ".join(sorted({path.suffix for path in paths}))
    count = count_things(len(paths), "file")
    return (
        f"passed over, since {kinds} is not read: {count}, such as {paths[0]}; JPEG, PNG, WebP, "
        "BMP, TIFF and GIF are"
    )


def _ignore(path: Path) -> None:
    """Pass over a file."""


def _expand(source: str, skip: Callable[[Path], object]) -> list[Path]:
    path = Path(source)
    if source == "-":
        return [Path(line.strip()) for line in sys.stdin if line.strip()]
    if path.is_dir():
        return _with_image_suffix(path.rglob("*"), skip)
    if path.is_file():
        return _read_list(path) if path.suffix.lower() == ".txt" else [path]
    if glob.has_magic(source):
        names = glob.glob(source, recursive=True)  # noqa: PTH207, absolute patterns too
        return _with_image_suffix(map(Path, names), skip)
    raise SourceError(f"{source}: no such file or folder")


def _with_image_suffix(paths: Iterable[Path], skip: Callable[[Path], object]) -> list[Path]:
    known = (*SUFFIXES, *_OTHERS)
    files = sorted(path for path in paths if path.suffix.lower() in known and path.is_file())
    for path in files:
        if path.suffix.lower() in _OTHERS:
            skip(path)
    return [path for path in files if path.suffix.lower() in SUFFIXES]


_LONGEST_PATH = 4096  # characters, which no system exceeds


def _read_list(path: Path) -> list[Path]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise SourceError(f"{path}: expected a list of paths in UTF-8") from error
    if any("\0" in line or len(line) > _LONGEST_PATH for line in lines):
        raise SourceError(f"{path}: expected a list of paths, one a line")
    return [path.parent / line.strip() for line in lines if line.strip()]
