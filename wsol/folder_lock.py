"""A folder that one process at a time works in."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOCK = ".lock"
WAIT = 10.0  # seconds; workers of a process that was killed hold its lock until they notice


class FolderHeldError(RuntimeError):
    """Another process works in the folder."""


@contextmanager
def hold_folder(folder: Path, patient: bool = False) -> Iterator[None]:
    """Keep other processes out of a folder; the system lets it go where this process dies.

    Args:
        folder: made if it is not there
        patient: whether to wait until the other process is done, however long that takes

    Raises:
        FolderHeldError: another process works in it
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=-1 if patient else WAIT)
    except Timeout:
        raise FolderHeldError(
            f"{folder}: another process works here; wait for it, or choose another folder"
        ) from None
    try:
        yield
    finally:
        with suppress(OSError):  # of a system that keeps open files
            (folder / LOCK).unlink(missing_ok=True)
        lock.release()
