"""Text files and tables, read such that every fault names its file, and its line if it has one."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from eval.splits import ManifestError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def read_text(path: Path) -> str:
    """Read a file in UTF-8 as it is, byte order mark and ends of lines included.

    Raises:
        ManifestError: it cannot be read, or is not UTF-8
    """
    try:
        return path.read_bytes().decode("utf-8")
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise ManifestError(f"{path}: expected UTF-8 text but {error.reason}") from error


def read_lines(path: Path) -> Iterator[tuple[str, str]]:
    """Read a file's lines, whatever ends them.

    Yields:
        file and line number, and the line without space around it

    Raises:
        ManifestError: as `read_text`
    """
    lines = read_text(path).removeprefix("\ufeff").rstrip().split("\n")
    return ((f"{path}:{number}", line.strip()) for number, line in enumerate(lines, start=1))


def read_table(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[str, dict[str, str]]]:
    """Read a CSV file with a header.

    Args:
        path: of the file
        columns: that the header must have; others are read too

    Yields:
        file and line number, and the fields by column

    Raises:
        ManifestError: as `read_text`, or a missing column
    """
    text = io.StringIO(read_text(path).removeprefix("\ufeff"), newline="")
    reader = csv.DictReader(text, restval="")
    try:
        if not set(columns) <= set(reader.fieldnames or ()):
            raise ManifestError(
                f"{path}:1: expected the columns {' and '.join(columns)} but got "
                f"{','.join(reader.fieldnames or ())!r}"
            )
        for row in reader:
            yield f"{path}:{reader.line_num}", row
    except csv.Error as error:
        raise ManifestError(f"{path}:{reader.line_num}: expected a table but {error}") from error
