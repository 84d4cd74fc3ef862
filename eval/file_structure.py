"""What the structure of an image file asks of its reader, told without decoding anything."""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from typing import BinaryIO

# Far more than any camera or program writes, and few enough to be read in a moment.
_MAX_PARTS = 50_000
_MAX_ENTRIES = 4096
_MAX_VALUES = 1 << 26  # bytes of all values of a directory together
_MAX_JUNK = 1 << 16
_MARKER = re.compile(rb"\xff+([^\x00\xff])")
_BARE = {0x01, *range(0xD0, 0xDA)}  # markers without a length

# bytes a value by TIFF's number of its type
_TYPES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4,
          16: 8, 17: 8, 18: 8}  # fmt: skip
_FORMATS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 11: "f", 12: "d", 13: "I",
            16: "Q", 17: "q", 18: "Q"}  # fmt: skip


class StructureError(ValueError):
    """A file whose structure no honest program writes."""


class _Entry(NamedTuple):
    """One entry of a directory: number of the type, number of values, where they begin."""

    kind: int
    number: int
    offset: int


class Directory:
    """The first directory of a TIFF file or of EXIF: tags by their numbers.

    Args:
        file: that holds it, from its first byte on

    Attributes:
        order: `<` or `>`, of its bytes
        file_size: bytes
        repeated: tags that come twice, of which readers choose differently

    Raises:
        StructureError: no directory, or one whose values are too many to read them
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.file_size = file.seek(0, 2)
        file.seek(0)
        head = file.read(16)
        if head[:4] not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
            raise StructureError("no TIFF header")
        self.order = "<" if head[:2] == b"II" else ">"
        big = head[2:4] in (b"+\0", b"\0+")
        self._entries: dict[int, _Entry] = {}
        self.repeated: set[int] = set()
        try:
            start = self._unpack("Q", head[8:16]) if big else self._unpack("I", head[4:8])
            self._read_entries(start, big)
        except (struct.error, OverflowError, OSError) as error:
            raise StructureError("no TIFF directory where the header has it") from error

    def _unpack(self, form: str, content: bytes) -> int:
        return int(struct.unpack(self.order + form, content)[0])

    def _read_entries(self, start: int, big: bool) -> None:
        file, width = self._file, 20 if big else 12
        file.seek(start)
        count = self._unpack("Q", file.read(8)) if big else self._unpack("H", file.read(2))
        if count > _MAX_ENTRIES:
            raise StructureError(f"{count} tags, of at most {_MAX_ENTRIES}")
        first, content = file.tell(), file.read(count * width)
        form, inside = (("HHQ", 8), ("HHI", 4))[not big]
        total = 0
        for index in range(len(content) // width):
            entry = content[index * width : (index + 1) * width]
            tag, kind, values = struct.unpack(self.order + form, entry[: width - inside])
            size = _TYPES.get(kind, 1) * values
            offset = first + (index + 1) * width - inside
            if size > inside:
                offset = self._unpack("Q" if big else "I", entry[-inside:])
                total += min(size, max(self.file_size - offset, 0))
            if kind in _TYPES:
                if tag in self._entries:
                    self.repeated.add(tag)
                self._entries[tag] = _Entry(kind, values, offset)
        if total > _MAX_VALUES:
            raise StructureError("its tags have more values than an honest file's")

    def __contains__(self, tag: int) -> bool:
        return tag in self._entries

    def count(self, tag: int) -> int:
        """Tell how many values a tag has; 0 where it is missing."""
        return self._entries[tag].number if tag in self._entries else 0

    def values(self, tag: int) -> tuple[float, ...]:
        """Give the values of a tag of numbers; none where it is missing, of text, or cut off."""
        entry = self._entries.get(tag)
        if entry is None or entry.kind not in _FORMATS or entry.number > self.file_size:
            return ()
        before = self._file.tell()  # others read the same file
        self._file.seek(entry.offset)
        content = self._file.read(entry.number * _TYPES[entry.kind])
        self._file.seek(before)
        if len(content) < entry.number * _TYPES[entry.kind]:
            return ()
        return struct.unpack(f"{self.order}{entry.number}{_FORMATS[entry.kind]}", content)

    def number(self, tag: int, default: int = 0) -> int:
        """Give the first value of a tag as an integer."""
        first = next(iter(self.values(tag)), default)
        return int(first) if first == first and abs(first) < 2**63 else default  # no NaN


class JpegStructure(NamedTuple):
    """What a JPEG asks for.

    Args:
        data_start: where the first scan begins
        scans: how often its pixels are gone through
    """

    data_start: int
    scans: int


def scan_jpeg(data: bytes) -> tuple[JpegStructure, bytes]:
    """Walk the segments of a JPEG up to its pixels.

    Returns:
        the structure, and its EXIF (without `Exif`), empty where it has none

    Raises:
        StructureError: more segments, or more of what belongs to none, than can be walked quickly
    """
    position, exif = 2, b""
    for _ in range(_MAX_PARTS):
        match = _MARKER.search(data, position)
        if match is None or match.end() - position > _MAX_JUNK:
            raise StructureError("no pixels in it")
        marker, position = match[1][0], match.end()
        if marker == 0xDA:
            scans = 1 + data.count(b"\xff\xda", position)
            return JpegStructure(position - 2, scans), exif
        if marker in _BARE:
            continue
        length = int.from_bytes(data[position : position + 2], "big")
        if marker == 0xE1 and data[position + 2 : position + 8] == b"Exif\0\0":
            exif += data[position + 8 : position + length]
        position += length
    raise StructureError(f"more than {_MAX_PARTS} segments")


_SCAN_END = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


def has_all_scans(data: bytes, start: int, components: list[int]) -> bool:
    """Tell whether a JPEG's scans give every bit of every coefficient of all its components.

    One that is cut between two scans, and closed by an end marker, is whole to a decoder, but
    blurred, or without colours.

    Args:
        data: of the file
        start: of the first scan
        components: their ids
    """
    missing = {(component, index) for component in components for index in range(64)}
    for _ in range(_MAX_PARTS):
        marker, length = data[start + 1], int.from_bytes(data[start + 2 : start + 4], "big")
        if marker == 0xD9:
            break
        if marker == 0xDA and len(data) >= start + 2 + length > start + 6:
            count = data[start + 4]
            first, last, bits = data[start + 5 + 2 * count : start + 8 + 2 * count]
            if bits & 15 == 0:
                ids = data[start + 5 : start + 5 + 2 * count : 2]
                missing -= {(each, index) for each in ids for index in range(first, last + 1)}
        following = _SCAN_END.search(data, start + 2 + length)
        if following is None or not missing:
            break
        start = following.start()
    return not missing


class PngStructure(NamedTuple):
    """What a PNG holds.

    Args:
        depth: bits a sample
        late: whether text or EXIF may come after the pixels
    """

    depth: int
    late: bool


def scan_png(file: BinaryIO) -> PngStructure:
    """Walk the chunks of a PNG.

    Raises:
        StructureError: more chunks than can be walked quickly
    """
    file.seek(0)
    depth, late, pixels = file.read(26)[24:25], False, False
    file.seek(8)
    for _ in range(_MAX_PARTS):
        head = file.read(8)
        if len(head) < 8 or head[4:] == b"IEND":
            return PngStructure(int.from_bytes(depth, "big"), late)
        pixels |= head[4:] == b"IDAT"
        late |= pixels and head[4:] in (b"eXIf", b"tEXt", b"zTXt", b"iTXt")
        file.seek(int.from_bytes(head[:4], "big") + 4, 1)
    raise StructureError(f"more than {_MAX_PARTS} chunks")


def check_gif(file: BinaryIO) -> None:
    """Walk the blocks of a GIF up to its first frame.

    Raises:
        StructureError: more blocks than can be walked quickly
    """
    file.seek(10)
    flags = file.read(3)[:1]
    if flags and flags[0] & 0x80:
        file.seek(3 << ((flags[0] & 7) + 1), 1)
    for _ in range(_MAX_PARTS // 10):  # its reader's time grows with their square
        start = file.read(1)
        if start == b"!":
            file.seek(1, 1)
        elif start in (b",", b";", b""):
            return
        else:
            continue  # what belongs to no block
        for _ in range(_MAX_PARTS // 10):
            length = file.read(1)
            if length in (b"\0", b""):
                break
            file.seek(length[0], 1)
        else:
            break
    raise StructureError("more blocks before the first frame than an honest file's")
