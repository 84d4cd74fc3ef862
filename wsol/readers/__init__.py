"""Boxes that any program wrote: formats of `wsol.writers` and of labelling tools, each a module."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from eval.parsing import read_json
from eval.splits import ManifestError
from wsol.readers.coco import read_coco_boxes
from wsol.readers.csv_table import read_csv_boxes
from wsol.readers.cvat import read_cvat_boxes
from wsol.readers.datumaro import is_datumaro, read_datumaro_boxes
from wsol.readers.found_boxes import FoundBoxes
from wsol.readers.hugging_face import read_hugging_face_boxes
from wsol.readers.json_lines import read_json_line_boxes
from wsol.readers.label_studio import is_label_studio, read_label_studio_boxes
from wsol.readers.voc import read_voc_boxes
from wsol.readers.yolo import read_yolo_boxes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["FoundBoxes", "read_boxes", "read_cvat_boxes", "read_tool"]

_FILES = {".csv": read_csv_boxes, ".jsonl": read_json_line_boxes, ".xml": read_cvat_boxes}
# What a folder of each format holds: files, folders, and signs of the format itself.
_INSIDE = ("coco_results.json", "coco_dataset.json", "predictions.csv", "predictions.jsonl")
_FOLDERS = (
    ("huggingface", ("metadata.jsonl", "*/metadata.jsonl"), read_hugging_face_boxes),
    ("voc", ("Annotations", "*.xml"), read_voc_boxes),
    ("yolo", ("labels", "data.yaml", "*.txt"), read_yolo_boxes),
)


def read_boxes(path: Path, data: Path | None = None) -> Iterator[FoundBoxes]:
    """Read the boxes of a file or folder, in whichever of the formats it has.

    Args:
        path: COCO results or data set, or Label Studio's or Datumaro's JSON (`.json`), CVAT's XML
            (`.xml`), a table (`.csv`), JSON Lines (`.jsonl`), a folder of VOC's XML, of YOLO's
            label files or of Hugging Face's metadata, or a folder that holds one of these
        data: file of a COCO data set, whose numbers of images and categories results have that no
            file of images lies beside; or None

    Yields:
        the boxes of one image after the other; an image may come more than once

    Raises:
        ManifestError: no such file or folder, none of the formats or several, or a fault in it
    """
    if path.is_dir():
        yield from _find_inside(path, data)
        return
    if not path.exists():
        raise ManifestError(f"{path}: no such file or folder")
    suffix = path.suffix.lower()
    if suffix == ".json":
        content = read_json(path)
        yield from read_tool(path, content) or read_coco_boxes(path, data, content)
    elif suffix in _FILES:
        yield from _FILES[suffix](path)
    else:
        raise ManifestError(
            f"{path}: expected a file .json, .xml, .csv or .jsonl, or a folder of VOC's or YOLO's "
            "files"
        )


def read_tool(path: Path, content: Any) -> Iterator[FoundBoxes] | None:
    """Read a JSON file in a labelling tool's own format; None for any other file.

    Args:
        path: of the file, for messages
        content: of the file
    """
    if is_label_studio(content):
        return read_label_studio_boxes(path, content)
    return read_datumaro_boxes(path, content) if is_datumaro(content) else None


def _find_inside(folder: Path, data: Path | None) -> Iterator[FoundBoxes]:
    there: dict[str, Callable[[], Iterator[FoundBoxes]]] = {}
    for name in _INSIDE:
        if (folder / name).is_file():
            there[name] = partial(read_boxes, folder / name, data)
    for name, signs, of_folder in _FOLDERS:
        if (folder / name).is_dir():
            there[name] = partial(of_folder, folder / name)
        elif any(next(folder.glob(sign), None) for sign in signs):
            there[f"files of {name}"] = partial(of_folder, folder)
            break  # beside VOC's files lie lists that look like label files
    if len(there) != 1:
        what = f"several ({', '.join(there)}): name one" if there else "none"
        raise ManifestError(f"{folder}: expected boxes in one format but got {what}")
    yield from there.popitem()[1]()
