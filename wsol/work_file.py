"""What a run has done so far, on disk: records of fixed size, so that a cut file can go on."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

DATA, HEADER = "unfinished.bin", "unfinished.json"


class WorkFileError(ValueError):
    """The folder holds an unfinished run with other settings."""


class WorkFile:
    """Appends records, and gives back those of an earlier run that was cut off.

    Args:
        folder: of the files; exists
        header: everything that the records depend on, in plain values; a run goes on only where it
            is the same
        dtype: of a record
        batch: records that belong together; a batch that is not whole is done again

    Raises:
        WorkFileError: the header differs
    """

    def __init__(self, folder: Path, header: dict[str, Any], dtype: np.dtype, batch: int) -> None:
        self._data, self._header = folder / DATA, folder / HEADER
        self._dtype = dtype
        text = json.dumps(header, indent=1, sort_keys=True)
        done = 0
        if self._header.exists():
            if self._header.read_text(encoding="utf-8") != text:
                raise WorkFileError(
                    f"{folder}: expected to go on with an unfinished run but its settings differ "
                    f"({_differences(self._header.read_text(encoding='utf-8'), text)})"
                )
            if self._data.exists():
                done = self._data.stat().st_size // dtype.itemsize // batch * batch
        else:
            self._header.write_text(text, encoding="utf-8")
        self.done = done
        self._file = self._data.open("r+b" if self._data.exists() else "w+b")
        self._file.truncate(done * dtype.itemsize)
        self._file.seek(0, 2)

    def append(self, records: Iterable[np.ndarray]) -> None:
        """Write the records of a batch."""
        self._file.writelines(record.tobytes() for record in records)
        self._file.flush()

    def __iter__(self) -> Iterator[np.ndarray]:
        """Read all records, one by one."""
        with self._data.open("rb") as file:
            while chunk := file.read(self._dtype.itemsize):
                yield np.frombuffer(chunk, self._dtype)[0]

    def close(self) -> None:
        """Close the file; what it holds stays for the next run."""
        self._file.close()

    def remove(self) -> None:
        """Close and delete, once nothing needs the records any more."""
        self.close()
        self._data.unlink()
        self._header.unlink()


def is_unfinished(folder: Path) -> bool:
    """Tell whether a run in this folder was cut off."""
    return (folder / HEADER).is_file()


def discard(folder: Path) -> None:
    """Delete what an unfinished run left."""
    for name in (DATA, HEADER):
        (folder / name).unlink(missing_ok=True)


def _differences(old: str, new: str) -> str:
    """Name the entries in which two headers differ."""
    before, after = json.loads(old), json.loads(new)
    names = sorted({*before, *after})
    return ", ".join(name for name in names if before.get(name) != after.get(name))
