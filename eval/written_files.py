"""Files that wsol wrote, by the lists that it leaves in its folders: a search passes over them.

A list holds the names of the files that wsol wrote into its folder, one JSON string a line. What
somebody else put there is not on it, and is taken.
"""

from __future__ import annotations

import json
import os
import warnings
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

LIST = ".wsol-files"
_LONGEST = 1 << 16  # of a line; a longer one is none of wsol's


class WrittenFilesWarning(UserWarning):
    """A data set was read without what wsol wrote among its images."""


class WrittenFiles:
    """What a search passes over, by the lists of the folders that it has come to.

    Args:
        tell: is told of every folder whose files are passed over, once
        suffix: of the files that are worth telling of, lower case; None: those of images
    """

    def __init__(
        self, tell: Callable[[Path], object] | None = None, suffix: str | None = None
    ) -> None:
        self._tell = tell
        self._suffix = suffix
        self._owners: dict[Path, Path] = {}
        self._entered: set[Path] = set()
        self._folders: set[Path] = set()
        self._told: set[Path] = set()

    def enter(self, folder: Path, named: bool = False) -> None:
        """Read the list of a folder that the search has come to, if there is one.

        Args:
            folder: as the search spells it
            named: a person named it, so that what is told of is the folders in it

        Raises:
            OSError: the list cannot be read
        """
        if folder in self._entered:
            return
        self._entered.add(folder)
        for name in read_list(folder) or ():
            first, *rest = PurePosixPath(name).parts
            owner = folder / first if named and rest else folder
            self._owners.setdefault(folder / name, owner)
            self._folders.add(owner)

    def owns(self, folder: Path) -> bool:
        """Tell whether wsol wrote files into a folder, by its list or that of the one above."""
        return folder in self._folders

    def holds(self, path: Path) -> bool:
        """Tell whether wsol wrote a file, spelt as the search spells it."""
        owner = self._owners.get(path)
        if owner is None:
            return False
        if self._is_of_note(path.name):
            self.tell(owner)
        return True

    def tell(self, folder: Path) -> None:
        """Tell that files of a folder are passed over."""
        if folder not in self._told:
            self._told.add(folder)
            if self._tell is not None:
                self._tell(folder)

    def _is_of_note(self, name: str) -> bool:
        from eval.image_names import is_image_name

        return is_image_name(name) if self._suffix is None else name.endswith(self._suffix)


def read_list(folder: Path) -> set[str] | None:
    """Read the names of the files that wsol wrote into a folder.

    Returns:
        paths relative to the folder, with `/`, without those that lead out of it; folders end in
        `/`; None where there is no list

    Raises:
        OSError: the list cannot be read
    """
    path = folder / LIST
    try:
        if not path.is_file():  # a pipe would keep us waiting
            return None
        with path.open("rb") as lines:
            return parse_list(iter(lambda: lines.readline(_LONGEST), b""))
    except FileNotFoundError:
        return None


def parse_list(lines: Iterable[bytes]) -> set[str]:
    """Read the names in a list, as `read_list` gives them.

    Args:
        lines: of the list
    """
    names = set()
    for line in lines:
        with suppress(ValueError, RecursionError):
            name = json.loads(line)
            if isinstance(name, str) and _stays_inside(name):
                names.add(name)
    return names


def describe_written(folders: Collection[Path]) -> str:
    """Say that files were passed over because wsol wrote them.

    Args:
        folders: that they lie in, at least one
    """
    first, *others = folders
    count = f"{len(others) + 1} folders" if others else "1 folder"
    return f"passed over, since wsol wrote it: {count}, such as {first}"


def warn_of_written(folders: Collection[Path]) -> None:
    """Warn of the folders that were passed over, if there are any."""
    if folders:
        warnings.warn(describe_written(folders), WrittenFilesWarning, stacklevel=3)


def _stays_inside(name: str) -> bool:
    path = PurePosixPath(name)
    plain = "\\" not in name if os.name == "nt" else True
    inside = plain and not path.is_absolute() and not Path(name).drive
    try:
        os.fsencode(name)
    except ValueError:  # no name that a file can have
        return False
    return inside and bool(path.parts) and ".." not in path.parts and "\0" not in name
