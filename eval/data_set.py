"""An opened data set: where it lies, where its images lie, its splits, its ids, its class table.

A data set has one of four forms: a folder with one folder of text files a split
(`four_files.py`), a COCO data set file (`coco.py`), a folder of images with boxes in COCO, YOLO or
VOC files (`box_folders.py`), or a folder of class folders (`folders.py`). The first has boxes or
masks, the next two boxes, the last classes only. The first may also lie in `manifest/` beside its
images.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from pathlib import Path

from eval.benchmark_metadata import refuse_box_list
from eval.box_folders import BoxFolder, find_box_folder, name_split
from eval.coco import load_coco
from eval.folders import list_folders, list_split_folders, load_folders
from eval.four_files import load_four_files
from eval.image_paths import ImageFinder
from eval.parsing import read_toml, show
from eval.splits import (
    MOST_CLASSES,
    ManifestError,
    Split,
    drop_repeated_boxes,
    is_text,
    join_splits,
)
from eval.tables import read_table, to_int


class DataSet:
    """A data set on disk, opened: each of its files is read at most once.

    Args:
        path: the data set itself: folder with one folder a split, COCO data set file, folder of
            images with boxes, or folder of class folders
        root: folder that the ids are relative to; None where it is not known
    """

    def __init__(self, path: Path, root: Path | None) -> None:
        self.path = path
        self.root = root
        self._loaded: dict[str, Split] = {}

    def __repr__(self) -> str:
        root = None if self.root is None else str(self.root)
        return f"DataSet(path={str(self.path)!r}, root={root!r})"

    @cached_property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits; an only one without a name of its own is `test`."""
        if not self.path.is_dir():
            return ("test",) if self.path.is_file() else ()
        return self._named or (("test",) if self._boxes or list_folders(self.path) else ())

    @cached_property
    def _named(self) -> tuple[str, ...]:
        """Names of splits that have one of their own."""
        if self.path.is_file():
            return ()
        if self._boxes is not None:
            return tuple(sorted(filter(None, self._boxes.parts)))
        return tuple(_four_file_splits(self.path) or list_split_folders(self.path))

    @cached_property
    def _boxes(self) -> BoxFolder | None:
        """The folder of images with boxes that it is, if it is one."""
        return None if _four_file_splits(self.path) else find_box_folder(self.path)

    def find_root(self) -> Path | None:
        """Tell which folder the ids are relative to by the data set itself.

        Returns:
            the folder of a COCO file; that of images with boxes, or of class folders; what
            `manifest.toml` names, as long as it is there; else None
        """
        if self.path.is_file():
            return self.path.parent
        if not _four_file_splits(self.path):
            return self.path if self._boxes or list_folders(self.path) else None
        try:
            content = read_toml(self.path / "manifest.toml")
        except ManifestError:
            return None
        root = content.get("root")
        if not isinstance(root, str) or not is_text(root) or not (self.path / root).is_dir():
            return None
        return self.path / root

    def settle_name(self, split: str) -> str:
        """Give the name that a split has here, where folders with boxes name theirs otherwise.

        Args:
            split: such as `valid`, or several joined by `+`
        """
        if self._boxes is None:
            return split
        names = split.split("+")
        return "+".join(name if name in self._named else name_split(name) for name in names)

    def check_name(self, split: str) -> str:
        """Settle the name of a split that is asked for, and refuse one that is not here.

        `load` gives the only split of a file or of class folders under any name; where the name
        becomes part of a result, a slip of the pen must not.

        Args:
            split: such as `test`, or several joined by `+`

        Returns:
            as `settle_name`

        Raises:
            ManifestError: no such split; the message lists those there are
        """
        split = self.settle_name(split)
        unknown = [name for name in split.split("+") if name not in self.splits]
        if unknown:
            known = ", ".join(self.splits) or "none"
            raise ManifestError(f"{self.path} has no split {unknown[0]!r}; it has {known}")
        return split

    def coco_file(self, split: str) -> Path | None:
        """Give the COCO file whose numbers of images and categories results of a split have."""
        if self.path.is_file():
            return self.path
        return None if self._boxes is None else self._boxes.coco_file(self.settle_name(split))

    def load(self, split: str = "test") -> Split:
        """Read a split, or several disjoint ones joined by `+`.

        Args:
            split: such as `test` or `val+test`; the only split of a COCO file or of class folders
                takes whatever name is asked for

        Returns:
            the split, every fault excluded

        Raises:
            ManifestError: a missing folder or file, or a line or record that breaks a rule
        """
        split = self.settle_name(split)
        names = split.split("+")
        if len(names) > 1 and not self._named:
            raise ManifestError(
                f"{self.path}: expected one name for its only split but got {split!r}"
            )
        joined = self._load_one(names[0])
        for name in names[1:]:
            joined = join_splits(joined, self._load_one(name))
        return joined if len(names) == 1 else replace(joined, name=split)

    def _load_one(self, name: str) -> Split:
        if name not in self._loaded:
            read = drop_repeated_boxes(self._read(name))
            self._loaded[name] = replace(read, name=name)
        return self._loaded[name]

    def _read(self, name: str) -> Split:
        if self.path.is_file():
            refuse_box_list(self.path)
            finder = None if self.root is None else ImageFinder(self.root)
            return load_coco(self.path, name, finder=finder)
        if self._boxes is None:
            return _read_split(self.path, name)
        if self._named and name not in self._named:
            raise ManifestError(
                f"{self.path}: expected a split of {self._boxes.form} files but got {name!r}; "
                f"splits here: {', '.join(self._named)}"
            )
        return self._boxes.load(name, self.root or self.path)

    @property
    def image_root(self) -> Path:
        """Folder that the ids are relative to.

        Raises:
            ManifestError: it is not known
        """
        if self.root is None:
            raise ManifestError(f"{self.path}: expected to be told its image root (--root)")
        return self.root

    @cached_property
    def ids(self) -> frozenset[str]:
        """Ids of the images of every split.

        Raises:
            ManifestError: a fault in any of the splits
        """
        return frozenset(image_id for name in self.splits for image_id in self.load(name).ids)

    @cached_property
    def class_table(self) -> Path | None:
        """The table that maps labels onto ImageNet's 1000 classes, in or beside the data set."""
        beside = (self.path, self.path.absolute().parent, self.root)
        return find_class_table(*(folder for folder in beside if folder is not None))

    def count_classes(self, split: Split, most: int) -> int:
        """Count the classes; a split may lack the last ones, so the others are counted too.

        Args:
            split: to count first
            most: number from which on no other split is read

        Raises:
            ManifestError: a fault in another split
        """
        if split.count_classes() >= most:
            return split.count_classes()
        return max(self.load(name).count_classes() for name in self.splits)


def open_data_set(data: str | Path | DataSet, root: str | Path | None = None) -> DataSet:
    """Open a data set from the file or folder that people keep it in.

    Args:
        data: folder with one folder a split; folder of images with these in `manifest/`; COCO data
            set file; folder of images with boxes in COCO, YOLO or VOC files; folder of class
            folders; or a data set that is open already
        root: folder that the ids are relative to; None: as the data set has it, which is the folder
            that holds `manifest/` or a COCO file, that of images with boxes or class folders, or
            what `manifest.toml` names, as long as it is there

    Returns:
        the data set, of which nothing is read yet

    Raises:
        ManifestError: no such file or folder

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     open_data_set(folder).splits
    ()
    """
    if isinstance(data, DataSet):
        home = data.root if root is None else Path(root)
        return data if home == data.root else DataSet(data.path, home)
    path = Path(data)
    if not path.exists():
        raise ManifestError(f"{path}: no such file or folder")
    inside = path / "manifest"
    home = None
    if _four_file_splits(inside):
        path, home = inside, path
    opened = DataSet(path, None if root is None else Path(root))
    if root is None:
        opened.root = opened.find_root() or home
    return opened


def find_class_table(*folders: Path) -> Path | None:
    """Find the first `classes.csv` that maps labels, and does not only name them.

    Args:
        folders: to look in, in order
    """
    for folder in folders:
        path = folder / "classes.csv"
        if path.is_file():
            with path.open(encoding="utf-8-sig", errors="replace") as file:
                if "imagenet1k_index" in file.readline(10_000):
                    return path
    return None


def _four_file_splits(data: Path) -> list[str]:
    return sorted(path.parent.name for path in data.glob("*/image_ids.txt"))


def _read_split(data: Path, name: str) -> Split:
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
    loaded = load_four_files(data / name)
    folders = (data, data.absolute().parent)
    path = next((f / "classes.csv" for f in folders if (f / "classes.csv").is_file()), None)
    if path is None:
        return loaded
    table = list(read_table(path, ()))
    names = _read_names(path, table, int(loaded.labels.max()))
    return replace(loaded, class_names=names, wnids=_read_wnids([row for _, row in table]))


def _read_wnids(rows: list[dict[str, str]]) -> tuple[str, ...] | None:
    """Read the classes' WordNet ids from a table, empty for a label without one."""
    labels = [to_int(row.get("label", "")) for row in rows]
    wnids = {
        label: row.get("wnid", "").strip()
        for label, row in zip(labels, rows, strict=True)
        if 0 <= label <= MOST_CLASSES
    }
    if not any(wnids.values()):
        return None
    return tuple(wnids.get(label, "") for label in range(max(wnids) + 1))


def _read_names(
    path: Path, table: list[tuple[str, dict[str, str]]], last: int
) -> tuple[str, ...] | None:
    """Read the names of classes 0 to `last` from a table that may have some."""
    names: dict[int, str] = {}
    lines: dict[tuple[str, str], str] = {}
    for where, row in table:
        if "name" not in row:
            return None
        label = to_int(row.get("label", ""))
        good = 0 <= label <= MOST_CLASSES and label not in names
        if not good or not row["name"] or not is_text(row["name"]):
            raise ManifestError(
                f"{where}: expected a new label from 0 and a name but got "
                f"{row.get('label', '')},{row['name']}"
            )
        same = row["name"], row.get("wnid", "")  # ImageNet has two cranes
        if lines.setdefault(same, where) != where:
            raise ManifestError(
                f"{where}: expected a name for one label alone but {lines[same]} has "
                f"{show(row['name'])} too; a column wnid can tell them apart"
            )
        names[label] = row["name"]
    missing = next((i for i in range(max(last, *names, 0) + 1) if i not in names), None)
    if missing is not None:
        raise ManifestError(f"{path}: expected a name for every label but {missing} has none")
    return tuple(names[label] for label in sorted(names))
