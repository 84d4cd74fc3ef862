"""What a run has done so far, on disk: records of fixed size, so that a cut file can go on."""

from __future__ import annotations

import zlib
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from tdam.atomic import check_in_place, naming, write_atomic
from tdam.strict_json import dumps, loads
from wsol.out_files import claim

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

DATA, HEADER = "unfinished.bin", "unfinished.json"
_CHECK = 4  # bytes behind a record
ALL_SETTINGS = "unfinished-settings.json"  # of every pass of an unfinished run
SETTINGS = "settings.json"  # the header of a finished run, kept beside its results


class ResumeError(ValueError):
    """The folder holds an unfinished run with other settings."""


class ResumeFile:
    """Appends records, and gives back those of an earlier run that was cut off.

    Each is followed by a checksum of it and of its number, so that what a disk has lost or mixed up
    is no result.

    Args:
        folder: of the files; exists
        header: everything that the records depend on, in plain values; a run goes on only where it
            is the same
        dtype: of a record
        batch: records that belong together; a batch that is not whole is done again

    Raises:
        ResumeError: there are whole batches of a run with another header
    """

    def __init__(self, folder: Path, header: dict[str, Any], dtype: np.dtype, batch: int) -> None:
        self._folder = folder
        self._data, self._header = folder / DATA, folder / HEADER
        self._dtype = dtype
        text = write_header(header | {"record": str(dtype.descr)})
        for name in (DATA, HEADER, SETTINGS):
            claim(folder / name)
        self.done = 0
        if self._header.exists() and self._data.exists():
            before = self._header.read_bytes().decode("utf-8", "replace")
            if before == text:
                self.done = sum(1 for _ in self) // batch * batch
            elif self._data.stat().st_size:
                raise ResumeError(_refuse("an unfinished run", folder, before, text))
        write_atomic(self._header, text.encode())
        self._file = self._data.open("r+b" if self._data.exists() else "w+b")
        self._file.truncate(self.done * (dtype.itemsize + _CHECK))
        self._file.seek(0, 2)
        self._count = self.done

    def append(self, records: Iterable[np.ndarray]) -> None:
        """Write the records of a batch.

        Raises:
            OSError: the disk is full, or the folder is no longer where it was
        """
        with naming(self._data):
            for record in records:
                data = record.tobytes()
                self._file.write(data + _check(self._count, data))
                self._count += 1
            self._file.flush()
            check_in_place(self._file, self._data)

    def __iter__(self) -> Iterator[np.ndarray]:
        """Read the records one by one, up to the first that is not as it was written."""
        size, number = self._dtype.itemsize, 0
        with self._data.open("rb") as file:
            while chunk := file.read(size + _CHECK):
                data = chunk[:size]
                if chunk[size:] != _check(number, data):
                    return
                yield np.frombuffer(data, self._dtype)[0]
                number += 1

    def close(self) -> None:
        """Close the file; what it holds stays for the next run."""
        with suppress(OSError):  # what did not fit on the disk
            self._file.close()

    def finish(self) -> None:
        """Close, and keep the header alone, as what the results beside it depend on."""
        self.close()
        self._header.replace(self._folder / SETTINGS)
        self._data.unlink()

    def remove(self) -> None:
        """Close and delete."""
        self.close()
        for path in (self._data, self._header):
            path.unlink(missing_ok=True)


def _check(number: int, data: bytes) -> bytes:
    """Checksum of a record and its number."""
    return zlib.crc32(data, number).to_bytes(_CHECK, "little")


def is_unfinished(folder: Path) -> bool:
    """Tell whether a run in this folder was cut off."""
    return (folder / HEADER).is_file() or (folder / ALL_SETTINGS).is_file()


def is_complete(folder: Path) -> bool:
    """Tell whether all that a run scores in this folder is scored."""
    return (folder / SETTINGS).is_file()


def has_records(folder: Path) -> bool:
    """Tell whether a pass has left something in this folder to go on with."""
    data = folder / DATA
    return (folder / SETTINGS).is_file() or (data.is_file() and data.stat().st_size > 0)


def hold_settings(folder: Path, settings: dict[str, Any], goes_on: bool) -> None:
    """Write down what all passes of a run depend on, or hold it against what was written down.

    Args:
        folder: of the run; exists
        settings: of all passes, those that have not begun too, in plain values
        goes_on: whether a pass has left something to go on with

    Raises:
        ResumeError: they differ from those of the run that goes on
    """
    path, text = folder / ALL_SETTINGS, write_header(settings)
    if goes_on and path.is_file():  # runs of before it have those of the pass that had begun
        before = path.read_bytes().decode("utf-8", "replace")
        if before != text:
            raise ResumeError(_refuse("an unfinished run", folder, before, text))
    claim(path)
    write_atomic(path, text.encode())


def release_settings(folder: Path) -> None:
    """Remove what `hold_settings` wrote, once the run has ended."""
    (folder / ALL_SETTINGS).unlink(missing_ok=True)


def is_finished(folder: Path, header: dict[str, Any], dtype: np.dtype) -> bool:
    """Tell whether a run with these very settings ended in this folder."""
    path = folder / SETTINGS
    text = write_header(header | {"record": str(dtype.descr)})
    return path.is_file() and path.read_bytes() == text.encode()


def check_finished(folder: Path, header: dict[str, Any], dtype: np.dtype) -> None:
    """Refuse what a finished run left in a folder, unless it had these very settings.

    Raises:
        ResumeError: they differ
    """
    if not is_finished(folder, header, dtype):
        before = (folder / SETTINGS).read_bytes().decode("utf-8", "replace")
        text = write_header(header | {"record": str(dtype.descr)})
        raise ResumeError(_refuse("the run", folder, before, text))


def write_header(header: dict[str, Any]) -> str:
    """Write what records depend on, the same text for the same values."""
    return dumps(header, indent=1, sort_keys=True, default=str)


def _refuse(run: str, folder: Path, before: str, after: str) -> str:
    return (
        f"{folder}: expected to go on with {run} but its settings differ "
        f"({_differences(before, after)}); choose another folder, or begin anew with force"
    )


def _differences(old: str, new: str) -> str:
    """Name the entries in which two headers differ."""
    try:
        before = loads(old)
    except ValueError:
        before = None
    if not isinstance(before, dict):
        return "its header is broken"
    return ", ".join(_name_differing(before, loads(new)))


def _name_differing(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Name what differs, and of what describes another pass which of its entries."""
    names = []
    for name in sorted({*before, *after}):
        old, new = before.get(name), after.get(name)
        if old == new:
            continue
        passes = [each if isinstance(each, list) and each else [None] for each in (old, new)]
        inner = [
            key
            for one, other in zip(*passes, strict=False)
            if isinstance(one, dict) and isinstance(other, dict)
            for key in _name_differing(one, other)
        ]
        names.append(f"{name}: {' and '.join(dict.fromkeys(inner))}" if inner else name)
    return names
