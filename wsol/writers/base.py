"""What every writer does: takes localizations and errors one by one, then closes its files."""

from __future__ import annotations

import csv
from abc import ABC, abstractmethod
from contextlib import suppress
from importlib.metadata import version
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, Any, ClassVar

from eval.tables import guard_cell
from tdam.atomic import naming
from tdam.strict_json import dumps, loads
from wsol.out_files import open_file
from wsol.writers.names import unique_stem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from tdam.atomic import AtomicFile
    from wsol.regions import Region
    from wsol.results import Localization


class Writer(ABC):
    """Writes localizations in one format; its files appear when it is closed.

    As a context manager it closes at the end of the block, unless an error ends that: then the
    files are as they were before.

    Args:
        folder: that the files go to; exists
        names: of all classes
    """

    options: ClassVar[frozenset[str]] = frozenset()  # names of further arguments that it takes
    of_maps: ClassVar[bool] = False  # whether boxes alone are too little for it
    of_steps: ClassVar[bool] = True  # whether it writes anything of the steps before the last one

    def __init__(self, folder: Path, names: tuple[str, ...]) -> None:
        self.folder = folder
        self.names = names
        self.notes: list[str] = []  # what people should know of the files
        self._files: list[AtomicFile] = []
        self._unnamed: set[str] = set()

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        try:
            if kind is None:
                self.close()
        finally:
            self.discard()

    def _open(self, name: str) -> IO[str]:
        """Open a text file of the folder, which `close` will put in its place."""
        file = open_file(  # written with whatever bytes a file's name holds
            self.folder / name, encoding="utf-8", errors="surrogateescape", newline=""
        )
        self._files.append(file)
        return file.file

    def _reference(self, localization: Localization) -> str:
        """Return an image's path as it was given, or a name for one that came from memory."""
        path = localization.path
        return unique_stem(None, self._unnamed) if path is None else str(path)

    @abstractmethod
    def add(self, localization: Localization) -> None:
        """Write the localizations of one image."""

    @abstractmethod
    def add_error(self, path: Path, reason: str) -> None:
        """Write that an image could not be read."""

    def close(self) -> None:
        """Put the files in their places, in the order in which they were opened."""
        for file in self._files:
            file.commit()

    def discard(self) -> None:
        """Drop what has not been put in its place."""
        for file in self._files:
            file.discard()


class PathTable:
    """A table of two columns, the first of which names a file.

    Args:
        path: of the table, which there is only where it has a row; an earlier one is removed
        header: of the columns
        files: of the writer, which puts them in their places
    """

    def __init__(self, path: Path, header: tuple[str, str], files: list[AtomicFile]) -> None:
        self._path, self._header, self._files = path, header, files
        self._table: Any = None
        path.unlink(missing_ok=True)

    def add(self, *row: object) -> None:
        """Append a row."""
        if self._table is None:
            file = open_file(self._path, encoding="utf-8", errors="surrogateescape", newline="")
            self._files.append(file)
            self._table = csv.writer(file.file)
            self._table.writerow(self._header)
        self._table.writerow(map(guard_cell, row))


class ErrorTable(PathTable):
    """A table of the images that could not be read, where a format has no place for them.

    Args:
        path: as for `PathTable`, like the next one
        files: of the writer
    """

    def __init__(self, path: Path, files: list[AtomicFile]) -> None:
        super().__init__(path, ("file", "error"), files)


class Records:
    """Records that a format needs again at its end, on the disk, since memory is for few.

    Args:
        folder: whose disk takes them, in a file without a name
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = TemporaryFile("w+", encoding="ascii", dir=folder)  # noqa: SIM115
        self.count = 0

    def append(self, record: Any) -> None:
        """Keep a record, in values that `json` can write."""
        with naming(self._folder):
            self._file.write(dumps(record) + "\n")
        self.count += 1

    def __iter__(self) -> Iterator[Any]:
        """Read all records again, in order."""
        with naming(self._folder):
            self._file.flush()
            self._file.seek(0)
        yield from map(loads, self._file)

    def close(self) -> None:
        """Forget them."""
        with suppress(OSError):
            self._file.close()


def describe_writer() -> str:
    """Name this program and its version, for files that say what wrote them."""
    return f"wsol-tdam {version('wsol-tdam')}"


def write_list(items: Iterable[Any], file: IO[str]) -> None:
    """Write a list as `json.dump` does, item by item."""
    file.write("[")
    for number, item in enumerate(items):
        file.write((", " if number else "") + dumps(item))
    file.write("]")


def write_object(parts: dict[str, Any], file: IO[str]) -> None:
    """Write an object as `json.dump` does; values that are iterators become lists, item by item."""
    for number, (key, value) in enumerate(parts.items()):
        file.write(f"{', ' if number else '{'}{dumps(key)}: ")
        if hasattr(value, "__next__"):
            write_list(value, file)
        else:
            file.write(dumps(value))
    file.write("}")


def each_box(localization: Localization) -> Iterator[tuple[Localization, list[float], float]]:
    """Go through the boxes of all classes of one image.

    Yields:
        the class, the box (x0 y0 x1 y1, outer edges in pixels of the original image) and its
        score
    """
    for each in localization.classes:
        for box, score in zip(each.boxes.tolist(), each.box_scores.tolist(), strict=True):
            yield each, box, score


def each_region(
    localization: Localization,
) -> Iterator[tuple[Localization, list[float], float, Region]]:
    """Go through the boxes of all classes of one image as `each_box`, and what they are around.

    Yields:
        the class, the box, its score, and the region that it is drawn around
    """
    from wsol.regions import find_regions

    for each in localization.classes:
        scores = each.box_scores.tolist()
        for part in zip(each.boxes.tolist(), scores, find_regions(each), strict=True):
            yield (each, *part)


def list_classes(
    names: tuple[str, ...], occurring: Iterable[int], classes: Iterable[int] = ()
) -> list[int]:
    """Choose the classes that a labelling tool is told of.

    Args:
        names: of all classes
        occurring: classes that have a box
        classes: those that are wanted whether they occur or not

    Returns:
        their numbers, sorted: all of a network's own classes; of ImageNet's thousand, which no
        tool lists with pleasure, those that occur or are wanted
    """
    if len(names) == 1000:
        from wsol.classes import imagenet_names

        if names == imagenet_names():
            return sorted({*occurring, *classes})
    return list(range(len(names)))


def clip_box(box: list[float], width: int, height: int) -> tuple[float, float, float, float]:
    """Cut a box at the edges of its image, for formats that forbid what is outside.

    Args:
        box: x0 y0 x1 y1, outer edges in pixels
        width: of the image, in pixels
        height: of the image, in pixels

    >>> clip_box([-0.5, 1.0, 8.0, 6.0], 8, 5)
    (0.0, 1.0, 8.0, 5.0)
    """
    x0, y0, x1, y1 = (
        float(min(max(value, 0), limit))
        for value, limit in zip(box, (width, height, width, height), strict=True)
    )
    return x0, y0, x1, y1
