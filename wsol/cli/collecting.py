"""When Python looks for objects that only hold each other: not while modules load, whose all stay.

A command that loads torch makes half a million objects, and by default they are gone through again
and again, and once more at the end.
"""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_RARELY = 1_000_000  # new objects until the next look, which a command without tasks may never have
_usual: list[tuple[int, int, int]] = []  # thresholds, of a process that is loading


@contextmanager
def loading() -> Iterator[None]:
    """Look rarely, until `loaded` or the end of the block."""
    _usual.append(gc.get_threshold())
    gc.set_threshold(_RARELY, *_usual[-1][1:])
    try:
        yield
    finally:
        if _usual:
            gc.set_threshold(*_usual.pop())


def loaded() -> None:
    """Look as usual from now on, but never again at what there is already.

    What comes later, such as files, is looked at once more when the process ends, as ever.
    """
    if _usual:
        gc.freeze()
        gc.set_threshold(*_usual.pop())
