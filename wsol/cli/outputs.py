"""Where a command may write: files and folders that are free, or a complaint about their flag."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from wsol import out_folders
from wsol.out_folders import OutputError
from wsol.text import count_things

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def complain_about(flag: str) -> Iterator[None]:
    """Turn an `OutputError` into a complaint about a flag; exits with 2."""
    try:
        yield
    except OutputError as error:
        raise typer.BadParameter(str(error), param_hint=flag) from error


@contextmanager
def writing(path: Path, flag: str) -> Iterator[None]:
    """Turn what the system has against an output into a complaint about a flag; exits with 2.

    Args:
        path: of the output
        flag: that asks for it
    """
    with complain_about(flag), out_folders.writing(path):
        yield


def free_folder(folder: Path, force: bool, flag: str = "--out") -> Path:
    """Create an output folder, or exit with 2 where it has files or takes none."""
    with complain_about(flag):
        return out_folders.free_folder(folder, force)


def keep_apart(images: list[Path], folder: Path, flag: str = "--out") -> list[Path]:
    """Leave out images that lie in an output folder, and say so, or exit with 2 where all do."""
    with complain_about(flag):
        kept, left_out = out_folders.keep_apart(images, folder)
    if left_out:
        sys.stderr.write(f"passed over, since in {folder}: {count_things(left_out, 'file')}\n")
    return kept


def free_file(path: Path, flag: str, force: bool) -> Path:
    """Check that an output file can be written, or exit with 2."""
    with complain_about(flag):
        return out_folders.free_file(path, force)
