"""Splits of a data set: image ids, labels, sizes and true boxes, read from four text files.

A data set is a folder with one folder a split. Each split holds comma-separated text files without
a header: `image_ids.txt` (`id`: the image's path below the image root; the order of evaluation),
`class_labels.txt` (`id,label` from 0), `image_sizes.txt` (`id,width,height` in original pixels)
and `localization.txt` (`id,x0,y0,x1,y1`: first and last pixel of a box, original pixels, one line
a box). The last two may be absent or empty where there are no boxes.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np

FILES = ("image_ids.txt", "class_labels.txt", "image_sizes.txt", "localization.txt")


class ManifestError(ValueError):
    """A fault in a manifest; the message names file and line."""


@dataclass(frozen=True, eq=False)
class Split:
    """One split of a data set.

    Args:
        name: `test`, or `val+test` for joined splits
        ids: paths below the image root, in the order of evaluation
        labels: (N,), int64, from 0
        sizes: (N, 2), int64, width and height in original pixels, or None
        boxes: one (k, 4) int64 array an image, x0 y0 x1 y1, first and last pixel in original
            pixels; k = 0 for an image without a true box; or None where no boxes are known
    """

    name: str
    ids: tuple[str, ...]
    labels: np.ndarray
    sizes: np.ndarray | None = None
    boxes: tuple[np.ndarray, ...] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def without_box(self) -> int:
        """How many images have no true box."""
        return len(self) if self.boxes is None else sum(len(boxes) == 0 for boxes in self.boxes)


def load_split(data: str | Path, split: str = "test") -> Split:
    """Read a split, or several disjoint ones joined by `+`.

    Args:
        data: folder with one folder a split
        split: such as `test` or `val+test`

    Returns:
        the split, every fault excluded

    Raises:
        ManifestError: a missing folder or file, or a line that breaks a rule
    """
    data = Path(data)
    parts = [_load_one(data, name) for name in split.split("+")]
    joined = parts[0]
    for part in parts[1:]:
        joined = _join(joined, part)
    return replace(joined, name=split)


def list_splits(data: str | Path) -> list[str]:
    """Name the splits in a data set's folder."""
    return sorted(path.parent.name for path in Path(data).glob("*/image_ids.txt"))


def _load_one(data: Path, name: str) -> Split:
    folder = data / name
    if not data.is_dir():
        raise ManifestError(f"{data}: no such folder")
    if not (folder / "image_ids.txt").is_file():
        known = ", ".join(list_splits(data)) or "none"
        raise ManifestError(
            f"{data}: expected a split to be a folder with image_ids.txt but got {name!r}; "
            f"splits here: {known}"
        )
    ids = _read_ids(folder / "image_ids.txt")
    rows = {image_id: row for row, image_id in enumerate(ids)}
    labels = _read_once(folder / "class_labels.txt", rows, ("label",), least=0)
    sizes = boxes = None
    if _has_content(folder / "image_sizes.txt"):
        sizes = _read_once(folder / "image_sizes.txt", rows, ("width", "height"), least=1)
    if _has_content(folder / "localization.txt"):
        if sizes is None:
            raise ManifestError(f"{folder / 'image_sizes.txt'}: expected sizes beside boxes")
        boxes = _read_boxes(folder / "localization.txt", rows, sizes)
    return Split(name, tuple(ids), labels[:, 0], sizes, boxes)


def _join(first: Split, second: Split) -> Split:
    shared = set(first.ids) & set(second.ids)
    if shared:
        raise ManifestError(
            f"expected splits {first.name} and {second.name} to share no image but both have "
            f"{min(shared)}"
        )
    if (first.boxes is None) != (second.boxes is None):
        raise ManifestError(
            f"expected boxes in both or none of the splits {first.name} and {second.name}"
        )
    sizes = None
    if first.sizes is not None and second.sizes is not None:
        sizes = np.concatenate([first.sizes, second.sizes])
    return Split(
        f"{first.name}+{second.name}",
        first.ids + second.ids,
        np.concatenate([first.labels, second.labels]),
        sizes,
        None if first.boxes is None or second.boxes is None else first.boxes + second.boxes,
    )


def _has_content(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0


def _read_rows(path: Path, columns: tuple[str, ...]) -> list[list[str]]:
    """Split a file into rows of the stated width; a row's index + 1 is its line."""
    try:
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise ManifestError(f"{path}: expected UTF-8 text but {error.reason}") from error
    if text.startswith("\ufeff"):
        raise ManifestError(f"{path}:1: expected no byte order mark")
    rows = []
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    for number, line in enumerate(lines, start=1):
        if line.endswith("\r"):
            raise ManifestError(f"{path}:{number}: expected lines to end in LF but got CRLF")
        row = line.rsplit(",", len(columns) - 1)  # an id may hold commas
        if len(row) != len(columns) or not row[0]:
            raise ManifestError(f"{path}:{number}: expected {','.join(columns)} but got {line!r}")
        rows.append(row)
    return rows


def _read_ids(path: Path) -> list[str]:
    seen: dict[str, int] = {}
    for number, (image_id,) in enumerate(_read_rows(path, ("id",)), start=1):
        if image_id in seen:
            raise ManifestError(
                f"{path}:{number}: expected every id once but line {seen[image_id]} has "
                f"{image_id!r} too"
            )
        if image_id.startswith("/") or ".." in PurePosixPath(image_id).parts:
            raise ManifestError(
                f"{path}:{number}: expected a path below the image root but got {image_id!r}"
            )
        seen[image_id] = number
    if not seen:
        raise ManifestError(f"{path}: expected at least one image")
    return list(seen)


def _integers(
    path: Path, columns: tuple[str, ...], rows: dict[str, int]
) -> list[tuple[int, int, list[int]]]:
    """Read `id,int,...` lines: (line, row of the image, values)."""
    out = []
    for number, (image_id, *fields) in enumerate(_read_rows(path, ("id", *columns)), start=1):
        if image_id not in rows:
            raise ManifestError(
                f"{path}:{number}: expected an id of image_ids.txt but got {image_id!r}"
            )
        try:
            values = [int(field) for field in fields]
            if max(map(abs, values)) >= 2**31:
                raise ValueError
        except ValueError:
            raise ManifestError(
                f"{path}:{number}: expected integers {','.join(columns)} but got "
                f"{','.join(fields)!r}"
            ) from None
        out.append((number, rows[image_id], values))
    return out


def _read_once(
    path: Path, rows: dict[str, int], columns: tuple[str, ...], least: int
) -> np.ndarray:
    """Read a file that has exactly one line an image: (N, number of columns), int64."""
    table = np.zeros((len(rows), len(columns)), dtype=np.int64)
    lines = np.zeros(len(rows), dtype=np.int64)
    for number, row, values in _integers(path, columns, rows):
        if lines[row]:
            raise ManifestError(
                f"{path}:{number}: expected every id once but line {lines[row]} has it too"
            )
        if min(values) < least:
            raise ManifestError(
                f"{path}:{number}: expected {','.join(columns)} to be at least {least} but got "
                f"{','.join(map(str, values))}"
            )
        table[row], lines[row] = values, number
    if not lines.all():
        missing = list(rows)[int(np.argmin(lines))]
        raise ManifestError(f"{path}: expected a line for every image but {missing!r} has none")
    return table


def _read_boxes(path: Path, rows: dict[str, int], sizes: np.ndarray) -> tuple[np.ndarray, ...]:
    boxes: list[list[list[int]]] = [[] for _ in rows]
    for number, row, (x0, y0, x1, y1) in _integers(path, ("x0", "y0", "x1", "y1"), rows):
        width, height = sizes[row]
        if not (0 <= x0 <= x1 < width and 0 <= y0 <= y1 < height):
            raise ManifestError(
                f"{path}:{number}: expected 0 <= x0 <= x1 < {width} and 0 <= y0 <= y1 < {height} "
                f"but got {x0},{y0},{x1},{y1}"
            )
        boxes[row].append([x0, y0, x1, y1])
    return tuple(np.array(found, dtype=np.int64).reshape(-1, 4) for found in boxes)


def load_classes(path: str | Path) -> dict[int, int]:
    """Read the table that maps a data set's labels onto ImageNet's 1000 classes.

    Args:
        path: CSV file with the columns `label` and `imagenet1k_index`; others are ignored

    Returns:
        index among the 1000 classes by label

    Raises:
        ManifestError: a missing file or column, or a value out of range
    """
    path = Path(path)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            wanted = {"label", "imagenet1k_index"}
            if not wanted <= set(reader.fieldnames or ()):
                raise ManifestError(
                    f"{path}:1: expected the columns label and imagenet1k_index but got "
                    f"{','.join(reader.fieldnames or ())!r}"
                )
            classes: dict[int, int] = {}
            for row in reader:
                try:
                    label, index = int(row["label"]), int(row["imagenet1k_index"])
                except (TypeError, ValueError):
                    label, index = -1, -1
                if label < 0 or not 0 <= index < 1000 or label in classes:
                    raise ManifestError(
                        f"{path}:{reader.line_num}: expected a new label from 0 and an index from "
                        f"0 to 999 but got {row['label']},{row['imagenet1k_index']}"
                    )
                classes[label] = index
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read ({error.strerror})") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ManifestError(f"{path}: expected a table in UTF-8 but {error}") from error
    return classes
