"""Where a command may write: files and folders that are free, or a complaint about their flag."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

import typer

from wsol.cli.common import count_things

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def writing(path: Path, flag: str, what: str = "written") -> Iterator[None]:
    """Turn what the system has against an output into a complaint about a flag; exits with 2.

    Args:
        path: of the output
        flag: that asks for it
        what: the system would not let it be
    """
    try:
        yield
    except OSError as error:
        message = f"{path} cannot be {what} ({error.strerror})"
        raise typer.BadParameter(message, param_hint=flag) from error


def free_folder(folder: Path, force: bool, flag: str = "--out") -> Path:
    """Create an output folder, or exit with 2 where it has files or takes none."""
    with writing(folder, flag):
        if folder.is_dir() and any(folder.iterdir()) and not force:
            raise typer.BadParameter(
                f"{folder} exists; choose another folder or add --force", param_hint=flag
            )
        with writing(folder, flag, "a folder"):
            folder.mkdir(parents=True, exist_ok=True)
        TemporaryFile(dir=folder).close()
    return folder


def keep_apart(images: list[Path], folder: Path, flag: str = "--out") -> list[Path]:
    """Leave out images that lie in an output folder, which an earlier run wrote, and say so.

    Exits with 2 where all do: then the folder is that of the photographs, and pictures or links
    of the same names would take their places.
    """
    home = os.path.abspath(folder)  # noqa: PTH100, without following links
    rest = [path for path in images if not Path(os.path.abspath(path)).is_relative_to(home)]  # noqa: PTH100
    if not rest:
        message = f"{folder} holds the images themselves; choose a folder apart from them"
        raise typer.BadParameter(message, param_hint=flag)
    if len(rest) < len(images):
        count = count_things(len(images) - len(rest), "file")
        sys.stderr.write(f"passed over, since in {folder}: {count}\n")
    return rest


def free_file(path: Path, flag: str, force: bool) -> Path:
    """Check that an output file can be written, or exit with 2."""
    with writing(path, flag):
        exists = path.exists()
        if path.is_dir() or (exists and not force):
            raise typer.BadParameter(
                f"{path} exists; choose another file or add --force", param_hint=flag
            )
        with writing(path.parent, flag, "a folder"):
            path.parent.mkdir(parents=True, exist_ok=True)
        path.open("ab").close()
        if not exists:
            path.resolve().unlink()  # of a link that leads nowhere yet, what it leads to
    return path
