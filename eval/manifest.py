"""Splits of a data set, whichever form it has, and the table of its classes."""

from __future__ import annotations

from pathlib import Path

from eval.data_set import DataSet, find_class_table, open_data_set
from eval.four_files import FILES
from eval.splits import ManifestError, MaskPaths, Split
from eval.tables import read_table, to_int

__all__ = [
    "FILES",
    "DataSet",
    "ManifestError",
    "MaskPaths",
    "Split",
    "find_class_table",
    "list_splits",
    "load_classes",
    "load_split",
    "open_data_set",
]


def load_split(data: str | Path | DataSet, split: str = "test") -> Split:
    """Read a split, or several disjoint ones joined by `+`.

    Args:
        data: as for `open_data_set`
        split: such as `test` or `val+test`

    Returns:
        the split, every fault excluded

    Raises:
        ManifestError: a missing folder or file, or a line or record that breaks a rule
    """
    return open_data_set(data).load(split)


def list_splits(data: str | Path | DataSet) -> list[str]:
    """Name the splits of a data set; an only split without a name of its own is `test`.

    Args:
        data: as for `open_data_set`; nothing where there is no such file or folder
    """
    try:
        return list(open_data_set(data).splits)
    except ManifestError:
        return []


def load_classes(path: str | Path) -> dict[int, int]:
    """Read the table that maps a data set's labels onto ImageNet's 1000 classes.

    Args:
        path: CSV file with the columns `label` and `imagenet1k_index`; others are ignored

    Returns:
        index among the 1000 classes by label

    Raises:
        ManifestError: a missing file or column, a value out of range, or two labels with one
            index
    """
    path = Path(path)
    classes: dict[int, int] = {}
    lines: dict[int, str] = {}
    for where, row in read_table(path, ("label", "imagenet1k_index")):
        label, index = to_int(row["label"]), to_int(row["imagenet1k_index"])
        if label < 0 or not 0 <= index < 1000 or label in classes:
            raise ManifestError(
                f"{where}: expected a new label from 0 and an index from 0 to 999 but got "
                f"{row['label']},{row['imagenet1k_index']}"
            )
        if index in lines:
            raise ManifestError(
                f"{where}: expected an index for one label alone but {lines[index]} has {index} too"
            )
        classes[label], lines[index] = index, where
    return classes
