"""One JSON object a line and image: `predictions.jsonl` of this project."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any

from eval.parsing import read_json_lines, show
from eval.splits import ManifestError
from wsol.readers.found_boxes import FoundBox, FoundBoxes, FoundClass

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
                size = tuple(map(_whole, (record["width"], record["height"])))
                yield FoundBoxes(where, (_text(record["file"]),), boxes, size)  # type: ignore[arg-type]
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ManifestError(
                f"{where}: expected an image's predictions but got {show(record)} "
                f"({type(error).__name__}: {error})"
            ) from error


def _read_class(each: dict[str, Any]) -> list[FoundBox]:
    kind = FoundClass(_whole(each["label"]), _text(each.get("name", "")))
    scores = [_number(score) for score in each["box_scores"]]
    boxes = []
    for box, score in zip(each["boxes"], scores, strict=True):
        x0, y0, x1, y1 = map(_number, box)
        boxes.append(FoundBox((x0, y0, x1, y1), score, kind))
    return boxes or [FoundBox(None, _number(each["score"]), kind)]


def _number(value: Any) -> float:
    if type(value) not in (int, float) or not isfinite(value):
        raise TypeError(f"{show(value)} is no number")
    return float(value)


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise TypeError(f"{show(value)} is no whole number")
    return value


def _text(value: Any) -> str:
    if type(value) is not str:
        raise TypeError(f"{show(value)} is no text")
    return value
