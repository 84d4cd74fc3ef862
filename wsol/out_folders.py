"""Where results may go: files and folders that are free, or an error that says why they are not."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

from tdam.atomic import naming
from wsol.errors import OutputError, is_disk_fault
from wsol.folder_lock import has_files
from wsol.out_files import FileList

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@contextmanager
def writing(path: Path, what: str = "written") -> Iterator[None]:
    """Turn what the system has against an output into an error that names it.

    Args:
        path: of the output
        what: the system would not let it be

    Raises:
        OutputError: an OSError within the block that another path would not have
        OSError: any other one, such as that of a disk which is full or gone
    """
    try:
        with naming(path):
            yield
    except OSError as error:
        if is_disk_fault(error):
            raise
        raise OutputError(f"{path} cannot be {what} ({error.strerror})") from error


def free_folder(folder: Path, force: bool = False, begun: bool = False) -> Path:
    """Make a folder for results.

    Args:
        folder: created where it does not exist
        force: begin anew where it holds files: what earlier runs wrote there, as their list says,
            is removed, and the files of others stay
        begun: it holds a run that goes on, whose files stay

    Raises:
        OutputError: it has files, or takes none
    """
    with writing(folder):
        if has_files(folder) and not (force or begun):
            raise OutputError(f"{folder} exists; choose another folder or add --force (force=True)")
        with writing(folder, "a folder"):
            folder.mkdir(parents=True, exist_ok=True)
        TemporaryFile(dir=folder).close()
        if not begun:
            FileList(folder).remove()
    return folder


def free_file(path: Path, force: bool = False) -> Path:
    """See to it that a file can be written; nothing is left of the try.

    Args:
        path: of the file, whose folder is made
        force: whether it may exist already

    Raises:
        OutputError: it exists, or cannot be written
    """
    with writing(path):
        exists = path.exists()
        if path.is_dir() or (exists and not force):
            raise OutputError(f"{path} exists; choose another file or add --force (force=True)")
        with writing(path.parent, "a folder"):
            path.parent.mkdir(parents=True, exist_ok=True)
        path.open("ab").close()
        if not exists:
            path.resolve().unlink()  # of a link that leads nowhere yet, what it leads to
    return path


def keep_apart(images: Sequence[Path], folder: Path) -> tuple[list[Path], int]:
    """Leave out images that lie in an output folder, which an earlier run wrote.

    Args:
        images: to choose among
        folder: for the output

    Returns:
        the others, and how many were left out

    Raises:
        OutputError: all lie there: it is the folder of the photographs, and pictures or links of
            the same names would replace them
    """
    home = os.path.abspath(folder)  # noqa: PTH100, without following links
    apart = [path for path in images if not Path(os.path.abspath(path)).is_relative_to(home)]  # noqa: PTH100
    if images and not apart:
        raise OutputError(f"{folder} holds the images themselves; choose a folder apart from them")
    return apart, len(images) - len(apart)
