"""Sizes of images, read from their headers in threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

from eval.image_decoding import decode
from eval.image_errors import ImageError
from eval.image_files import OpenImage, image_errors, open_image, read_orientation
from eval.splits import ManifestError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

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
        ManifestError: no such file, not an image, or one over the limits of `eval.image_files`
    """
    try:
        with image_errors(), open_image(path) as opened:
            return Header(*opened.size, turned=find_orientation(opened) in QUARTER_TURNS)
    except ImageError as error:
        reasons = {"no such file": "there is no such file", "not an image": "it is none"}
        reason = reasons.get(str(error), str(error))
        raise ManifestError(f"{path}: expected an image but {reason}") from error


def find_orientation(opened: OpenImage) -> int:
    """Tell the EXIF orientation of an open image, 1 to 8; to be used within `image_errors`."""
    if opened.late:  # EXIF after the pixels is only found behind them
        return read_orientation(decode(opened))
    return opened.orientation()


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
