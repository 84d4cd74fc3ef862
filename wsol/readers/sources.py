"""Which form the boxes in a file or folder have: told in one place, by content, for every command.

| form | file | in a folder |
|---|---|---|
| `COCO results` | `.json`, a list | `coco_results.json` |
| `COCO` | `.json` | `result.json`, `*coco*.json`, `annotations/*.json`; a file for each split |
| `Label Studio`, `Datumaro` | `.json` | the same |
| `CVAT` | `.xml` that begins with `<annotations>` | any such |
| `VOC` | | `.xml` that begins with `<annotation>`, one an image, at any depth |
| `YOLO` | | `labels/`, `data.yaml`, `data.yml`, or `.txt` at any depth |
| `Hugging Face` | `metadata.jsonl` | the same, or one in each folder |
| `table` | `.csv` | `predictions.csv` |
| `lines` | `.jsonl` | `predictions.jsonl` |

A folder that holds folders `voc`, `yolo` and so on, as `wsol predict` writes them, stands for its
only one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from eval.box_folders import BoxFolder, find_box_folder
from eval.image_names import is_passed_over
from eval.parsing import MOST_TEXT, read_json
from eval.splits import ManifestError
from eval.xml_files import read_xml_file
from wsol.readers.datumaro import is_datumaro
from wsol.readers.label_studio import is_label_studio

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Form = Literal[
    "COCO results", "COCO", "Label Studio", "Datumaro", "CVAT", "VOC", "YOLO", "Hugging Face",
    "table", "lines",
]  # fmt: skip
_OWN_FILES = ("coco_results.json", "coco_dataset.json", "predictions.csv", "predictions.jsonl")
_OWN_FOLDERS: dict[str, Form] = {"huggingface": "Hugging Face", "voc": "VOC", "yolo": "YOLO"}
# Where exports have their file, the first that is there.
_FILES = ("result.json", "*coco*.json", "annotations/instances*.json", "annotations/*.json")
_SUFFIXES: dict[str, Form] = {".csv": "table", ".jsonl": "lines", ".xml": "CVAT"}
_YOLO = ("labels", "data.yaml", "data.yml")
_LOOKED_FOR = (
    "COCO, Label Studio's or Datumaro's JSON (result.json, *coco*.json, annotations/*.json, or one "
    "file in each of train/, val/ and test/), CVAT's XML, VOC's XML files, YOLO's labels (labels/, "
    "data.yaml, *.txt), Hugging Face's metadata.jsonl, and predictions.csv, predictions.jsonl, "
    "coco_results.json, coco_dataset.json"
)


@dataclass(frozen=True)
class BoxSource:
    """Boxes of one form.

    Args:
        form: whose they are
        paths: the files; of `VOC`, `YOLO` and `Hugging Face` the folder, or one `metadata.jsonl`
        content: of an only JSON file that was read to tell
        parts: the splits of a folder of COCO files, each with one of the paths
    """

    form: Form
    paths: tuple[Path, ...]
    content: Any = None
    parts: BoxFolder | None = None


def tell_source(path: Path) -> BoxSource:
    """Tell which form the boxes in a file or folder have.

    Args:
        path: of it

    Raises:
        ManifestError: no such file or folder, none of the forms, several, or no JSON or XML
    """
    if path.is_dir():
        return _tell_folder(path)
    if not path.exists():
        raise ManifestError(f"{path}: no such file or folder")
    suffix = path.suffix.lower()
    if path.name == "metadata.jsonl":
        return BoxSource("Hugging Face", (path,))
    if suffix == ".json":
        content = read_json(path)
        return BoxSource(_tell_json(content), (path,), content)
    if suffix not in _SUFFIXES:
        raise ManifestError(
            f"{path}: expected a file .json, .xml, .csv or .jsonl, or a folder of VOC's or YOLO's "
            "files"
        )
    return BoxSource(_SUFFIXES[suffix], (path,))


def _tell_json(content: Any) -> Form:
    if is_label_studio(content):
        return "Label Studio"
    if is_datumaro(content):
        return "Datumaro"
    return "COCO results" if isinstance(content, list) else "COCO"


def _tell_folder(folder: Path) -> BoxSource:
    own = {name: folder / name for name in _OWN_FILES if (folder / name).is_file()}
    own |= {name: folder / name for name in _OWN_FOLDERS if (folder / name).is_dir()}
    export = next(_find_exports(folder, sure=bool(own)), None)
    others = [] if export is None else [f"files of {export.form}"]
    if len(own) + len(others) > 1 and not (export and set(export.paths) <= {*own.values()}):
        found = ", ".join([*own, *others])
        raise ManifestError(
            f"{folder}: expected boxes in one format but got several ({found}): name one"
        )
    for name, path in own.items():
        return BoxSource(_OWN_FOLDERS[name], (path,)) if path.is_dir() else tell_source(path)
    if export is None:
        raise ManifestError(
            f"{folder}: expected boxes in one format but got none; looked for {_LOOKED_FOR}"
        )
    return export


def _find_exports(folder: Path, sure: bool) -> Iterator[BoxSource]:
    """List what a folder may be an export of, the likeliest first.

    Args:
        folder: itself
        sure: whether to leave out what only might be one
    """
    if any(next(folder.glob(sign), None) for sign in ("metadata.jsonl", "*/metadata.jsonl")):
        yield BoxSource("Hugging Face", (folder,))
    parts = find_box_folder(folder)
    if parts is not None and parts.form == "COCO":
        yield BoxSource("COCO", tuple(part.path for part in parts.parts.values()), parts=parts)
    elif parts is not None:
        yield BoxSource("VOC" if parts.form == "VOC" else "YOLO", (folder,))
    if sure:
        return
    drawn = [each for each in _list(folder, "*.xml") if _read_tag(each) == "annotations"]
    if drawn:
        yield BoxSource("CVAT", tuple(drawn))
    for pattern in _FILES:
        if files := _list(folder, pattern):
            yield _tell_together(files)
    if any(_read_tag(each) == "annotation" for each in folder.rglob("*.xml")):
        yield BoxSource("VOC", (folder,))
    if any((folder / sign).exists() for sign in _YOLO) or any(folder.rglob("*.txt")):
        yield BoxSource("YOLO", (folder,))
    if files := _list(folder, "*.json"):
        yield _tell_together(files)


def _tell_together(files: list[Path]) -> BoxSource:
    """Tell the form of files, which all count: those of a tool that has one for each part."""
    if len(files) == 1:
        return tell_source(files[0])
    forms = {path: _tell_json(read_json(path)) for path in files}
    form = forms[files[0]]
    odd = next((path for path in files if forms[path] != form or form.startswith("COCO")), None)
    if odd is not None:
        raise ManifestError(f"{odd}: expected one file of boxes beside it: name the one")
    return BoxSource(form, tuple(files))


def _list(folder: Path, pattern: str) -> list[Path]:
    """List the files in a folder that a pattern matches, without hidden ones."""
    return sorted(path for path in folder.glob(pattern) if not is_passed_over(path.name))


class _ToldError(Exception):
    """The first element of a file has begun."""


def _read_tag(path: Path) -> str:
    """Read the name of a file's first element; what is no XML is left to the reader of VOC's."""
    names: list[str] = []

    def start(tags: list[str], *_: object) -> None:
        names.extend(tags)
        raise _ToldError

    try:
        read_xml_file(path, start, start, MOST_TEXT)
    except (_ToldError, ManifestError):
        return next(iter(names), "annotation")
    return ""
