"""The form of the standard evaluation: one folder a split, with four comma-separated text files.

No header. `image_ids.txt` (`id`: the image's path below the image root; the order of evaluation),
`class_labels.txt` (`id,label` from 0), `image_sizes.txt` (`id,width,height` in original pixels)
and `localization.txt`, whose first line tells what the file holds: boxes (`id,x0,y0,x1,y1`: first
and last pixel, original pixels, one line a box) or masks (`id,mask path,ignore path` below a mask
root; further instances of an image repeat the id and leave the last field empty). The last two
files may be absent or empty, and masks need no sizes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from eval.benchmark_metadata import hint_at_sizes, refuse_box_list
from eval.parsing import show
from eval.splits import (
    MOST_CLASSES,
    ManifestError,
    MaskPaths,
    Split,
    is_text,
    leaves_root,
    tidy_path,
)
from eval.tables import parse_float, parse_int, read_text

if TYPE_CHECKING:
    from pathlib import Path

FILES = ("image_ids.txt", "class_labels.txt", "image_sizes.txt", "localization.txt")

_BOX = ("id", "x0", "y0", "x1", "y1")
_MASK = ("id", "mask path", "ignore path")


def load_four_files(folder: Path) -> Split:
    """Read the split in a folder.

    Args:
        folder: with `image_ids.txt`; its name is the split's

    Raises:
        ManifestError: a missing file, or a line that breaks a rule
    """
    ids = _read_ids(folder / "image_ids.txt")
    rows = {image_id: row for row, image_id in enumerate(ids)}
    labels = _read_once(folder / "class_labels.txt", rows, ("label",), least=0, most=MOST_CLASSES)
    sizes = boxes = masks = None
    if _has_content(folder / "image_sizes.txt"):
        sizes = _read_once(folder / "image_sizes.txt", rows, ("width", "height"), least=1)
    if _has_content(folder / "localization.txt"):
        lines = _read_lines(folder / "localization.txt")
        refuse_box_list(folder / "localization.txt", lines[0])
        if _is_mask(lines[0]):
            masks = _read_masks(folder / "localization.txt", lines, rows)
        elif sizes is None:
            raise ManifestError(f"{folder / 'image_sizes.txt'}: expected sizes beside boxes")
        else:
            boxes = _read_boxes(folder / "localization.txt", lines, rows, sizes)
    return Split(folder.name, tuple(ids), labels[:, 0], sizes, boxes, masks)


def _has_content(path: Path) -> bool:
    return path.is_file() and bool(_read_lines(path))


def _read_lines(path: Path) -> list[str]:
    """Read a file's lines; a line's index + 1 is its number."""
    text = read_text(path)
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    for number, line in enumerate(lines, start=1):
        if line.endswith("\r"):
            raise ManifestError(f"{path}:{number}: expected lines to end in LF but got CRLF")
    return lines


def _split_line(path: Path, number: int, line: str, columns: tuple[str, ...]) -> list[str]:
    fields = line.rsplit(",", len(columns) - 1)  # an id may hold commas
    fields[0] = tidy_path(fields[0])
    if len(fields) != len(columns) or not fields[0]:
        raise ManifestError(f"{path}:{number}: expected {','.join(columns)} but got {show(line)}")
    return fields


def _read_ids(path: Path) -> list[str]:
    seen: dict[str, int] = {}
    for number, line in enumerate(_read_lines(path), start=1):
        (image_id,) = _split_line(path, number, line, ("id",))
        if image_id in seen:
            raise ManifestError(
                f"{path}:{number}: expected every id once but line {seen[image_id]} has "
                f"{show(image_id)} too"
            )
        if leaves_root(image_id) or not is_text(image_id):
            raise ManifestError(
                f"{path}:{number}: expected a path below the image root but got {show(image_id)}"
            )
        seen[image_id] = number
    if not seen:
        raise ManifestError(f"{path}: expected at least one image")
    return list(seen)


def _find_row(path: Path, number: int, image_id: str, rows: dict[str, int]) -> int:
    if image_id not in rows:
        raise ManifestError(
            f"{path}:{number}: expected an id of image_ids.txt but got {show(image_id)}"
        )
    return rows[image_id]


def _integers(
    path: Path, lines: list[str], columns: tuple[str, ...], rows: dict[str, int]
) -> list[tuple[int, int, list[int]]]:
    """Read `id,int,...` lines: (line, row of the image, values)."""
    out = []
    for number, line in enumerate(lines, start=1):
        image_id, *fields = _split_line(path, number, line, columns)
        row = _find_row(path, number, image_id, rows)
        try:
            values = [parse_int(field) for field in fields]
            if max(map(abs, values)) >= 2**31:
                raise ValueError
        except ValueError:
            raise ManifestError(
                f"{path}:{number}: expected integers {','.join(columns[1:])} but got "
                f"{show(','.join(fields))}"
            ) from None
        out.append((number, row, values))
    return out


def _read_once(
    path: Path, rows: dict[str, int], columns: tuple[str, ...], least: int, most: int = 2**31
) -> np.ndarray:
    """Read a file that has exactly one line an image: (N, number of columns), int64."""
    table = np.zeros((len(rows), len(columns)), dtype=np.int64)
    lines = np.zeros(len(rows), dtype=np.int64)
    for number, row, values in _integers(path, _read_lines(path), ("id", *columns), rows):
        if lines[row]:
            raise ManifestError(
                f"{path}:{number}: expected every id once but line {lines[row]} has it too"
            )
        if min(values) < least or max(values) > most:
            limit = f"at least {least}" if min(values) < least else f"at most {most}"
            raise ManifestError(
                f"{path}:{number}: expected {','.join(columns)} to be {limit} but got "
                f"{','.join(map(str, values))}"
            )
        table[row], lines[row] = values, number
    if not lines.all():
        missing = list(rows)[int(np.argmin(lines))]
        raise ManifestError(f"{path}: expected a line for every image but {missing!r} has none")
    return table


def _is_mask(line: str) -> bool:
    """Tell a line that names masks from one that holds a box: its last fields are no numbers."""
    return line.count(",") >= 2 and not any(map(_is_number, line.rsplit(",", 2)[1:]))


def _is_number(text: str) -> bool:
    try:
        parse_float(text)
    except ValueError:
        return False
    return True


def _check_kind(path: Path, lines: list[str], kind: bool, columns: tuple[str, ...]) -> None:
    for number, line in enumerate(lines, start=1):
        if _is_mask(line) != kind:
            raise ManifestError(
                f"{path}:{number}: expected {','.join(columns)}, as in line 1, but got {show(line)}"
            )


def _read_boxes(
    path: Path, lines: list[str], rows: dict[str, int], sizes: np.ndarray
) -> tuple[np.ndarray, ...]:
    _check_kind(path, lines, False, _BOX)
    boxes: list[list[list[int]]] = [[] for _ in rows]
    for number, row, (x0, y0, x1, y1) in _integers(path, lines, _BOX, rows):
        width, height = sizes[row]
        if not (0 <= x0 <= x1 < width and 0 <= y0 <= y1 < height):
            hint = hint_at_sizes((x0, y0, x1, y1), (width, height))
            raise ManifestError(
                f"{path}:{number}: expected 0 <= x0 <= x1 < {width} and 0 <= y0 <= y1 < {height} "
                f"but got {x0},{y0},{x1},{y1}{hint}"
            )
        boxes[row].append([x0, y0, x1, y1])
    return tuple(np.array(each, dtype=np.int64).reshape(-1, 4) for each in boxes)


def _read_masks(path: Path, lines: list[str], rows: dict[str, int]) -> tuple[MaskPaths, ...]:
    _check_kind(path, lines, True, _MASK)
    instances: list[list[str]] = [[] for _ in rows]
    ignores: list[str | None] = [None] * len(rows)
    for number, line in enumerate(lines, start=1):
        image_id, mask, ignore = _split_line(path, number, line, _MASK)
        row = _find_row(path, number, image_id, rows)
        for name in (mask, *([ignore] if ignore else [])):
            if not name or leaves_root(name) or not is_text(name):
                raise ManifestError(
                    f"{path}:{number}: expected a path below the mask root but got {show(name)}"
                )
        if instances[row] and ignore:
            raise ManifestError(
                f"{path}:{number}: expected the ignore path on the image's first line only but "
                f"got {show(ignore)}"
            )
        instances[row].append(mask)
        if ignore:
            ignores[row] = ignore
    return tuple(
        MaskPaths(tuple(paths), ignore) for paths, ignore in zip(instances, ignores, strict=True)
    )
