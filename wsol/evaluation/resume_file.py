"""What a run has done so far, on disk: records of fixed size, so that a cut file can go on."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from tdam.atomic import naming, write_atomic
from wsol.out_files import claim

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

DATA, HEADER = "unfinished.bin", "unfinished.json"
SETTINGS = "settings.json"  # the header of a finished run, kept beside its results


class ResumeError(ValueError):
    """The folder holds an unfinished run with other settings."""


class ResumeFile:
    """Appends records, and gives back those of an earlier run that was cut off.

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
        text = _write(header | {"record": str(dtype.descr)})
        for name in (DATA, HEADER, SETTINGS):
            claim(folder / name)
        self.done = 0
        if self._header.exists() and self._data.exists():
            before = self._header.read_bytes().decode("utf-8", "replace")
            if before == text:
                self.done = self._data.stat().st_size // dtype.itemsize // batch * batch
            elif self._data.stat().st_size:
                raise ResumeError(
                    f"{folder}: expected to go on with an unfinished run but its settings differ "
                    f"({_differences(before, text)})"
                )
        write_atomic(self._header, text.encode())
        self._file = self._data.open("r+b" if self._data.exists() else "w+b")
        self._file.truncate(self.done * dtype.itemsize)
        self._file.seek(0, 2)

    def append(self, records: Iterable[np.ndarray]) -> None:
        """Write the records of a batch."""
        with naming(self._data):
            self._file.writelines(record.tobytes() for record in records)
            self._file.flush()

    def __iter__(self) -> Iterator[np.ndarray]:
        """Read all records, one by one."""
        with self._data.open("rb") as file:
            while chunk := file.read(self._dtype.itemsize):
                yield np.frombuffer(chunk, self._dtype)[0]

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


def is_unfinished(folder: Path) -> bool:
    """Tell whether a run in this folder was cut off."""
    return (folder / HEADER).is_file()


def is_finished(folder: Path, header: dict[str, Any], dtype: np.dtype) -> bool:
    """Tell whether a run with these very settings ended in this folder."""
    path = folder / SETTINGS
    text = _write(header | {"record": str(dtype.descr)})
    return path.is_file() and path.read_bytes() == text.encode()


def _write(header: dict[str, Any]) -> str:
    return json.dumps(header, indent=1, sort_keys=True, default=str)


def _differences(old: str, new: str) -> str:
    """Name the entries in which two headers differ."""
    try:
        before = json.loads(old)
    except (ValueError, RecursionError):
        before = None
    if not isinstance(before, dict):
        return "its header is broken"
    after = json.loads(new)
    names = sorted({*before, *after})
    return ", ".join(name for name in names if before.get(name) != after.get(name))
