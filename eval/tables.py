"""Text files and tables, read such that every fault names its file, and its line if it has one."""

from __future__ import annotations

import csv
import io
import math
import re
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from eval.parsing import read_limited
from eval.splits import ManifestError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


_NUMBER = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"
_NUMBERS = re.compile(rf"{_NUMBER}( to {_NUMBER}| \({_NUMBER} to {_NUMBER}\))?( ?%)?")
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet takes for one begins so


def guard_cell(value: Any) -> Any:
    """Keep a spreadsheet from taking a text for a formula: one that begins like it gets a `'`.

    Numbers stay numbers, as numbers and as text, and so do differences such as `+1.2 to +3.4`.

    Args:
        value: of a cell; what is neither text nor path is given back as it is

    >>> guard_cell("=1+1"), guard_cell("@home"), guard_cell("-0.5"), guard_cell(-0.5)
    ("'=1+1", "'@home", '-0.5', -0.5)
    """
    text = str(value) if isinstance(value, PurePath) else value
    if not isinstance(text, str) or not text.lstrip("'").startswith(FORMULA):
        return value
    return text if _NUMBERS.fullmatch(text) else f"'{text}"


def read_cell(text: str) -> str:
    """Give back what `guard_cell` was given.

    >>> read_cell("'=1+1"), read_cell("'tis"), read_cell("-0.5"), read_cell(guard_cell("'=1"))
    ('=1+1', "'tis", '-0.5', "'=1")
    """
    return text[1:] if text[:1] == "'" and text.lstrip("'").startswith(FORMULA) else text


def read_text(path: Path) -> str:
    """Read a file in UTF-8, ends of lines as they are, without the byte order mark if it has one.

    Raises:
        ManifestError: it cannot be read, or is not UTF-8
    """
    try:
        return read_limited(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ManifestError(f"{path}: expected UTF-8 text but {error.reason}") from error


def read_lines(path: Path) -> Iterator[tuple[str, str]]:
    """Read a file's lines, whatever ends them.

    Yields:
        file and line number, and the line without space around it

    Raises:
        ManifestError: as `read_text`
    """
    lines = read_text(path).rstrip().split("\n")
    return ((f"{path}:{number}", line.strip()) for number, line in enumerate(lines, start=1))


def read_table(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[str, dict[str, str]]]:
    """Read a CSV file with a header.

    Args:
        path: of the file
        columns: that the header must have; others are read too

    Yields:
        file and line number, and the fields by column, each as `guard_cell` was given it

    Raises:
        ManifestError: as `read_text`, or a missing column
    """
    text = io.StringIO(read_text(path), newline="")
    reader = csv.DictReader(text, restval="")
    try:
        if not set(columns) <= set(reader.fieldnames or ()):
            raise ManifestError(
                f"{path}:1: expected the columns {' and '.join(columns)} but got "
                f"{','.join(reader.fieldnames or ())!r}"
            )
        for row in reader:
            cells = {name: read_cell(cell) for name, cell in row.items() if name is not None}
            yield f"{path}:{reader.line_num}", cells
    except csv.Error as error:
        raise ManifestError(f"{path}:{reader.line_num}: expected a table but {error}") from error


_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
_DECIMAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


def parse_int(text: str) -> int:
    """Read a whole number as tables have it: digits from 0 to 9, perhaps with a sign.

    Raises:
        ValueError: anything else, such as `1_2` or digits of another script, which `int` takes

    >>> parse_int(" -12 ")
    -12
    """
    digits = text.strip()
    if not _WHOLE.fullmatch(digits):
        raise ValueError(f"Expected a whole number but got {text[:40]!r}")
    return int(digits)


def parse_float(text: str) -> float:
    """Read a number as tables have it: digits from 0 to 9, perhaps with sign, point and exponent.

    Raises:
        ValueError: anything else, such as `1_2`, `nan` or `1e400`, which `float` takes

    >>> parse_float("-1.5e3")
    -1500.0
    """
    digits = text.strip()
    value = float(digits) if _DECIMAL.fullmatch(digits) else math.inf
    if not math.isfinite(value):
        raise ValueError(f"Expected a finite number but got {text[:40]!r}")
    return value


def to_int(text: str) -> int:
    """Read a number from 0; anything else becomes -1."""
    try:
        return max(parse_int(text), -1)
    except ValueError:
        return -1
