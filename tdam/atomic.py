"""Files that appear whole: a run that is killed, or a disk that is full, leaves old or new."""

from __future__ import annotations

import errno
import os
import re
import secrets
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_UNFINISHED = re.compile(r"\.unfinished-[0-9a-f]{16}")


class AtomicFile:
    """A file to write that stands under its name once it is whole, and not before.

    What is written goes to a file beside it whose name no other process has; into a device or a
    pipe, which cannot be replaced, it goes at once.

    Args:
        path: what it replaces once it is committed
        sync: wait until it is on the disk, so that it also outlives a power cut; files that can be
            made again do without, which is much faster for many of them
        options: for `open`; text by default

    Raises:
        OSError: it cannot be written; what was there is unchanged
    """

    def __init__(self, path: Path, *, sync: bool = True, **options: Any) -> None:
        self.path, self._sync = path, sync
        with naming(path):
            self._direct = path.exists() and not path.is_file() and not path.is_dir()
        self._unfinished = path if self._direct else name_unfinished(path)
        with naming(path):
            self.file: IO[Any] = self._unfinished.open(**{"mode": "w", **options})

    def commit(self) -> None:
        """Put the file in its place; it is closed."""
        if self.file.closed:
            return
        try:
            with naming(self.path):
                self.file.flush()
                if self._sync and not self._direct:
                    os.fsync(self.file.fileno())
                self.file.close()
                if not self._direct:
                    self._unfinished.replace(self.path)
        except BaseException:
            self.discard()
            raise

    def discard(self) -> None:
        """Leave what was there as it is; nothing remains of what was written."""
        with suppress(OSError, ValueError):  # what it still holds may not fit on the disk
            self.file.close()
        if not self._direct:
            with suppress(OSError):
                self._unfinished.unlink(missing_ok=True)


@contextmanager
def open_atomic(path: Path, *, sync: bool = True, **options: Any) -> Iterator[IO[Any]]:
    """Write a file that appears at the end of the block, unless an error ends it.

    Args:
        path: as for `AtomicFile`, like the others
        sync: whether to wait for the disk
        options: for `open`

    Raises:
        OSError: it cannot be written, with its name; what was there is unchanged
    """
    unfinished = AtomicFile(path, sync=sync, **options)
    try:
        with naming(path):
            yield unfinished.file
        unfinished.commit()
    except BaseException:
        unfinished.discard()
        raise


def write_atomic(path: Path, content: bytes, *, sync: bool = True) -> None:
    """Replace a file once the new one is whole, so that a kill leaves old or new.

    Args:
        path: as for `AtomicFile`, like `sync`
        content: of the new file
        sync: whether to wait for the disk

    Raises:
        OSError: it cannot be written, with its name; what was there is unchanged
    """
    with open_atomic(path, sync=sync, mode="wb") as file:
        file.write(content)


def name_unfinished(path: Path) -> Path:
    """Choose a name beside a file that no other process has, which `remove_unfinished` knows."""
    return path.with_name(f".unfinished-{secrets.token_hex(8)}")


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Give an OSError that does not say so the name of the file that it is about."""
    try:
        yield
    except OSError as error:
        name = error.filename
        hidden = isinstance(name, str) and _UNFINISHED.fullmatch(os.path.basename(name))  # noqa: PTH119
        if name is not None and not hidden:
            raise
        reason = error.strerror or str(error)
        raise OSError(error.errno or 0, reason, str(path)) from error


def check_in_place(file: IO[Any], path: Path) -> None:
    """See that what is written to an open file still goes to the file of that name.

    A disk that was taken away, or a folder that was moved, else takes results on that nobody finds
    again.

    Args:
        file: open
        path: where it was opened

    Raises:
        FileNotFoundError: another file, or none, is there now
    """
    try:
        same = os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        same = False
    if not same:
        raise FileNotFoundError(
            errno.ENOENT, "was moved or removed while it was written", str(path)
        )


def remove_unfinished(folder: Path) -> None:
    """Remove what killed runs left of files in a folder; no other process may write there."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if _UNFINISHED.fullmatch(entry.name):
                with suppress(OSError):
                    os.unlink(entry.path)  # noqa: PTH108
