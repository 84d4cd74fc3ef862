"""Which of many images a bare name means: itself, its stem, or the name of a tool's copy.

Label Studio, like all that is built on Django, writes the copy of an upload under a cleaned name:
`with space 1.jpg` is `with_space_1.jpg` there.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING
from unicodedata import normalize

if TYPE_CHECKING:
    from collections.abc import Iterable

_SHOWN = 4  # images that a message names
_DROPPED = re.compile(r"[^-\w.]")


def clean_name(name: str) -> str:
    """Give the name that Label Studio has for an upload (Django's `get_valid_filename`).

    >>> clean_name("with space 1.jpg"), clean_name("it's 50%, #1.jpg")
    ('with_space_1.jpg', 'its_50_1.jpg')
    """
    return _DROPPED.sub("", name.strip().replace(" ", "_"))


class NameIndex:
    """Finds images by their names.

    Args:
        paths: of the images below a root, with `/`
    """

    def __init__(self, paths: Iterable[str]) -> None:
        self._exact: dict[str, list[str]] = {}
        self._cleaned: dict[str, list[str]] = {}
        for path in dict.fromkeys(paths):
            name = path.rsplit("/", 1)[-1]
            for names, each in ((self._exact, name), (self._cleaned, clean_name(name))):
                key = normalize("NFC", each)
                for entry in (key, _key_stem(PurePosixPath(key).stem)):
                    names.setdefault(entry, []).append(path)

    def list(self, name: str, stem: bool = False) -> list[str]:
        """List the images that have a name, or where there is none, whose copies may have it.

        Args:
            name: of an image, without folders
            stem: whether it is one without a suffix
        """
        key = normalize("NFC", name)
        key = _key_stem(key) if stem else key
        return self._exact.get(key) or self._cleaned.get(key) or []


def _key_stem(stem: str) -> str:
    return f"{stem}/"  # no name ends so


def tell_several(name: str, paths: list[str], where: str) -> str:
    """Say that a name means several images.

    Args:
        name: as a file has it
        paths: of the images
        where: they are, in words

    >>> tell_several("a.jpg", ["x/a.jpg", "y/a.jpg"], "below photos")
    'a.jpg is the name of 2 images below photos: x/a.jpg, y/a.jpg; give its folder'
    """
    shown = ", ".join(sorted(paths)[:_SHOWN])
    dots = ", ..." if len(paths) > _SHOWN else ""
    return f"{name} is the name of {len(paths)} images {where}: {shown}{dots}; give its folder"
