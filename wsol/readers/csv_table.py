"""A table with one line a box: `predictions.csv` of this project, or one like it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eval.splits import ManifestError
from eval.tables import parse_float, parse_int, read_table, to_int
from wsol.readers.found_boxes import FoundBox, FoundBoxes, FoundClass

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_CORNERS = ("x0", "y0", "x1", "y1")


def read_csv_boxes(path: Path) -> Iterator[FoundBoxes]:
    """Read a table with the columns `file` (or `id`), `x0`, `y0`, `x1` and `y1`.

    Further columns count if they are there: `box_score` (else `score`), `label`, `name`, `width`
    and `height`. Without numbers a line says that its image has no box; one with an `error` is of
    an image that could not be read, and is passed over.

    Raises:
        ManifestError: another table, or a line that breaks a rule
    """
    images: dict[str, FoundBoxes] = {}
    for where, cells in read_table(path, _CORNERS):
        name = cells.get("file") or cells.get("id") or ""
        if not name:
            raise ManifestError(f"{where}: expected a column file or id that names the image")
        if cells.get("error", "").strip() and "box_score" in cells:
            continue
        width, height = (to_int(cells.get(side, "")) for side in ("width", "height"))
        size = (width, height) if width > 0 and height > 0 else None
        image = images.setdefault(name, FoundBoxes(where, (name,), size=size))
        try:
            image.boxes.append(_read_box(cells))
        except ValueError as error:
            raise ManifestError(f"{where}: {error}") from error
    yield from images.values()


def _read_box(cells: dict[str, str]) -> FoundBox:
    score = cells.get("box_score", "").strip() or cells.get("score", "").strip()
    label, name = cells.get("label", "").strip(), cells.get("name", "")
    kind = FoundClass(parse_int(label) if label else None, name) if label or name else None
    texts = [cells[corner] for corner in _CORNERS]
    if not any(map(str.strip, texts)):
        return FoundBox(None, parse_float(score) if score else None, kind)
    x0, y0, x1, y1 = map(parse_float, texts)
    return FoundBox((x0, y0, x1, y1), parse_float(score) if score else None, kind)
