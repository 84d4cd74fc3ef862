"""Decoding an image whose header is known, and seeing to it that the data fills all its pixels."""

from __future__ import annotations

import re
import sys
from contextlib import contextmanager
from io import BytesIO
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import GifImagePlugin, Image, JpegImagePlugin, PpmImagePlugin

from eval.bmp_runs import decode_runs
from eval.file_structure import has_all_scans, scan_jpeg
from eval.image_errors import ImageError
from eval.image_files import LARGE, OpenImage, UnknownTiff, identify
from eval.pnm import decode_pnm, read_samples

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import BinaryIO

_BAND = 1 << 20  # pixels that are converted at once
_PAD = bytes(np.random.default_rng(0).integers(0, 255, 256, np.uint8))  # no marker: no 255
_SCAN_END = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")
# what PIL decodes in Python, a pixel at a time
_OWN = {"ppm": decode_pnm, "ppm_plain": decode_pnm, "bmp_rle": decode_runs}

_SWAPPED = "B" if sys.byteorder == "little" else "L"
# PIL's names of how pixels lie in a file, by order of bytes: the swapped one gives the lower byte
_LOWER_BYTES = {"LA;16B": "RGBA"} | {
    f"{mode};16{order}": f"{mode};16{other}"
    for mode in ("RGB", "RGBA", "RGBX")
    for order, other in (("B", "L"), ("L", "B"), ("N", _SWAPPED))
}

_one_large = Lock()


def decode(opened: OpenImage, at_least: int | None = None) -> Image.Image:
    """Decode an image, and see to it that the data fills all of its pixels.

    Args:
        opened: is decoded in place
        at_least: a JPEG may come at half, a quarter or an eighth of its size, as long as its
            shorter side keeps this many pixels

    Returns:
        any mode that PIL knows

    Raises:
        ImageError: pixels that the data does not fill
    """
    image = opened.image
    if at_least is not None:
        image.draft("", (at_least, at_least))
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        image.load()
        _check_jpeg_filled(image, opened.file)
        return image
    tiles = getattr(image, "tile", None)
    codec = tiles[0].codec_name if tiles else ""
    if codec in _OWN:
        return _OWN[codec](image, opened.file)
    if _fill_and_load(image, 165) and _fill_and_load(identify(opened.file).image, 90):
        raise ImageError("truncated: its data does not fill the size in its header")
    return image


def read_deep_colours(
    opened: OpenImage, high: Image.Image
) -> Callable[[], Iterator[tuple[int, np.ndarray]]]:
    """Read colours of 16 bits a sample in full; PIL's own images have the higher byte of each.

    The data is decoded once more, each sample's lower byte taken for the sample.

    Args:
        opened: a PNG, TIFF or PNM of 16 bits
        high: the same image as `decode` gives it, of a PNM any; a band of it may change once that
            has been yielded for the last time

    Returns:
        yields bands: the first row, and (h, W, 3), of grey (h, W), uint16, without alpha

    Raises:
        ImageError: a kind whose lower bytes are not to be had
    """
    if isinstance(opened.image, PpmImagePlugin.PpmImageFile):
        samples, _ = read_samples(opened.image, opened.file)
        rows = max(_BAND // samples.shape[1], 1)
        tops = range(0, len(samples), rows)
        return lambda: ((top, samples[top : top + rows].astype(np.uint16)) for top in tops)
    low: Any = identify(opened.file).image
    tiles = getattr(low, "tile", [])
    args = tiles[0].args if tiles else ""
    rawmode = args if isinstance(args, str) else args[0]
    if rawmode not in _LOWER_BYTES:
        raise ImageError("16 bits a sample, of a kind whose lower bits are not read")
    lower = _LOWER_BYTES[rawmode]
    low.tile = [
        tile._replace(args=lower if isinstance(args, str) else (lower, *tile.args[1:]))
        for tile in tiles
    ]
    grey = rawmode == "LA;16B"
    if grey:  # four bytes a pixel: both of the sample's, and those of alpha
        low._mode = "RGBA"
    low.load()

    def join(upper: Image.Image, lower: Image.Image) -> np.ndarray:
        ups, lows = np.asarray(upper).astype(np.uint16), np.asarray(lower)
        return ups[..., 0] << 8 | lows[..., 1] if grey else ups[..., :3] << 8 | lows[..., :3]

    return lambda: (
        (top, join(upper, lower))
        for (top, upper), (_, lower) in zip(split_bands(high), split_bands(low), strict=True)
    )


@contextmanager
def taking_turns(size: tuple[int, int]) -> Iterator[None]:
    """Let large images wait for each other, so that threads do not add up their memory."""
    if size[0] * size[1] < LARGE:
        yield
    else:
        with _one_large:
            yield


def split_bands(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """Cut an image into bands of rows, so that converting them takes little memory.

    Yields:
        the first row of a band, and the band
    """
    rows = max(_BAND // max(image.width, 1), 1)
    if rows >= image.height:
        yield 0, image
        return
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(top + rows, image.height)))


def _fill_and_load(image: Any, mark: int) -> bool:
    """Decode over pixels that are marked, and tell whether marks are left at the end."""
    size = getattr(image, "_tile_size", image.size)
    frame: Any = (0, 0, *size)
    clear = None
    if isinstance(image, GifImagePlugin.GifImageFile):
        frame, clear = image.tile[0].extents, image._frame_transparency
        image._frame_transparency = None  # else PIL fills in its own
        mode = "P" if image._frame_palette else "L"
    else:
        mode = image.mode
    if mode == "1":  # it has only two values
        mark = 255 * (mark > 128)
    if not isinstance(image, UnknownTiff):
        bands = len(Image.new(mode, (1, 1)).getbands())
        image.im = Image.new(mode, size, (mark,) * bands if bands > 1 else mark).im
    image.load()
    if frame == (0, 0, *size):
        return _is_marked(image, (0, 0, *image.size), mark)
    marked = _is_marked(image, frame, mark)
    inside = image.im.crop(frame)  # what lies beside a GIF's first frame is clear, or the first
    image.im = Image.new(image.mode, image.size, clear or 0).im
    image.im.paste(inside, frame)
    if image.mode == "P":
        image.im.putpalette(*image.palette.getdata())
    return marked


def _is_marked(image: Image.Image, frame: tuple[int, int, int, int], mark: int) -> bool:
    """Tell whether the end of one of the last two rows is marked, in any band."""
    x1, y1 = frame[2:]
    end = image.crop((max(x1 - 8, frame[0]), max(y1 - 2, frame[1]), x1, y1))
    pixels = np.atleast_3d(np.asarray(end))
    return bool((pixels == (bool(mark) if image.mode == "1" else mark)).all(axis=1).any())


def _check_jpeg_filled(image: JpegImagePlugin.JpegImageFile, file: BinaryIO) -> None:
    """See to it that a JPEG does not end before its pixels do, which leaves the rest grey.

    Its first scan is decoded with something else behind it: had it all pixels, that would not show.
    """
    file.seek(0)
    data = file.read()
    structure, _ = scan_jpeg(data)
    if not has_all_scans(data, structure.data_start, [layer[0] for layer in image.layer]):
        raise ImageError("truncated: some of its scans are missing")
    last = image.crop((image.width - 1, image.height - 1, image.width, image.height))
    values = np.append(np.asarray(last), np.asarray(last.convert("L")))
    if not ((values > 124) & (values < 131)).any():
        return
    stop = _SCAN_END.search(data, structure.data_start + 2)
    if stop is None:
        return
    scan = data[: stop.start()]
    restarts = _RESTART.findall(scan, structure.data_start)
    number = restarts[-1][1] + 1 if restarts else 0xD0
    pads = (_PAD + bytes((255, 0xD0 + (number + each) % 8)) for each in range(64))
    if not np.array_equal(_decode_small(scan), _decode_small(scan + b"".join(pads))):
        raise ImageError("truncated: its data does not fill the size in its header")


def _decode_small(data: bytes) -> np.ndarray:
    image = JpegImagePlugin.JpegImageFile(BytesIO(data + b"\xff\xd9"))
    image.draft("", (1, 1))
    image.load()
    return np.asarray(image)
