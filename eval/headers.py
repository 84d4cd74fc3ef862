"""Sizes of images, read from their headers in threads."""

from __future__ import annotations

import struct
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

from PIL import ExifTags, Image

from eval.splits import ManifestError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_BROKEN = (
    OSError,
    ValueError,
    SyntaxError,
    TypeError,
    EOFError,
    struct.error,
    Image.DecompressionBombError,
)
QUARTER_TURNS = (5, 6, 7, 8)  # EXIF's orientations that swap width and height
_WORKERS = 8  # most of the time goes into waiting for the disk


class Header(NamedTuple):
    """What an image's header says.

    Args:
        width: of the pixels as they are stored
        height: of the pixels as they are stored
        turned: the EXIF orientation asks for a quarter turn, which swaps width and height
    """

    width: int
    height: int
    turned: bool

    @property
    def upright(self) -> tuple[int, int]:
        """Width and height as people see the image."""
        return (self.height, self.width) if self.turned else (self.width, self.height)


def read_header(path: Path) -> Header:
    """Read an image's size without its pixels.

    Raises:
        ManifestError: no such file, or not an image
    """
    try:
        with Image.open(path) as image:
            orientation = image.getexif().get(ExifTags.Base.Orientation)
            return Header(*stored_size(image), turned=orientation in QUARTER_TURNS)
    except FileNotFoundError:
        raise ManifestError(f"{path}: expected an image but there is no such file") from None
    except _BROKEN as error:
        if path.suffix.lower() in (".tif", ".tiff"):
            return _read_tiff(path)
        raise ManifestError(f"{path}: expected an image but {error}") from error


def stored_size(image: Image.Image) -> tuple[int, int]:
    """Width and height of the pixels as they are stored; of a TIFF, PIL tells those as seen."""
    tags = getattr(image, "tag_v2", {})
    width, height = (tags.get(tag) for tag in (256, 257))
    return image.size if width is None or height is None else (width, height)


def _read_tiff(path: Path) -> Header:
    """Read a TIFF that PIL does not know, such as 16-bit RGB."""
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            page = file.pages.first
            return Header(page.imagewidth, page.imagelength, turned=False)
    except Exception as error:  # decoders raise anything on a broken file
        raise ManifestError(f"{path}: expected an image but {error}") from error


def read_headers(paths: Iterable[Path]) -> list[Header]:
    """Read many headers, in order.

    Raises:
        ManifestError: the first image that cannot be read
    """
    with ThreadPoolExecutor(_WORKERS) as pool:
        try:
            return list(pool.map(read_header, paths))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
