"""Whether a file is the picture that its truth is given for: itself, or a resized copy."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING

from eval.headers import read_header
from eval.splits import ManifestError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

Size = tuple[int, int]


def fits(stored: Size, size: Size) -> bool:
    """Tell whether two pictures can be copies of each other: their aspects are the same.

    Args:
        stored: width and height of the one
        size: width and height of the other; all four are rounded to whole pixels, up or down

    >>> fits((250, 188), (500, 375)), fits((375, 500), (500, 375)), fits((499, 500), (500, 499))
    (True, False, True)
    """
    (width, height), (other_width, other_height) = stored, size
    narrow = (width - 1) * (other_height - 1) <= (other_width + 1) * (height + 1)
    return narrow and (other_width - 1) * (height - 1) <= (width + 1) * (other_height + 1)


def find_squashed(copies: Iterable[Size], sizes: Sequence[Size]) -> Size | None:
    """Find the size that pictures were squashed to, whatever their aspects were.

    Args:
        copies: width and height of each copy
        sizes: width and height of each original

    Returns:
        the size of most copies where it is a square, or of all where the originals have several
        aspects; else None

    >>> find_squashed([(9, 9), (9, 9), (4, 2)], []), find_squashed([(80, 60)], [(80, 60)])
    ((9, 9), None)
    """
    counts = Counter(copies)
    if not counts:
        return None
    (shared, count), *others = counts.most_common()
    if shared[0] == shared[1]:
        return shared if 2 * count > counts.total() else None
    return None if others or all(fits(sizes[0], size) for size in sizes) else shared


class StoredSizes:
    """The sizes that the files of a split are stored in.

    Copies may be squashed, since boxes scale with width and height each by itself. That is known
    where most files are squares of one size, or all have one size that stands for several aspects.

    Args:
        paths: of all files
        sizes: width and height that the truth of each is given in, or None where not known
    """

    def __init__(self, paths: Sequence[Path], sizes: Sequence[Size] | None) -> None:
        self._paths, self._sizes = paths, sizes
        self._lock = Lock()

    def explain(self, stored: Size, size: Size) -> str:
        """Say why a file cannot be what its truth is given for; nothing where it can.

        Args:
            stored: width and height of the file's picture, upright
            size: width and height that its truth is given in
        """
        if stored == size or fits(stored, size):
            return ""
        with self._lock:  # other threads would look for the same
            if stored == self._squashed:
                return ""
        swapped = fits(stored[::-1], size)
        return (
            f"expected {size[0]} x {size[1]} pixels, or a resized copy, but got {stored[0]} x "
            f"{stored[1]}: "
            + ("width and height are swapped" if swapped else "the truth has no position in it")
        )

    @cached_property
    def _squashed(self) -> Size | None:
        """The size that files are squashed to, or None."""
        stored: list[Size] = []
        for path in self._paths:
            with suppress(ManifestError):  # told where it is read
                stored.append(read_header(path).upright)
        return find_squashed(stored, self._sizes or ())
