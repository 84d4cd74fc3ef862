"""Opening image files of strangers: what they ask for is checked before they are decoded.

A file is an image by its content, whatever it is called. Its width and height, and the memory that
decoding takes, are known from its header; what is over the limit is not decoded. An exception of
a decoder, whichever it is, is an `ImageError`.
"""

from __future__ import annotations

import re
import stat
from contextlib import contextmanager
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

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

from eval.file_structure import Directory, StructureError, check_gif, scan_jpeg, scan_png
from eval.image_errors import ImageError, limit_name
from eval.image_names import is_broken_link
from eval.quiet_decoders import silence_decoders

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import BinaryIO

MAX_PIXELS = 100_000_000
_BYTES = 10  # for each pixel of the limit: RGB as PIL has it, twice, and what a decoder needs
_LAYOUT = {256, 257, 258, 259, 277, 278, 284, 322, 323}  # tags of a TIFF that sizes follow from
_MAX_STRIPS = 65_536  # of a TIFF, or tiles
_MAX_RUNS = 8_000_000
LARGE = 1 << 24  # pixels; images of more are decoded one after the other
_FRAME = re.compile(rb"\xff[\xc0-\xc2]..\x08(..)", re.DOTALL)  # of a JPEG: its height
_ROUNDS = 3_000_000_000  # pixels times scans that a JPEG's decoder goes through in time
_WIDTHS = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2, "I;16N": 2}

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
    _lift_limit_of_pil()


def _lift_limit_of_pil() -> None:
    """Let PIL neither warn of nor refuse an image within the limit here, whatever is done to it."""
    if Image.MAX_IMAGE_PIXELS is not None and _limit > Image.MAX_IMAGE_PIXELS:
        Image.MAX_IMAGE_PIXELS = _limit


def get_max_pixels() -> int:
    """Tell how many pixels an image may have."""
    return _limit


class OpenImage:
    """An image whose header has been read and found to be within the limits.

    Args:
        image: of PIL, not decoded
        file: that it comes from
        size: width and height of the pixels as they are stored
        tags: of a TIFF
        late: EXIF may come after the pixels
        deep: a PNG or PNM of 16 bits a sample
    """

    def __init__(
        self,
        image: Image.Image,
        file: BinaryIO,
        size: tuple[int, int],
        tags: Directory | None = None,
    ) -> None:
        self.image, self.file, self.size, self.tags = image, file, size, tags
        self.late = self.deep = False

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
    _lift_limit_of_pil()
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
    try:
        state = path.stat()
    except OSError as error:
        if is_broken_link(path):
            raise ImageError("a link to nothing") from error
        raise
    if stat.S_ISDIR(state.st_mode):
        raise ImageError("a directory")
    if not stat.S_ISREG(state.st_mode):  # opening a pipe would wait for whoever fills it
        raise ImageError("no regular file")
    if state.st_size == 0:
        raise ImageError("the file is empty")
    with path.open("rb") as file:
        opened = identify(file)
        try:
            yield opened
        finally:
            opened.image.fp = None  # type: ignore[attr-defined]


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
            f"GB to decode, of at most {_limit * _BYTES / 1e9:g}; {limit_name()} raises both limits"
        )


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


def identify(file: BinaryIO) -> OpenImage:
    """Read the header of an open file.

    Raises:
        ImageError: no image, or over the limits
    """
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
            f"({limit_name()})"
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
    opened.late, opened.deep = structure.late, structure.depth == 16
    return opened


def _open_pnm(file: BinaryIO) -> OpenImage:
    opened = _open_plain(PpmImagePlugin.PpmImageFile, 0, file)
    tiles: Any = opened.image.tile  # type: ignore[attr-defined]
    file.seek(0)
    kind, *numbers = re.sub(rb"#[^\r\n]*", b" ", file.read(tiles[0].offset)).split()
    if kind[1:].isdigit() and not b"".join(numbers).isdigit():  # PIL takes more, such as 1_2
        raise ImageError("not a readable image (its size is no whole numbers)")
    opened.deep = kind in (b"P2", b"P3", b"P5", b"P6") and int(numbers[-1]) == 65535
    if kind in (b"P3", b"P6") and int(numbers[-1]) > 255:
        check_bytes(opened.size, 12)
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
    if tile[0] * tile[1] > max(4 * size[0] * size[1], LARGE):
        raise ImageError(f"an unusual TIFF, of tiles of {tile[0]} x {tile[1]} pixels")
    check_bytes(tile, each)
    check_bytes(size, each + 4)
    file.seek(0)
    try:
        image: Any = TiffImagePlugin.TiffImageFile(file)
    except Exception as error:  # it may be a kind that PIL does not know, such as planar 16-bit RGB
        return OpenImage(UnknownTiff(error), file, size, tags)
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


class UnknownTiff(Image.Image):
    """A TIFF that PIL does not know, such as planar 16-bit RGB; loading it says why."""

    def __init__(self, reason: Exception) -> None:
        super().__init__()
        self.reason = reason

    def load(self) -> Any:
        """Raise why it cannot be decoded."""
        raise ImageError(f"an unusual TIFF ({self.reason})") from self.reason


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
        _open_pnm,
    ),
)
