"""Which image of a split a path in another program's file means."""

from __future__ import annotations

from functools import cached_property
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from eval.image_paths import list_ends
from eval.name_index import NameIndex, tell_several

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


class IdPaths:
    """Finds images by however much of their paths a file names.

    Args:
        ids: of all images that may be meant
        others: gives the ids of other splits, whose images a file may have too; called where a path
            means none of `ids`
    """

    def __init__(self, ids: Iterable[str], others: Callable[[], Iterable[str]] = tuple) -> None:
        self._ids = frozenset(ids)
        self._others = others
        # By the end of an id, with and without its suffix; None where several ids end so.
        self._ends: dict[str, str | None] = {}
        for image_id in self._ids:
            for path in {image_id, str(PurePosixPath(image_id).with_suffix(""))}:
                parts = path.split("/")
                for first in range(len(parts)):
                    end = "/".join(parts[first:])
                    known = self._ends.setdefault(end, image_id)
                    if known != image_id:
                        self._ends[end] = None

    def find(self, path: str) -> str | None:
        """Find the image that a path means.

        Args:
            path: the id, more than it (with folders in front), or less (its end, which no other id
                has, be it without the suffix), spelt as `eval.image_paths` has it

        Returns:
            the id, or None where there is none, or several

        >>> known = IdPaths(["val/a.jpg", "val/b.jpg", "test/b.jpg"])
        >>> [known.find(path) for path in ("/data/val/b.jpg", "a", "b.jpg", "c.jpg")]
        ['val/b.jpg', 'val/a.jpg', None, None]
        """
        ends = list(list_ends(path))
        known = next((end for end in (path, *ends) if end in self._ids), None)
        if known is not None or not ends:
            return known
        known = next(filter(None, map(self._ends.get, (ends[0], *_list_copied(ends)))), None)
        return known or next((ids[0] for ids in self._list_named(ends) if len(ids) == 1), None)

    def tell_several(self, path: str) -> str:
        """Say that a path that was not found means several images; nothing where it does not."""
        found = next(filter(None, self._list_named(list(list_ends(path)))), [])
        name = path.replace("\\", "/").rsplit("/", 1)[-1]
        return tell_several(name, found, "of the data") if len(found) > 1 else ""

    def _list_named(self, ends: list[str]) -> Iterator[list[str]]:
        """List the images that have the name, or the cleaned one, of a path without folders."""
        bare = [end for end in ends[:1] if "/" not in end]
        for name in dict.fromkeys(end.rsplit("/", 1)[-1] for end in (*bare, *_list_copied(ends))):
            yield self._index.list(name) or self._index.list(name, stem=True)

    @cached_property
    def _index(self) -> NameIndex:
        return NameIndex(sorted(self._ids))

    def is_other(self, path: str) -> bool:
        """Tell whether a path means an image of another split."""
        return self._elsewhere.find(path) is not None

    @cached_property
    def _elsewhere(self) -> IdPaths:
        return IdPaths(self._others())


def _list_copied(ends: list[str]) -> list[str]:
    """List those ends of a path that are without the code of a copy, whose folder tells nothing."""
    name = ends[0].rsplit("/", 1)[-1] if ends else ""
    return [end for end in ends if end.rsplit("/", 1)[-1] != name]
