"""More than 8 bits a sample become 8: stretched by the range that the file declares.

A TIFF declares it by its bits (16 bits: 0 to 65535), or by its tags of smallest and largest
values. Where none is declared, as of floats, or where the data uses less than a quarter of 16
bits, as cameras of 12 bits leave it, the data's own range becomes black to white.
"""

from __future__ import annotations

import zlib
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image

from eval.image_decoding import read_deep_colours, split_bands
from eval.image_errors import ImageError
from eval.image_files import check_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from eval.file_structure import Directory
    from eval.image_files import OpenImage

NOT_FINITE = "holds values that are not finite"
_FEW = 1 << 14  # 16-bit values that are all below have fewer bits, such as 12
_PLAIN, _DEFLATE = (1,), (8, 32946)
_KINDS = {1: "u", 2: "i", 3: "f"}  # by TIFF's number of a sample format


class Scale(NamedTuple):
    """How values become 0 to 255.

    Args:
        low: what becomes 0
        factor: that differences from it are multiplied by
        rounds: to the nearest, else down
        from_data: whether the range is the data's, since none was declared
    """

    low: float
    factor: float
    rounds: bool = False
    from_data: bool = False

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Scale pixels, which are finite."""
        if pixels.dtype == np.uint16:  # each value once, instead of each pixel
            return self._scale(np.arange(1 << 16))[pixels]
        return self._scale(pixels)

    def _scale(self, pixels: np.ndarray) -> np.ndarray:
        exact = pixels.dtype.kind == "f" and not self.rounds  # floats times 255 as they are
        values = pixels.astype(pixels.dtype if exact else np.float64)
        with np.errstate(all="ignore"):  # of the largest floats
            values = (values - self.low) * self.factor + 0.5 * self.rounds
            return np.nan_to_num(np.clip(values, 0, 255, out=values)).astype(np.uint8)


def find_scale(
    low: float, high: float, kind: np.dtype[Any], declared: tuple[float, float] | None = None
) -> Scale:
    """Choose the range of values that becomes black to white.

    Args:
        low: the data's smallest value
        high: the data's largest value
        kind: of the data
        declared: smallest and largest value by the file's tags, None where they do not tell

    Returns:
        the declared range where the data lies in it; else that of 16 bits, if the data uses it;
        floats from 0 to 1 and numbers from 0 to 255 as they are; else the data's
    """
    if declared == (0, 65535) and kind.kind in "ui" and low >= 0 and high <= 65535:
        return Scale(0, 1 / 256)
    if declared is not None and declared[0] <= low and high <= declared[1]:
        return Scale(declared[0], 255 / (declared[1] - declared[0]), True)
    if kind == np.uint16 and (high >= _FEW or low == high):
        return Scale(0, 1 / 256)
    if kind.kind == "f" and low >= 0 and high <= 1:
        return Scale(0, 255)
    if kind.itemsize > 2 and low >= 0 and high <= 255:
        return Scale(0, 1)
    return Scale(low, 255 / (high - low) if high > low else 0, True, True)


def reduce_bands(
    bands: Callable[[], Iterator[np.ndarray]], declared: tuple[float, float] | None = None
) -> tuple[Iterator[np.ndarray], bool]:
    """Bring bands of rows to 8 bits.

    Args:
        bands: gives them, called once to find their range and once to scale
        declared: as for `find_scale`

    Returns:
        bands of uint8, and whether the range is the data's

    Raises:
        ImageError: a value that is not finite, of which nothing tells how bright it was
    """
    lows, highs, kind = [], [], np.dtype(np.uint8)
    for band in bands():
        kind = band.dtype
        low, high = band.min().item(), band.max().item()
        if not np.isfinite([low, high]).all():
            raise ImageError(NOT_FINITE)
        lows.append(low)
        highs.append(high)
    scale = find_scale(min(lows, default=0), max(highs, default=0), kind, declared)
    return (scale(band) for band in bands()), scale.from_data


def reduce_image(
    image: Image.Image, declared: tuple[float, float] | None = None, inverted: bool = False
) -> tuple[Image.Image, bool]:
    """Bring a grey image of PIL's deep modes to 8 bits.

    Args:
        image: of mode F, I or I;16
        declared: as for `find_scale`
        inverted: its 0 is white

    Returns:
        a grey image, and whether the range is the data's
    """
    bands, from_data = reduce_bands(
        lambda: (np.asarray(band) for _, band in split_bands(image)), declared
    )
    grey = Image.new("L", image.size)
    top = 0
    for band in bands:
        grey.paste(Image.fromarray(255 - band if inverted else band), (0, top))
        top += len(band)
    return grey, from_data


def reduce_colours(
    image: Image.Image, opened: OpenImage, declared: tuple[float, float] | None = None
) -> tuple[Image.Image, bool]:
    """Bring colours of 16 bits to 8, of which PIL gives the high bytes alone.

    Those are enough where no range is declared and the values use the 16 bits.

    Args:
        image: RGB, or with alpha, as PIL decoded it; changed in place
        opened: that it comes from
        declared: as for `find_scale`

    Returns:
        the image, and whether the range is the data's

    Raises:
        ImageError: a kind whose lower bytes are not to be had
    """
    highs: Any = image.getextrema()[:3]
    if declared is None and max(high for _, high in highs) >= _FEW >> 8:
        return image, False
    return _reduce(image, opened, declared)


def reduce_pnm(opened: OpenImage) -> tuple[Image.Image, bool]:
    """Bring a PNM of 16 bits to 8, as `reduce_colours` does."""
    mode = "RGB" if opened.image.mode == "RGB" else "L"
    return _reduce(Image.new(mode, opened.size), opened, None)


def _reduce(
    image: Image.Image, opened: OpenImage, declared: tuple[float, float] | None
) -> tuple[Image.Image, bool]:
    read = read_deep_colours(opened, image)
    bands, from_data = reduce_bands(lambda: (band for _, band in read()), declared)
    top = 0
    for band in bands:  # each is read before it is painted over
        part = Image.fromarray(band).convert("L" if image.mode == "L" else "RGB")
        if image.mode == "RGBA":
            part.putalpha(image.getchannel("A").crop((0, top, image.width, top + len(band))))
        image.paste(part, (0, top))
        top += len(band)
    return image, from_data


def is_deep(tags: Directory) -> bool:
    """Tell whether a TIFF has more than 8 bits a sample, floats or signed numbers."""
    return max((*tags.values(258), 1)) > 8 or tags.number(339, 1) in (2, 3)


def reads_deep(tags: Directory) -> bool:
    """Tell whether `read_deep` reads a TIFF; PIL may read others."""
    layout = _Layout(tags)
    return (
        tags.number(259, 1) in (*_PLAIN, *_DEFLATE)
        and layout.kind is not None
        and tags.number(317, 1) in ((1,) if layout.kind.kind == "f" else (1, 2))
        and tags.number(266, 1) == 1
        and (tags.number(262) == 2) == (layout.samples >= 3)
        and tags.number(262) in (0, 1, 2)
    )


def declared_range(tags: Directory) -> tuple[float, float] | None:
    """Tell which range of values a TIFF declares; None where it does not."""
    bits, kind = tags.number(258, 1), tags.number(339, 1)
    for least, most in ((340, 341), (280, 281)):
        highs, lows = tags.values(most), tags.values(least)
        if highs and (lows or kind == 1):
            low, high = min(lows, default=0), max(highs)
            if np.isfinite([low, high]).all() and low < high:
                return float(low), float(high)
    return (0, 2**bits - 1) if kind == 1 and bits < 16 else None


def read_deep(opened: OpenImage) -> tuple[Image.Image, bool]:
    """Read a TIFF of more than 8 bits a sample, in strips or tiles, planar or not.

    Args:
        opened: one that `reads_deep` takes

    Returns:
        grey, RGB or with alpha, and whether the range is the data's

    Raises:
        ImageError: data that does not fill the size, or a layout that makes no sense
    """
    tags = opened.tags
    if tags is None:
        raise TypeError("Expected a TIFF but got another image")
    layout = _Layout(tags)
    check_bytes(opened.size, 2 * layout.samples * layout.dtype.itemsize + 5)
    pixels = layout.read(opened)
    colours = 3 if tags.number(262) == 2 else 1
    rows = max((1 << 20) // opened.size[0], 1)
    tops = range(0, len(pixels), rows)
    bands, from_data = reduce_bands(
        lambda: (pixels[top : top + rows, :, :colours] for top in tops), declared_range(tags)
    )
    extra = tags.values(338)
    has_alpha = layout.samples == colours + 1 and (not extra or extra[0] in (1, 2))
    alpha_scale = Scale(
        0, 255 if layout.dtype.kind == "f" else 1 / 256 ** (layout.dtype.itemsize - 1)
    )
    mode = {1: "L", 3: "RGB"}[colours] + ("A" if has_alpha else "")
    image = Image.new(mode, opened.size)
    for top, band in zip(tops, bands, strict=True):
        if tags.number(262) == 0:
            band = 255 - band
        if has_alpha:
            clear = pixels[top : top + rows, :, colours:]
            if not np.isfinite(clear).all():
                raise ImageError(NOT_FINITE)
            alpha = alpha_scale(clear)
            band = np.concatenate([band, alpha], axis=2)
        part = Image.fromarray(np.ascontiguousarray(band[..., 0] if mode == "L" else band))
        if has_alpha and colours == 3 and extra[:1] == (1,):
            part = Image.frombytes("RGBa", part.size, part.tobytes()).convert("RGBA")
        image.paste(part, (0, top))
    return image, from_data


class _Layout:
    """How a TIFF's samples lie in its file."""

    def __init__(self, tags: Directory) -> None:
        self.tags = tags
        self.samples = tags.number(277, 1)
        bits = set(tags.values(258)) or {1}
        letter = _KINDS.get(tags.number(339, 1), "")
        sizes = (16, 32, 64) if letter == "f" else (8, 16, 32, 64)
        one = int(bits.pop())
        fits = not bits and letter and one in sizes
        self.kind = np.dtype(f"{tags.order}{letter}{one // 8}") if fits else None
        self.planar = tags.number(284, 1) == 2
        self.deflated = tags.number(259, 1) in _DEFLATE
        self.differences = tags.number(317, 1) == 2

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of a sample, in the file's order of bytes."""
        if self.kind is None:
            raise ImageError("an unusual TIFF")
        return self.kind

    def read(self, opened: OpenImage) -> np.ndarray:
        """Read all samples, (H, W, samples)."""
        tags, (width, height) = self.tags, opened.size
        tiled = 322 in tags
        if tiled:
            across, down = tags.number(322), tags.number(323)
        else:
            across, down = width, min(tags.number(278, height) or height, height)
        if across < 1 or down < 1:
            raise ImageError("an unusual TIFF, of tiles without pixels")
        starts, counts = (
            [int(v) for v in tags.values(tag)] for tag in ((324, 325) if tiled else (273, 279))
        )
        depth = 1 if self.planar else self.samples
        planes = self.samples if self.planar else 1
        if len(starts) < planes * -(-height // down) * -(-width // across):
            raise ImageError("truncated: its data does not fill the size in its header")
        corners = product(range(planes), range(0, height, down), range(0, width, across))
        pixels = np.empty((height, width, self.samples), self.dtype.newbyteorder("="))
        for index, (plane, top, left) in enumerate(corners):
            rows = down if tiled else min(down, height - top)
            count = counts[index] if index < len(counts) else tags.file_size
            part = self._read_part(opened, starts[index], count, (rows, across, depth))
            inside = part[: height - top, : width - left]
            band = slice(plane, plane + 1) if self.planar else slice(None)
            pixels[top : top + down, left : left + across, band] = inside
        return pixels

    def _read_part(
        self, opened: OpenImage, start: int, count: int, shape: tuple[int, int, int]
    ) -> np.ndarray:
        """Read a strip or tile."""
        need = int(np.prod(shape)) * self.dtype.itemsize
        opened.file.seek(start)
        if self.deflated:
            data = zlib.decompressobj().decompress(opened.file.read(count), need)
        else:
            data = opened.file.read(need)
        if len(data) < need:
            raise ImageError("truncated: its data does not fill the size in its header")
        part = np.frombuffer(data, self.dtype).reshape(shape)
        if self.differences:  # to the pixel on the left
            part = np.cumsum(part, axis=1, dtype=self.dtype.newbyteorder("="))
        return part
