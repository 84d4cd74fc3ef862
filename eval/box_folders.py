"""Folders of images with boxes in COCO, YOLO or VOC files, with a part for each split or one.

| form | a part for each split | without splits |
|---|---|---|
| COCO | `train/_annotations.coco.json`, `annotations/instances_train.json` | a file: `coco.py` |
| YOLO | `train/labels`, `labels/train`, `train/*.txt`, `obj_train_data` | `labels/*.txt` |
| VOC | `train/*.xml`, `train/Annotations/*.xml`, `ImageSets/Main/train.txt` | `Annotations/*.xml` |
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from eval.coco import load_coco
from eval.image_names import is_passed_over
from eval.image_paths import ImageFinder
from eval.records import Records, read_coco
from eval.splits import ManifestError, Split
from eval.tables import read_lines
from eval.voc import list_voc_names, load_voc
from eval.yolo import begins_with_a_box, load_yolo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ONLY = ""  # of an only split that has no name
_NAMES = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
_COCO_FILES = ("*coco*.json", "annotations.json", "instances*.json", "result.json")
_YEAR = re.compile(r"(19|20)\d\d$")  # train2017


def name_split(name: str) -> str:
    """Give the name that a split goes by here, whatever a program calls its folder.

    >>> name_split("valid"), name_split("Training"), name_split("val2017"), name_split("night")
    ('val', 'train', 'val', 'night')
    """
    return _NAMES.get(_YEAR.sub("", name).lower(), name)


@dataclass(frozen=True)
class Part:
    """One split of such a folder.

    Args:
        path: COCO file, or folder of label files
        images: folders, relative to the whole, that a COCO file's names may be relative to
        listed: file that lists the label files that belong to it; None for all
    """

    path: Path
    images: tuple[str, ...] = ()
    listed: Path | None = None


class BoxFolder:
    """A folder of images and boxes.

    Args:
        folder: itself
        form: `COCO`, `YOLO` or `VOC`
        parts: by name of the split, `ONLY` for one that has none
    """

    def __init__(self, folder: Path, form: str, parts: dict[str, Part]) -> None:
        self.folder, self.form, self.parts = folder, form, parts

    def load(
        self,
        name: str,
        root: Path,
        skip: Callable[[str], object] | None = None,
        anywhere: bool = False,
    ) -> Split:
        """Read a split.

        Args:
            name: of one of the parts, or any for an only part
            root: image root; the folder itself, or one that is laid out alike
            skip: as for `load_coco`, `load_yolo` and `load_voc`
            anywhere: as for `ImageFinder`, of COCO files

        Returns:
            the split; a label is the same class in all parts

        Raises:
            ManifestError: a fault in any of its files
        """
        part = self.parts[name if name in self.parts else ONLY]
        whole = self.folder.absolute()
        if self.form == "YOLO":
            return load_yolo(part.path, name, root, skip, whole)[0]
        if self.form == "VOC":
            split, _ = load_voc(part.path, name, root, skip, whole, _read_list(part.listed))
        else:
            split = load_coco(part.path, name, skip, ImageFinder(root, anywhere, part.images))
        return _relabel(split, self._classes)

    def coco_file(self, name: str) -> Path | None:
        """Give the COCO file of a split; None where it has none."""
        return self.parts[name].path if self.form == "COCO" and name in self.parts else None

    @cached_property
    def _classes(self) -> tuple[str, ...]:
        """The names of the classes of all parts, each once."""
        paths = dict.fromkeys(self.parts[name].path for name in sorted(self.parts))
        if self.form == "COCO":
            return tuple(dict.fromkeys(name for path in paths for name in _read_categories(path)))
        return tuple(sorted({name for path in paths for name in list_voc_names(path)}))


def find_box_folder(folder: Path) -> BoxFolder | None:
    """Tell which of the forms a folder has; None for none of them."""
    if not folder.is_dir():
        return None
    for form, find in (("COCO", _find_coco), ("YOLO", _find_yolo), ("VOC", _find_voc)):
        parts: dict[str, Part] = {}
        for name, part in find(folder):
            if parts.setdefault(name, part) != part:
                raise ManifestError(
                    f"{folder}: expected one split {name} but {parts[name].path} and {part.path} "
                    "are both"
                )
        if parts:
            return BoxFolder(folder, form, parts)
    return None


def _find_coco(folder: Path) -> Iterator[tuple[str, Part]]:
    for each in _list_splits(folder):
        files = {path for pattern in _COCO_FILES for path in _list(each, pattern)}
        if len(files) == 1:
            yield name_split(each.name), Part(files.pop(), (each.name, f"{each.name}/images"))
    for path in _list(folder / "annotations", "instances*.json"):
        name = path.stem.removeprefix("instances").lstrip("_")
        split = name_split(name)
        if split in _NAMES.values():
            yield split, Part(path, (f"images/{name}", name, "images", "."))


def _find_yolo(folder: Path) -> Iterator[tuple[str, Part]]:
    for each in _list_splits(folder):
        if any((each / "labels").rglob("*.txt")) or any(
            map(begins_with_a_box, _list(each, "*.txt"))
        ):
            yield name_split(each.name), Part(each)
    labels = folder / "labels"
    for each in _list_splits(labels):
        if any(each.rglob("*.txt")):
            yield name_split(each.name), Part(each)
    for each in sorted(folder.glob("obj_*_data")):  # CVAT's
        split = name_split(each.name.removeprefix("obj_").removesuffix("_data"))
        if split in _NAMES.values() and any(each.rglob("*.txt")):
            yield split, Part(each)
    if any(_list(labels, "*.txt")):
        yield ONLY, Part(labels)


def _find_voc(folder: Path) -> Iterator[tuple[str, Part]]:
    for each in _list_splits(folder):
        if any(_list(each, "*.xml")) or any((each / "Annotations").rglob("*.xml")):
            yield name_split(each.name), Part(each)
    annotations = folder / "Annotations"
    if not any(annotations.rglob("*.xml")):
        return
    lists = [
        path
        for path in _list(folder / "ImageSets" / "Main", "*.txt")
        if name_split(path.stem) in _NAMES.values()
    ]
    for path in lists:
        yield name_split(path.stem), Part(annotations, listed=path)
    if not lists:
        yield ONLY, Part(annotations)


def _list_splits(folder: Path) -> list[Path]:
    """List the folders in a folder that have the name of a split."""
    if not folder.is_dir():
        return []
    return sorted(
        path for path in folder.iterdir() if path.name.lower() in _NAMES and path.is_dir()
    )


def _list(folder: Path, pattern: str) -> list[Path]:
    """List the files in a folder that a pattern matches, without hidden ones."""
    return sorted(path for path in folder.glob(pattern) if not is_passed_over(path.name))


def _read_list(path: Path | None) -> set[str] | None:
    """Read the names in a list of VOC's, which may stand in quotes."""
    return None if path is None else {line.strip('"') for _, line in read_lines(path) if line}


def _read_categories(path: Path) -> list[str]:
    """Read the names of a COCO file's categories, in the order of their ids."""
    categories = Records(path, read_coco(path), "categories")
    ids = [categories.whole(i, "id", least=0) for i in range(len(categories))]
    categories.once("id", ids)
    return [name for _, name in sorted(zip(ids, categories.texts("name"), strict=True))]


def _relabel(split: Split, classes: tuple[str, ...]) -> Split:
    """Number the classes of a split as those of all splits are numbered."""
    own = split.class_names or ()
    if own == classes or len(set(own)) < len(own):  # names that tell nothing apart
        return split
    labels = np.array([classes.index(name) for name in own], np.int64)[split.labels]
    return replace(split, labels=labels, class_names=classes)
