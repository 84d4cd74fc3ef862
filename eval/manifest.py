"""Splits of a data set, whichever form it has: four text files, a COCO file, or class folders.

`four_files.py` describes the folder with one folder of text files a split, `coco.py` the COCO data
set file, `folders.py` the folder of class folders. The first has boxes or masks, the second boxes,
the third classes only.
"""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

from eval.coco import load_coco
from eval.folders import list_folders, list_split_folders, load_folders
from eval.four_files import FILES, load_four_files
from eval.splits import ManifestError, MaskPaths, Split, join_splits
from eval.tables import read_table

__all__ = [
    "FILES",
    "ManifestError",
    "MaskPaths",
    "Split",
    "find_class_table",
    "find_data_set",
    "find_root",
    "list_splits",
    "load_classes",
    "load_split",
]


def load_split(data: str | Path, split: str = "test") -> Split:
    """Read a split, or several disjoint ones joined by `+`.

    Args:
        data: folder with one folder a split; or a COCO data set file or a folder of class
            folders, whose only split takes whatever name is asked for
        split: such as `test` or `val+test`

    Returns:
        the split, every fault excluded

    Raises:
        ManifestError: a missing folder or file, or a line or record that breaks a rule
    """
    data = Path(data)
    if not data.exists():
        raise ManifestError(f"{data}: no such file or folder")
    names = split.split("+")
    if len(names) > 1 and not _named_splits(data):
        raise ManifestError(f"{data}: expected one name for its only split but got {split!r}")
    joined = _load_one(data, names[0])
    for name in names[1:]:
        joined = join_splits(joined, _load_one(data, name))
    return replace(joined, name=split)


def list_splits(data: str | Path) -> list[str]:
    """Name the splits of a data set; an only split without a name of its own is `test`."""
    data = Path(data)
    if data.is_dir():
        return _named_splits(data) or (["test"] if list_folders(data) else [])
    return ["test"] if data.is_file() else []


def find_data_set(folder: Path) -> tuple[Path, Path | None]:
    """Find a data set, or images with their splits in `manifest/`, and the image root.

    Args:
        folder: of either, or a file

    Returns:
        the data set, and the folder that its ids are relative to, None where it is not known
    """
    inside = folder / "manifest"
    if _four_file_splits(inside):
        return inside, find_root(inside) or folder
    return folder, find_root(folder)


def find_root(data: str | Path) -> Path | None:
    """Tell which folder the ids of a data set are relative to.

    Returns:
        the folder of a COCO file; that of class folders; what `manifest.toml` names, as long as it
        is there; else None
    """
    data = Path(data)
    if data.is_file():
        return data.parent
    if not _four_file_splits(data):
        return data if list_folders(data) else None
    try:
        content = tomllib.loads((data / "manifest.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    root = content.get("root")
    return data / root if isinstance(root, str) and (data / root).is_dir() else None


def _named_splits(data: Path) -> list[str]:
    return [] if data.is_file() else _four_file_splits(data) or list_split_folders(data)


def _four_file_splits(data: Path) -> list[str]:
    return sorted(path.parent.name for path in data.glob("*/image_ids.txt"))


def _load_one(data: Path, name: str) -> Split:
    if data.is_file():
        return load_coco(data, name)
    if (data / "image_ids.txt").is_file():
        raise ManifestError(f"{data}: expected the folder above this one, which holds the splits")
    known = _four_file_splits(data)
    if not known:
        return load_folders(data, name)
    if name not in known:
        raise ManifestError(
            f"{data}: expected a split to be a folder with image_ids.txt but got {name!r}; "
            f"splits here: {', '.join(known)}"
        )
    found = load_four_files(data / name)
    return replace(found, class_names=_find_names(data, int(found.labels.max())))


def _find_names(data: Path, last: int) -> tuple[str, ...] | None:
    """Read the names of classes 0 to `last` from `classes.csv`, in the folder or the one above."""
    folders = (data, data.absolute().parent)
    path = next((f / "classes.csv" for f in folders if (f / "classes.csv").is_file()), None)
    if path is None:
        return None
    names: dict[int, str] = {}
    for where, row in read_table(path, ()):
        if "name" not in row:
            return None
        label = _to_int(row.get("label", ""))
        if label < 0 or label in names or not row["name"]:
            raise ManifestError(
                f"{where}: expected a new label from 0 and a name but got "
                f"{row.get('label', '')},{row['name']}"
            )
        names[label] = row["name"]
    missing = next((i for i in range(max(last, *names, 0) + 1) if i not in names), None)
    if missing is not None:
        raise ManifestError(f"{path}: expected a name for every label but {missing} has none")
    return tuple(names[label] for label in sorted(names))


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
    classes: dict[int, int] = {}
    for where, row in read_table(path, ("label", "imagenet1k_index")):
        label, index = _to_int(row["label"]), _to_int(row["imagenet1k_index"])
        if label < 0 or not 0 <= index < 1000 or label in classes:
            raise ManifestError(
                f"{where}: expected a new label from 0 and an index from 0 to 999 but got "
                f"{row['label']},{row['imagenet1k_index']}"
            )
        classes[label] = index
    return classes


def find_class_table(*folders: Path) -> Path | None:
    """Find the first `classes.csv` that maps labels, and does not only name them.

    Args:
        folders: to look in, in order
    """
    for folder in folders:
        path = folder / "classes.csv"
        if path.is_file():
            with path.open(encoding="utf-8-sig", errors="replace") as file:
                if "imagenet1k_index" in file.readline():
                    return path
    return None


def _to_int(text: str) -> int:
    """Read a number from 0; anything else becomes -1."""
    try:
        return int(text)
    except ValueError:
        return -1
