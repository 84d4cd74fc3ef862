"""Which file below an image root a path in another program's file means.

Programs name images as they saw them: by a path on another machine, by an address that they
served, by a copy with a code in front of its name, which is cleaned, or below a folder of their
own. As much of the path counts as there is below the root.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from eval.image_names import is_image_name, walk_folders
from eval.name_index import NameIndex, tell_several
from eval.parsing import refuse_folder
from eval.splits import ManifestError, is_text, leaves_root, tidy_path
from eval.written_files import WrittenFiles

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_SERVED = re.compile(r"/data/local-files/?\?d=")  # Label Studio's address of a file on its disk
_CODE = re.compile(r"[0-9a-f]{8}(-|__)(?=.)")  # in front of the name of its copies


def read_address(text: str) -> str:
    """Give the path in what may be an address.

    What a browser asks a server for is escaped; the names in a storage stand as they are.

    >>> read_address("/data/local-files/?d=mine/ein%20Bild.jpg"), read_address("http://h/a.jpg?x=1")
    ('mine/ein Bild.jpg', 'a.jpg')
    >>> read_address("s3://bucket/photos/e#1.jpg"), read_address("100%20.jpg")
    ('photos/e#1.jpg', '100%20.jpg')
    """
    served = _SERVED.search(text)
    if served is not None:
        return unquote(text[served.end() :])
    scheme, mark, below = text.partition("://")
    if not mark:
        return text
    if scheme.lower() not in ("http", "https"):
        return below.partition("/")[2].lstrip("/")
    try:
        return unquote(urlsplit(text).path).lstrip("/")
    except ValueError:  # no address
        return text


def list_ends(text: str) -> Iterator[str]:
    r"""List the ends of a path that may be a file's path below a root, the longest first.

    >>> list(list_ends(r"C:\me\new\..\p.jpg"))
    ['p.jpg']
    >>> list(list_ends("../media/1a2b3c4d-p.jpg"))
    ['media/1a2b3c4d-p.jpg', '1a2b3c4d-p.jpg', 'media/p.jpg', 'p.jpg']
    """
    path = read_address(text).replace("\\", "/")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts:
        parts = parts[len(parts) - parts[::-1].index("..") :]
    if parts and re.fullmatch("[A-Za-z]:", parts[0]):
        parts = parts[1:]
    if not parts:
        return
    plain = _CODE.sub("", parts[-1], count=1) if _CODE.match(parts[-1]) else parts[-1]
    for name in dict.fromkeys((parts[-1], plain)):
        for first in range(len(parts)):
            yield "/".join([*parts[first:-1], name])


class ImageFinder:
    """Finds the images below a root.

    Args:
        root: that ids are relative to
        anywhere: an image that is not found by its path may be found by its name alone, in any
            folder below the root, where no other has this name
        within: folders below the root that paths may be relative to, the likeliest first
    """

    def __init__(
        self, root: Path, anywhere: bool = False, within: tuple[str, ...] = (".",)
    ) -> None:
        self.root = root
        self._anywhere = anywhere
        self._within = within
        self._index: NameIndex | None = None
        self._folders: dict[str, NameIndex] = {}

    def find(self, text: str) -> str | None:
        """Find the image that a path means.

        Args:
            text: the path, or an address, of an image

        Returns:
            the id, or None where there is no such file
        """
        as_told = self.spell(text)
        if not is_text(as_told):
            return None
        ends = list(list_ends(text))
        places = [f"{folder}/{end}" for end in ends for folder in self._within]
        places = [as_told, *map(tidy_path, places), *ends]
        found = next(filter(self._is_file, places), None)
        if found is not None:
            return found
        lists = self._look_for(text) if self._anywhere else map(self._list_copied, places)
        return _take_only(lists)

    def spell(self, text: str) -> str:
        """Spell a path as the id of an image, whether it is there or not; it may leave the root."""
        path = tidy_path(read_address(text))
        return path if not path or leaves_root(path) else tidy_path(f"{self._within[0]}/{path}")

    def find_stem(self, text: str) -> str | None:
        """Find the image that a path without a suffix means, in any folder, under any suffix."""
        return _take_only(self._look_for(text, stem=True))

    def tell_several(self, text: str, stem: bool = False) -> str:
        """Say that a path that was not found means several images; nothing where it does not.

        Args:
            text: the path, or an address, of an image
            stem: whether it is one without a suffix
        """
        lists = self._look_for(text, stem) if self._anywhere or stem else ()
        found = next(filter(None, lists), [])
        name = text.replace("\\", "/").rsplit("/", 1)[-1]
        return tell_several(name, found, f"below {self.root}") if len(found) > 1 else ""

    def _is_file(self, path: str) -> bool:
        try:
            return bool(path) and not leaves_root(path) and (self.root / path).is_file()
        except OSError:  # a name that no file can have
            return False

    def _look_for(self, text: str, stem: bool = False) -> Iterator[list[str]]:
        """List the images in any folder that each name in a path means."""
        if self._index is None:
            self._index = NameIndex(self._list_images())
        for name in dict.fromkeys(end.rsplit("/", 1)[-1] for end in list_ends(text)):
            yield self._index.list(name, stem)

    def _list_images(self) -> Iterator[str]:
        for folder, files in walk_folders(self.root, refuse_folder, WrittenFiles()):
            for file in filter(is_image_name, files):
                yield (folder / file).relative_to(self.root).as_posix()

    def _list_copied(self, place: str) -> list[str]:
        """List the images of a folder that have the name of a copy in it."""
        folder, _, name = place.rpartition("/")
        if not name or leaves_root(place):
            return []
        if folder not in self._folders:
            try:
                names = [p.name for p in (self.root / folder).iterdir() if is_image_name(p.name)]
                paths = [f"{folder}/{each}" if folder else each for each in names]
            except (OSError, ValueError):  # no such folder, or a name that none can have
                paths = []
            self._folders[folder] = NameIndex(paths)
        return list(filter(self._is_file, self._folders[folder].list(name)))


def _take_only(lists: Iterable[list[str]]) -> str | None:
    """Take what the first name means that means one image alone."""
    return next((paths[0] for paths in lists if len(paths) == 1), None)


def settle_id(text: str, finder: ImageFinder | None) -> str:
    """Spell the path of an image as an id, as far as it is known where images lie.

    Args:
        text: the path, or an address, of an image
        finder: of the root; None where it is not known

    Returns:
        the id of the file that is there; without one, the path as it is told, which may leave the
        root or be empty

    Raises:
        ManifestError: several images have its name, and its folder is not told
    """
    if finder is None:
        return tidy_path(read_address(text))
    found = finder.find(text)
    if found is None and (several := finder.tell_several(text)):
        raise ManifestError(several)
    return found or finder.spell(text)
