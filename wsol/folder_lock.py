"""A folder or file that one process at a time writes, and who it is."""

from __future__ import annotations

import inspect
import os
import platform
import shlex
import sys
import threading
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from filelock import FileLock, Timeout

from wsol.errors import OutputError, about, is_disk_fault
from wsol.out_files import KEPT, listing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LOCK = ".lock"  # its text says who holds it; one that a killed process left holds nothing
WAIT = 10.0  # seconds; workers of a process that was killed hold its lock until they notice
_SHOWN = 200  # characters of a command

P = ParamSpec("P")
R = TypeVar("R")

_held: set[tuple[str, int, int]] = set()  # path, process and thread of every lock that is held here


class FolderHeldError(RuntimeError):
    """Another process works in the folder, or writes the file."""


@contextmanager
def hold_folder(
    folder: Path, patient: bool = False, tell: Callable[[str], object] | None = None
) -> Iterator[None]:
    """Keep other processes out of a folder; the system lets it go where this process dies.

    What holds a folder may hold it again. What is written there meanwhile is on the folder's list,
    as `wsol.out_files` keeps it. A folder that is made for it and stays empty is removed.

    Args:
        folder: made if it is not there
        patient: whether to wait until the other process is done, however long that takes
        tell: is told once that there is somebody to wait for

    Raises:
        FolderHeldError: another process works in it; the message says which
        wsol.errors.OutputError: it cannot be made or written, or its file system has no locks
    """
    made = [each for each in (folder, *folder.parents) if not os.path.exists(each)]  # noqa: PTH110
    try:
        with _hold(folder / LOCK, folder, patient, tell), listing(folder):
            yield
    finally:
        with suppress(OSError):  # there is something in it
            for each in made:
                each.rmdir()


@contextmanager
def hold_file(
    path: Path, patient: bool = False, tell: Callable[[str], object] | None = None
) -> Iterator[None]:
    """Keep other processes from writing a file, or from replacing a folder as a whole.

    Args:
        path: of it; need not exist
        patient: as for `hold_folder`, like the next one
        tell: is told once that there is somebody to wait for

    Raises:
        FolderHeldError: another process writes it
        wsol.errors.OutputError: its folder cannot be written
    """
    with _hold(path.with_name(f".{path.name}{LOCK}"), path, patient, tell):
        yield


@contextmanager
def holding(**folders: str | Path | None) -> Iterator[None]:
    """Hold the folders that a public function writes.

    Args:
        folders: by the argument's name; None where there is none

    Raises:
        FolderHeldError: as `hold_folder`
        wsol.errors.ArgumentError: a folder that cannot be written
    """
    with ExitStack() as stack:
        for argument, folder in folders.items():
            if folder is not None:
                with about(argument):
                    stack.enter_context(hold_folder(Path(folder)))
        yield


def holds(*names: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let a function hold the folders that some of its arguments name, from its start to its end.

    Args:
        names: of the arguments, each a folder, or None for no folder
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)

        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            given = signature.bind(*args, **kwargs)
            given.apply_defaults()
            with holding(**{name: given.arguments[name] for name in names}):
                return function(*args, **kwargs)

        return call

    return decorate


def has_files(folder: Path) -> bool:
    """Tell whether a folder holds anything but what a run keeps for itself.

    A folder in it that is held, as that of a report may be, and has nothing else, is no such thing.
    """
    own = (LOCK, *KEPT)
    return folder.is_dir() and any(
        path.name not in own and not _is_held_alone(path) for path in folder.iterdir()
    )


def _is_held_alone(path: Path) -> bool:
    held = path.is_dir() and not path.is_symlink() and any(path.iterdir())
    return held and not has_files(path)


@contextmanager
def _hold(
    lock: Path, what: Path, patient: bool, tell: Callable[[str], object] | None
) -> Iterator[None]:
    key = (os.path.realpath(lock), os.getpid(), threading.get_ident())
    if key in _held:
        yield
        return
    held = _acquire(lock, what, patient, tell)
    _held.add(key)
    try:
        with suppress(OSError):  # of a system that keeps others from the file
            lock.write_text(_describe_self(), encoding="utf-8", errors="surrogateescape")
        yield
    finally:
        _held.discard(key)
        with suppress(OSError):  # of a system that keeps open files
            lock.unlink(missing_ok=True)
        held.release()


def _acquire(
    lock: Path, what: Path, patient: bool, tell: Callable[[str], object] | None
) -> FileLock:
    held = FileLock(lock, fallback_to_soft=False)
    for left in (2, 1, 0):  # who was waited for may have removed the folder
        _make(lock.parent)
        try:
            TemporaryFile(dir=lock.parent).close()  # else a lock would be waited for in vain
            _wait(held, what, patient, tell)
        except Timeout:
            raise FolderHeldError(
                f"{what}: {_describe_other(lock)}; wait for it, or choose another folder"
            ) from None
        except (OSError, NotImplementedError) as error:
            if not (left and isinstance(error, FileNotFoundError)):
                if isinstance(error, OSError) and is_disk_fault(error):
                    raise OSError(error.errno, error.strerror, str(what)) from error
                reason = getattr(error, "strerror", None) or str(error)
                raise OutputError(f"{what} cannot be written or locked ({reason})") from error
        else:
            break
    return held


def _wait(held: FileLock, what: Path, patient: bool, tell: Callable[[str], object] | None) -> None:
    try:
        held.acquire(timeout=WAIT)
    except Timeout:
        if not patient:
            raise
        if tell is not None:
            tell(f"{what}: waiting, since {_describe_other(Path(held.lock_file))}")
        held.acquire(timeout=-1)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if is_disk_fault(error):
            raise
        raise OutputError(f"{folder} cannot be a folder ({error.strerror})") from error


def _describe_self() -> str:
    program = Path(sys.argv[0] or sys.executable)
    name = program.parent.name if program.name == "__main__.py" else program.name
    command = shlex.join([name, *sys.argv[1:]])
    if len(command) > _SHOWN:
        command = f"{command[:_SHOWN]}..."
    since = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return f"process {os.getpid()} on {platform.node()} since {since}: {command}\n"


def _describe_other(lock: Path) -> str:
    """Say who holds a lock, as far as its file tells."""
    with suppress(OSError):
        text = lock.read_bytes()[:1000].decode("utf-8", "surrogateescape")
        if text.startswith("process "):
            return f"another process works here ({' '.join(text.split())})"
    return "another process works here"
