"""Files that runs write into a folder: each whole or not at all, and all of them on a list there.

The list is what a later run may remove: names relative to the folder, one JSON string a line, each
written down before its file appears.
"""

from __future__ import annotations

import json
import os
import shutil
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path, PurePosixPath
from threading import Lock
from typing import TYPE_CHECKING, Any, BinaryIO

from eval.written_files import LIST, read_list
from tdam.atomic import (
    AtomicFile,
    name_unfinished,
    naming,
    open_atomic,
    remove_unfinished,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

JOURNAL = ".wsol-predict"  # folder of what a prediction has found so far
KEPT = (LIST, JOURNAL)  # what a run keeps for itself: no results


class FileList:
    """The list of a folder.

    Args:
        folder: that exists, and that no other process works in
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._path = folder / LIST
        self._lock = Lock()

    def claim(self, name: str) -> None:
        """Write down that a file is about to be written.

        Args:
            name: relative to the folder, with forward slashes

        Raises:
            OSError: it cannot be written
        """
        line = (json.dumps(name) + "\n").encode()
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)
        with self._lock, naming(self._path):
            file = os.open(self._path, flags, 0o666)
            try:
                os.write(file, line)
            finally:
                os.close(file)

    def names(self) -> list[str]:
        """Read the names, sorted, each once; those that lead out of the folder are left out."""
        return sorted(read_list(self.folder) or ())

    def remove(self, keep: str | None = None) -> None:
        """Remove the files on the list, what killed runs left beside them, and emptied folders.

        A file that somebody put into the folder is not on the list and stays; no link is followed.

        Args:
            keep: name of a folder whose files stay, and stay on the list
        """
        names = self.names()
        paths = [(name, PurePosixPath(name)) for name in names]
        parents = {path if name.endswith("/") else path.parent for name, path in paths}
        folders = {PurePosixPath(), *(up for each in parents for up in (each, *each.parents))}
        real = {each for each in folders if self._is_real(each)}
        for each in real:
            remove_unfinished(self.folder / each)
        kept = []
        for name, path in paths:
            if keep is not None and path.parts[0] == keep:
                kept.append(name)
            elif path.parent in real:
                target = self.folder / path
                if target.is_symlink() or not target.is_dir():
                    target.unlink(missing_ok=True)
        for each in sorted(real - {PurePosixPath()}, key=lambda path: -len(path.parts)):
            if keep is None:
                (self.folder / each / LIST).unlink(missing_ok=True)  # of the same files
            with suppress(OSError):  # it holds something else
                (self.folder / each).rmdir()
        made = [name for name, path in paths if name.endswith("/") and self._is_real(path)]
        self._write(sorted({*kept, *made}))

    def missing(self) -> list[str]:
        """Name the files on the list that are not there."""
        return [name for name in self.names() if not os.path.lexists(self.folder / name)]

    def tidy(self) -> None:
        """Write the list anew, sorted and each name once, and remove unfinished files."""
        names = self.names()
        self._write(names)
        for parent in {PurePosixPath(), *(PurePosixPath(name).parent for name in names)}:
            if self._is_real(parent):
                remove_unfinished(self.folder / parent)

    def _write(self, names: list[str]) -> None:
        if not names:
            self._path.unlink(missing_ok=True)
            return
        with open_atomic(self._path, encoding="ascii") as file:
            file.writelines(json.dumps(name) + "\n" for name in names)

    def _is_real(self, folder: PurePosixPath) -> bool:
        """Tell whether a folder below this one is reached without a link."""
        ways = [self.folder / up for up in (folder, *folder.parents) if up != PurePosixPath()]
        return not any(way.is_symlink() for way in ways) and (self.folder / folder).is_dir()


_open: dict[str, FileList] = {}  # by absolute path of the folder


@contextmanager
def listing(folder: Path) -> Iterator[FileList]:
    """Keep the list of a folder: within the block, files written below it are on the list.

    Args:
        folder: as for `FileList`
    """
    home = os.path.abspath(folder)  # noqa: PTH100, without following links
    if home in _open:
        yield _open[home]
        return
    _open[home] = FileList(folder)
    try:
        yield _open[home]
    finally:
        files = _open.pop(home)
        with suppress(OSError):  # of a disk that is full or gone, where it stays as it is
            files.tidy()


def claim(path: Path) -> None:
    """Put a file on the lists of the folders that it lies in, where such are kept."""
    _claim(path)


def _claim(path: Path, end: str = "") -> None:
    full = Path(os.path.abspath(path))  # noqa: PTH100
    for folder in full.parents:
        if (files := _open.get(str(folder))) is not None:
            files.claim(full.relative_to(folder).as_posix() + end)


def make_folder(path: Path) -> None:
    """Make a folder, which is on the list too: it goes with its last file."""
    if not path.is_dir():
        _claim(path, "/")
        path.mkdir(parents=True, exist_ok=True)


def open_file(path: Path, *, sync: bool = True, **options: Any) -> AtomicFile:
    """Open a file that appears once it is committed, and is on the list.

    Args:
        path: as for `tdam.atomic.AtomicFile`, like the others
        sync: whether to wait for the disk
        options: for `open`

    Raises:
        OSError: it cannot be written, with its name
    """
    claim(path)
    return AtomicFile(path, sync=sync, **options)


@contextmanager
def writing_file(path: Path, *, sync: bool = True, **options: Any) -> Iterator[Any]:
    """Write a file that appears at the end of the block, and is on the list.

    Args:
        path: as for `tdam.atomic.open_atomic`, like the others
        sync: whether to wait for the disk
        options: for `open`

    Raises:
        OSError: it cannot be written, with its name; what was there is unchanged
    """
    claim(path)
    with open_atomic(path, sync=sync, **options) as file:
        yield file


def write_file(path: Path, content: bytes | str, *, sync: bool = True) -> None:
    """Write a file, which appears whole and is on the list.

    Args:
        path: of the file
        content: bytes, or text that becomes UTF-8
        sync: whether to wait for the disk

    Raises:
        OSError: it cannot be written, with its name; what was there is unchanged
    """
    data = content.encode() if isinstance(content, str) else content
    with writing_file(path, sync=sync, mode="wb") as file:
        file.write(data)


def write_named(path: Path, text: str) -> None:
    """Write a file that a person named: what a link leads to, and a device as it is.

    Args:
        path: of the file
        text: becomes UTF-8

    Raises:
        OSError: it cannot be written, with its name; what was there is unchanged
    """
    write_file(path.resolve() if path.is_file() else path, text)


def save_file(path: Path, save: Callable[[BinaryIO], object], *, sync: bool = False) -> None:
    """Write what a function saves into an open file, which appears whole and is on the list.

    Args:
        path: of the file
        save: writes it, such as a figure's `savefig`; the file is one in memory, since libraries
            say of a full disk what they like
        sync: whether to wait for the disk

    Raises:
        OSError: it cannot be written, with its name; what was there is unchanged
    """
    content = BytesIO()
    save(content)
    write_file(path, content.getvalue(), sync=sync)


def link_file(source: Path, path: Path, hard: bool = False) -> None:
    """Make a file a link to another one, or a copy of it where links are impossible.

    Args:
        source: of the link
        path: overwritten, unless it is the source already: then it is nobody's but its owner's
        hard: make it a second name of the same file where the disk can, for programs that follow no
            link out of a folder

    Raises:
        OSError: it cannot be written
    """
    if path.exists() and path.samefile(source):
        return
    claim(path)
    unfinished, target = name_unfinished(path), source.resolve()
    for link in (unfinished.hardlink_to, unfinished.symlink_to)[0 if hard else 1 :]:
        with suppress(OSError, NotImplementedError):
            link(target)
            unfinished.replace(path)
            return
        unfinished.unlink(missing_ok=True)
    with source.open("rb") as content, open_atomic(path, sync=False, mode="wb") as copy:
        shutil.copyfileobj(content, copy)
