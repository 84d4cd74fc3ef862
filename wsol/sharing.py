"""Work over many images that the processes of a job share; one process does all of it."""

from __future__ import annotations

from contextlib import closing
from functools import partial, wraps
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from eval.image_files import get_max_pixels, set_max_pixels
from tdam.job import find_ranks, join_ranks
from wsol.data_ranges import noting_stretched, tell_stretched

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from pathlib import Path

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


def led(function: Callable[P, R]) -> Callable[P, R]:
    """Let a public function use all processes that torchrun started.

    Every process calls it. The first one does what the function does, with its own arguments; the
    others help, and return or raise what it does.
    """

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        return join_ranks().lead(partial(function, *args, **kwargs))

    return call


def share(make: Callable[[int, int], Iterator[T]]) -> Generator[T]:
    """Yield what all processes make of images that they read, as `Ranks.interleave`.

    Args:
        make: as there; the others read images with this process's limit of pixels, and what they
            note of images counts here

    Raises:
        tdam.ranks.RanksError: as there
    """
    with closing(find_ranks().interleave(partial(_make, make, get_max_pixels()))) as items:
        for item, stretched in items:
            for path in stretched:
                tell_stretched(path)
            yield item


def _make(
    make: Callable[[int, int], Iterator[T]], max_pixels: int, rank: int, count: int
) -> Iterator[tuple[T, list[Path]]]:
    """Make this process's items, each with the images that were stretched for it."""
    if rank == 0:  # whose notes are taken as it reads
        for item in make(rank, count):
            yield item, []
        return
    set_max_pixels(max_pixels)
    with noting_stretched() as stretched:
        for item in make(rank, count):
            paths = list(stretched)
            yield item, paths
            for path in paths:
                del stretched[path]


def deal_rows(rows: range, batch_size: int, rank: int, count: int) -> list[int]:
    """Give a process its rows: every `count`-th batch, so that batches are those of one process.

    Args:
        rows: of all processes
        batch_size: rows in a batch; the last one of all may be smaller
        rank: of the process, from 0
        count: of processes

    >>> deal_rows(range(3, 10), 2, 1, 2)
    [5, 6, 9]
    """
    size = max(batch_size, 1)  # who reads the batches refuses less
    firsts = range(rank * size, len(rows), count * size)
    return [row for first in firsts for row in rows[first : first + size]]
