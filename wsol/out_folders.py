"""Where results may go: files and folders that are free, apart from the photographs."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class OutputError(ValueError):
    """A file or folder that results cannot go to; the message names it."""


@contextmanager
def writing(path: Path, what: str = "written") -> Iterator[None]:
    """Turn what the system has against an output into an `OutputError`.

    Args:
        path: of the output
        what: the system would not let it be

    Raises:
        OutputError: the system refuses
    """
    try:
        yield
    except OSError as error:
        raise OutputError(f"{path} cannot be {what} ({error.strerror})") from error


def free_folder(folder: Path, force: bool = False) -> Path:
    """Create an output folder.

    Args:
        folder: may exist, but then without files
        force: it may have files, which later ones replace

    Returns:
        the folder

    Raises:
        OutputError: it has files, or takes none
    """
    with writing(folder):
        if folder.is_dir() and any(folder.iterdir()) and not force:
            raise OutputError(f"{folder} exists; choose another folder or add --force")
        with writing(folder, "a folder"):
            folder.mkdir(parents=True, exist_ok=True)
        TemporaryFile(dir=folder).close()
    return folder


def free_file(path: Path, force: bool = False) -> Path:
    """Check that an output file can be written, and create its folder.

    Args:
        path: of the file
        force: it may exist

    Returns:
        the path

    Raises:
        OutputError: it exists, or cannot be written
    """
    with writing(path):
        exists = path.exists()
        if path.is_dir() or (exists and not force):
            raise OutputError(f"{path} exists; choose another file or add --force")
        with writing(path.parent, "a folder"):
            path.parent.mkdir(parents=True, exist_ok=True)
        path.open("ab").close()
        if not exists:
            path.resolve().unlink()  # of a link that leads nowhere yet, what it leads to
    return path


def keep_apart(images: Sequence[Path], folder: Path) -> tuple[list[Path], int]:
    """Leave out images that lie in an output folder, which an earlier run wrote.

    Args:
        images: that were found
        folder: that results will go to

    Returns:
        the images elsewhere, and how many were left out

    Raises:
        OutputError: all lie there; then the folder is that of the photographs, and pictures or
            links of the same names would take their places
    """
    home = os.path.abspath(folder)  # noqa: PTH100, without following links
    kept = [path for path in images if not Path(os.path.abspath(path)).is_relative_to(home)]  # noqa: PTH100
    if not kept:
        raise OutputError(f"{folder} holds the images themselves; choose a folder apart from them")
    return kept, len(images) - len(kept)
