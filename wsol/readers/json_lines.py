"""One JSON object a line and image: `predictions.jsonl` of this project."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eval.parsing import read_json_lines, show
from eval.splits import ManifestError
from wsol.readers.found_boxes import FoundBox, FoundBoxes, FoundClass
from wsol.readers.json_values import read_number, read_text, read_whole

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def read_json_line_boxes(path: Path) -> Iterator[FoundBoxes]:
    """Read lines as `Localization.to_dict` gives them; one with an `error` is passed over.

    Raises:
        ManifestError: a line that is something else
    """
    for where, record in read_json_lines(path):
        try:
            if "error" not in record:
                boxes = [box for each in record["predictions"] for box in _read_class(each)]
                size = tuple(map(read_whole, (record["width"], record["height"])))
                yield FoundBoxes(where, (read_text(record["file"]),), boxes, size)  # type: ignore[arg-type]
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ManifestError(
                f"{where}: expected an image's predictions but got {show(record)} "
                f"({type(error).__name__}: {error})"
            ) from error


def _read_class(each: dict[str, Any]) -> list[FoundBox]:
    kind = FoundClass(read_whole(each["label"]), read_text(each.get("name", "")))
    scores = [read_number(score) for score in each["box_scores"]]
    boxes = []
    for box, score in zip(each["boxes"], scores, strict=True):
        x0, y0, x1, y1 = map(read_number, box)
        boxes.append(FoundBox((x0, y0, x1, y1), score, kind))
    return boxes or [FoundBox(None, read_number(each["score"]), kind)]
