"""A record's zip file, which may come from a stranger: opened and unpacked within limits."""

from __future__ import annotations

import lzma
import struct
import zipfile
import zlib
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from wsol.evaluation.comparison import ResultError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# A thousand runs of fifty thousand images stay within these.
MAX_ENTRIES = 20_000
MAX_ENTRY = 256 * 2**20  # bytes of one file, unpacked
MAX_TOTAL = 8 * 2**30  # bytes of all of them
MAX_RATIO = 100  # bytes out of one; what became of images packs to a fifteenth
_SMALL = 2**16  # bytes that any ratio may give
_DIRECTORY = 8 * 2**20  # bytes of the list of entries
_END, _END64 = b"PK\x05\x06", b"PK\x06\x07"
_PIECE = 2**20
_FAULTS = (
    zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError,
    OSError, RuntimeError, ValueError, IndexError, OverflowError,
)  # fmt: skip


@contextmanager
def open_record(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a record, once its list of entries is known to keep the limits.

    Args:
        path: of the file

    Raises:
        ResultError: the file is no record, or one that passes a limit or leaves its folder
    """
    try:
        _check_directory(path)
        file = zipfile.ZipFile(path)
    except _FAULTS as error:
        raise ResultError(f"{path}: expected a record of an experiment but {error}") from error
    with file:
        fault = _find_fault(file.infolist())
        if fault is not None:
            raise ResultError(f"{path}: expected a record of an experiment but {fault}")
        yield file


def _check_directory(path: Path) -> None:
    """Refuse a list of entries that would not fit into memory, before it is read."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(size - 2**16 - 42, 0))
        tail = file.read()
    at = tail.rfind(_END)
    if at < 0 or len(tail) < at + 22:
        return  # no zip, as opening it will say
    length = int.from_bytes(tail[at + 12 : at + 16], "little")
    if length > _DIRECTORY or _END64 in tail[max(at - 20, 0) : at]:
        raise ValueError(f"its list of entries is longer than {_DIRECTORY} bytes")


def _find_fault(entries: list[zipfile.ZipInfo]) -> str | None:
    """Tell what is wrong with a list of entries, or None."""
    names = [entry.filename for entry in entries]
    if len(names) > MAX_ENTRIES:
        return f"it has {len(names)} entries, more than {MAX_ENTRIES}"
    if len(set(names)) < len(names):
        return "it has two entries of one name"
    total = sum(entry.file_size for entry in entries)
    if total > MAX_TOTAL:
        return f"it unpacks to {total} bytes, more than {MAX_TOTAL}"
    for entry in entries:
        parts = PurePosixPath(entry.filename).parts
        if not parts or parts[0] == "/" or ".." in parts or "\\" in entry.filename:
            return f"its entry {entry.filename!r} would leave the folder"
        if entry.file_size > MAX_ENTRY:
            return f"its entry {entry.filename!r} unpacks to more than {MAX_ENTRY} bytes"
        if entry.file_size > MAX_RATIO * entry.compress_size + _SMALL:
            return f"its entry {entry.filename!r} unpacks to more than {MAX_RATIO} times its size"
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            return f"its entry {entry.filename!r} is packed in a way that records are not"
    return None


def copy_entry(file: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path) -> None:
    """Unpack one entry in pieces, and never more than it declares.

    Args:
        file: an open record
        entry: of it
        target: file to write

    Raises:
        ResultError: the entry is damaged, or longer than it says
    """
    left = entry.file_size
    try:
        with file.open(entry) as source, target.open("wb") as copy:
            while piece := source.read(min(_PIECE, left + 1)):
                left -= len(piece)
                if left < 0:
                    raise ResultError(f"{entry.filename} is longer than it says")
                copy.write(piece)
    except ResultError:
        raise
    except (*_FAULTS, NotImplementedError) as error:
        raise ResultError(f"{entry.filename}: {error}") from error
    if left:
        raise ResultError(f"{entry.filename} is shorter than it says")
