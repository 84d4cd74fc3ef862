"""Hugging Face's `imagefolder`: a `metadata.jsonl` beside the images of each part."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eval.parsing import read_json_lines, show
from eval.splits import ManifestError
from eval.yolo import read_names
from wsol.readers.found_boxes import FoundBox, FoundBoxes, FoundClass
from wsol.readers.json_values import read_number, read_text, read_whole
from wsol.readers.originals import name_original, read_originals

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def read_hugging_face_boxes(path: Path) -> Iterator[FoundBoxes]:
    """Read a `metadata.jsonl`, or every one of a folder, at any depth; `scores` may be missing.

    An image is known by what it is a link to or, as `originals.csv` tells, a copy of, and by its
    own name. The names of its classes are those of a `classes.txt`.

    Raises:
        ManifestError: no such file, or a line that breaks a rule
    """
    folder = (path if path.is_dir() else path.parent).absolute()
    class_names = read_names(folder, 0) or ()
    originals = read_originals(folder)
    tables = sorted(folder.rglob("metadata.jsonl")) if path.is_dir() else [path]
    if not tables:
        raise ManifestError(f"{folder}: expected a file metadata.jsonl but there is none")
    for table in tables:
        for where, record in read_json_lines(table):
            try:
                image = table.parent / read_text(record["file_name"])
                boxes = list(_read_objects(record["objects"], class_names))
                size = None
                if "width" in record:
                    size = read_whole(record["width"]), read_whole(record["height"])
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                raise ManifestError(
                    f"{where}: expected an image's file_name and objects but got {show(record)} "
                    f"({type(error).__name__}: {error})"
                ) from error
            names = (name_original(image, originals), record["file_name"])
            yield FoundBoxes(where, names, boxes, size)


def _read_objects(objects: dict[str, Any], class_names: tuple[str, ...]) -> Iterator[FoundBox]:
    categories = [read_whole(each) for each in objects["categories"]]
    scores = objects.get("scores")
    given = [None if scores is None else read_number(score) for score in scores or categories]
    for box, number, score in zip(objects["bbox"], categories, given, strict=True):
        x, y, width, height = map(read_number, box)
        name = class_names[number] if 0 <= number < len(class_names) else ""
        yield FoundBox((x, y, x + width, y + height), score, FoundClass(number, name))
