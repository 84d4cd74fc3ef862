"""Opening image files of strangers: limits are checked before decoding, and all pixels are there.

A file is an image by its content, whatever it is called. Its width and height, and the memory that
decoding takes, are known from its header; what is over the limit is not decoded. An exception of
a decoder, whichever it is, is an `ImageError`, and so are pixels that the data does not fill.
"""

from __future__ import annotations

import re
import stat
from contextlib import contextmanager
from functools import partial
from io import BytesIO
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import (
    BmpImagePlugin,
    ExifTags,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from eval.bmp_runs import decode_runs
from eval.file_structure import Directory, StructureError, check_gif, scan_jpeg, scan_png
from eval.image_errors import ImageError
from eval.pnm import decode_pnm
from eval.quiet_decoders import silence_decoders

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import BinaryIO

MAX_PIXELS = 100_000_000
_BYTES = 10  # for each pixel of the limit: RGB as PIL has it, twice, and what a decoder needs
_LAYOUT = {256, 257, 258, 259, 277, 278, 284, 322, 323}  # tags of a TIFF that sizes follow from
_MAX_STRIPS = 65_536  # of a TIFF, or tiles
_MAX_RUNS = 8_000_000
_LARGE = 1 << 24  # pixels; images of more are decoded one after the other
_BAND = 1 << 20  # pixels that are converted at once
_PAD = bytes(np.random.default_rng(0).integers(0, 255, 256, np.uint8))  # no marker: no 255
_FRAME = re.compile(rb"\xff[\xc0-\xc2]..\x08(..)", re.DOTALL)  # of a JPEG: its height
_SCAN_END = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")
_ROUNDS = 3_000_000_000  # pixels times scans that a JPEG's decoder goes through in time
_WIDTHS = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2, "I;16N": 2}

_one_large = Lock()
_limit = MAX_PIXELS


def set_max_pixels(count: int) -> None:
    """Set how many pixels an image may have, for all that this process reads from now on.

    The memory that decoding takes is limited with it, to 10 bytes a pixel of the limit: kinds of
    files that take more may have fewer pixels.

    Args:
        count: width times height

    Raises:
        ValueError: not at least 1

    >>> set_max_pixels(200_000_000)
    >>> set_max_pixels(MAX_PIXELS)
    """
    global _limit
    if count < 1:
        raise ValueError(f"Expected max_pixels to be at least 1 but got {count}")
    _limit = count


def get_max_pixels() -> int:
    """Tell how many pixels an image may have."""
    return _limit


# what PIL decodes in Python, a pixel at a time
_OWN = {"ppm": decode_pnm, "ppm_plain": decode_pnm, "bmp_rle": decode_runs}


class OpenImage:
    """An image whose header has been read and found to be within the limits.

    Args:
        image: of PIL, not decoded
        file: that it comes from
        size: width and height of the pixels as they are stored
        tags: of a TIFF
        late: EXIF may come after the pixels
    """

    def __init__(
        self,
        image: Image.Image,
        file: BinaryIO,
        size: tuple[int, int],
        tags: Directory | None = None,
        late: bool = False,
    ) -> None:
        self.image, self.file, self.size, self.tags, self.late = image, file, size, tags, late

    def orientation(self) -> int:
        """Tell EXIF's orientation, 1 to 8; 1 where there is none, or none that can be read."""
        if self.tags is not None:
            value = self.tags.number(ExifTags.Base.Orientation, 1)
            return value if 1 <= value <= 8 else 1
        return read_orientation(self.image)


@contextmanager
def image_errors() -> Iterator[None]:
    """Turn whatever a decoder raises into `ImageError`."""
    silence_decoders()
    try:
        yield
    except ImageError:
        raise
    except StructureError as error:
        raise ImageError(f"not a readable image ({error})") from error
    except FileNotFoundError as error:
        raise ImageError("no such file") from error
    except MemoryError as error:
        raise ImageError("not enough memory to decode it") from error
    except OSError as error:
        raise ImageError(error.strerror or str(error)) from error
    except Exception as error:  # decoders raise anything on a broken file
        raise ImageError(f"not a readable image ({str(error) or type(error).__name__})") from error


@contextmanager
def open_image(path: Path) -> Iterator[OpenImage]:
    """Open an image and read its header; to be used within `image_errors`.

    Raises:
        ImageError: missing, empty, no image, or over the limits
    """
    state = path.stat()
    if stat.S_ISDIR(state.st_mode):
        raise ImageError("a directory")
    if not stat.S_ISREG(state.st_mode):  # opening a pipe would wait for whoever fills it
        raise ImageError("no regular file")
    if state.st_size == 0:
        raise ImageError("the file is empty")
    with path.open("rb") as file:
        opened = _identify(file)
        try:
            yield opened
        finally:
            opened.image.fp = None  # type: ignore[attr-defined]


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
    if _fill_and_load(image, 165) and _fill_and_load(_identify(opened.file).image, 90):
        raise ImageError("truncated: its data does not fill the size in its header")
    return image


@contextmanager
def taking_turns(size: tuple[int, int]) -> Iterator[None]:
    """Let large images wait for each other, so that threads do not add up their memory."""
    if size[0] * size[1] < _LARGE:
        yield
    else:
        with _one_large:
            yield


def check_bytes(size: tuple[int, int], each: float) -> None:
    """Check that decoding fits into memory.

    Args:
        size: width and height
        each: bytes a pixel

    Raises:
        ImageError: it takes too much
    """
    if size[0] * size[1] * each > _limit * _BYTES:
        raise ImageError(
            f"{size[0]} x {size[1]} pixels of this kind take {size[0] * size[1] * each / 1e9:.1f} "
            f"GB to decode, of at most {_limit * _BYTES / 1e9:g}; --max-pixels raises both limits"
        )


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


def read_orientation(image: Image.Image) -> int:
    """Tell EXIF's orientation, 1 to 8; 1 where there is none, or none that can be read."""
    try:
        exif = image.info.get("exif")
        if exif is None and (text := image.info.get("Raw profile type exif")):
            exif = bytes.fromhex("".join(text.split("\n")[3:]))
        if isinstance(exif, bytes):
            Directory(BytesIO(exif.removeprefix(b"Exif\0\0")))
        # a PNG's own would decode it first
        tag = Image.Image.getexif(image).get(ExifTags.Base.Orientation)
    except Exception:  # EXIF may be broken where the picture is not
        return 1
    return tag if isinstance(tag, int) and 1 <= tag <= 8 else 1


def _identify(file: BinaryIO) -> OpenImage:
    file.seek(0)
    start = file.read(16)
    file.seek(0)
    for accepts, opens in _KINDS:
        if accepts(start):
            opened = opens(file)
            break
    else:
        other = "of a kind that is not read, such as HEIC or AVIF" if start[4:8] == b"ftyp" else ""
        raise ImageError(f"not an image{' ' if other else ''}{other}")
    return opened


def _check_pixels(size: tuple[int, int]) -> None:
    width, height = size
    if width < 1 or height < 1:
        raise ImageError("not an image (it has no pixels)")
    if width * height > _limit:
        raise ImageError(
            f"the image is too large: {width} x {height} pixels, of at most {_limit:,} "
            "(--max-pixels)"
        )


def _open_plain(kind: Callable[[Any], Any], each: float, file: BinaryIO) -> OpenImage:
    image = kind(file)
    _check_pixels(image.size)
    check_bytes(image.size, each + _weigh(image.mode))
    return OpenImage(image, file, image.size)


def _weigh(mode: str) -> int:
    """Tell how many bytes a pixel takes while it is decoded and becomes RGB."""
    width = _WIDTHS.get(mode, 4)
    if mode in ("I", "F"):  # they are gone through twice, which takes time too
        return 16
    return max(2 * width, width + 4)


def _open_bmp(file: BinaryIO) -> OpenImage:
    opened = _open_plain(BmpImagePlugin.BmpImageFile, 0, file)
    tiles: Any = opened.image.tile  # type: ignore[attr-defined]
    if tiles and tiles[0].codec_name == "bmp_rle" and file.seek(0, 2) > _MAX_RUNS:
        raise ImageError(f"a BMP of runs, of more than {_MAX_RUNS:,} bytes")  # seconds for each
    return opened


def _open_gif(file: BinaryIO) -> OpenImage:
    check_gif(file)
    file.seek(0)
    return _open_plain(GifImagePlugin.GifImageFile, 0, file)


def _open_png(file: BinaryIO) -> OpenImage:
    structure = scan_png(file)
    file.seek(0)
    opened = _open_plain(PngImagePlugin.PngImageFile, 0, file)
    opened.late = structure.late
    return opened


def _open_jpeg(file: BinaryIO) -> OpenImage:
    data = file.read()
    structure, exif = scan_jpeg(data)
    if exif:
        try:
            Directory(BytesIO(exif))
        except StructureError as error:
            if "more" in str(error) or "tags" in str(error):  # PIL reads them all at once
                raise
    image = JpegImagePlugin.JpegImageFile(BytesIO(data))
    _check_pixels(image.size)
    parts = [h * v for _, h, v, _ in image.layer] or [1]
    stored = 2 * sum(parts) / max(max(parts), 1) if structure.scans > 1 else 0
    check_bytes(image.size, max(_WIDTHS.get(image.mode, 4) + stored, _weigh(image.mode)))
    if image.width * image.height * structure.scans > _ROUNDS or structure.scans > 1000:
        raise ImageError(f"{structure.scans} scans are more than an honest JPEG's")
    return OpenImage(image, file, image.size)


def _open_tiff(file: BinaryIO) -> OpenImage:
    tags = Directory(file)
    size = tags.number(256), tags.number(257)
    _check_pixels(size)
    samples = tags.number(277, 1)
    if not 1 <= samples <= 64:
        raise ImageError(f"an unusual TIFF, of {samples} samples a pixel")
    if max(tags.count(273), tags.count(324)) > _MAX_STRIPS:
        raise ImageError(f"an unusual TIFF, of more than {_MAX_STRIPS} strips")
    if tags.repeated & _LAYOUT:
        raise ImageError("an unusual TIFF, whose layout is told twice")
    if tags.number(259) == 7:
        _check_jpeg_strip(tags, file, size)
    each = samples * max((*tags.values(258), 1)) / 8
    tile = tags.number(322), tags.number(323)
    if tile[0] * tile[1] > max(4 * size[0] * size[1], _LARGE):
        raise ImageError(f"an unusual TIFF, of tiles of {tile[0]} x {tile[1]} pixels")
    check_bytes(tile, each)
    check_bytes(size, each + 4)
    file.seek(0)
    try:
        image: Any = TiffImagePlugin.TiffImageFile(file)
    except Exception as error:  # it may be a kind that PIL does not know, such as planar 16-bit RGB
        return OpenImage(_UnknownTiff(error), file, size, tags)
    if image._tile_size != size:
        raise ImageError("an unusual TIFF, whose size is told twice")
    check_bytes(size, _weigh(image.mode))
    image._size = size  # turned by the caller, like all others
    image.load_end = _nothing  # turns, and reads all other directories
    return OpenImage(image, file, size, tags)


def _check_jpeg_strip(tags: Directory, file: BinaryIO, size: tuple[int, int]) -> None:
    """See to it that the JPEG in a TIFF has the rows that its strip should have."""
    file.seek(tags.number(324) or tags.number(273))
    frame = _FRAME.search(file.read(1 << 16))
    rows = tags.number(323) or min(tags.number(278, size[1]), size[1])
    if frame is None or int.from_bytes(frame[1], "big") < rows:
        raise ImageError("truncated: its data does not fill the size in its header")


def _nothing() -> None:
    """Do nothing."""


class _UnknownTiff(Image.Image):
    """A TIFF that PIL does not know, such as planar 16-bit RGB; loading it says why."""

    def __init__(self, reason: Exception) -> None:
        super().__init__()
        self.reason = reason

    def load(self) -> Any:
        raise ImageError(f"an unusual TIFF ({self.reason})") from self.reason


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
    if not isinstance(image, _UnknownTiff):
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


def _check_jpeg_filled(image: Image.Image, file: BinaryIO) -> None:
    """See to it that a JPEG does not end before its pixels do, which leaves the rest grey.

    Its first scan is decoded with something else behind it: had it all pixels, that would not show.
    """
    last = image.crop((image.width - 1, image.height - 1, image.width, image.height))
    values = np.append(np.asarray(last), np.asarray(last.convert("L")))
    if not ((values > 124) & (values < 131)).any():
        return
    file.seek(0)
    data = file.read()
    structure, _ = scan_jpeg(data)
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


def _begins(*starts: bytes) -> Callable[[bytes], bool]:
    return lambda content: content.startswith(starts)


_KINDS: tuple[tuple[Callable[[bytes], bool], Callable[[BinaryIO], OpenImage]], ...] = (
    (_begins(b"\xff\xd8\xff"), _open_jpeg),
    (_begins(b"\x89PNG\r\n\x1a\n"), _open_png),
    (_begins(b"GIF87a", b"GIF89a"), _open_gif),
    (_begins(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), _open_tiff),
    (_begins(b"BM"), _open_bmp),
    (
        lambda content: content[:4] == b"RIFF" and content[8:12] == b"WEBP",
        partial(_open_plain, WebPImagePlugin.WebPImageFile, 12),
    ),
    (
        lambda content: content[:1] == b"P" and content[1:2] in b"123456Ff",
        partial(_open_plain, PpmImagePlugin.PpmImageFile, 0),
    ),
)
