"""Reading ahead: threads decode the next images while the network works on these."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from wsol.images import ImageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

T = TypeVar("T")
R = TypeVar("R")


def read_ahead(
    items: Iterable[T], read: Callable[[T], R], batch_size: int, workers: int
) -> Iterator[list[tuple[T, R | ImageError]]]:
    """Read items in order, in batches, never more than two batches ahead.

    Args:
        items: what to read
        read: called in threads; an ImageError takes the place of its result
        batch_size: items a batch; the last batch may be smaller
        workers: threads; 0 and 1 both mean one

    Yields:
        a batch of items, each with its result or the error

    Raises:
        ValueError: a batch size below 1
    """
    if batch_size < 1:
        raise ValueError(f"Expected batch_size to be at least 1 but got {batch_size}")

    def attempt(item: T) -> R | ImageError:
        try:
            return read(item)
        except ImageError as error:
            return error

    waiting: deque[tuple[T, Future[R | ImageError]]] = deque()
    pool = ThreadPoolExecutor(max_workers=max(workers, 1))
    try:
        for item in items:
            waiting.append((item, pool.submit(attempt, item)))
            if len(waiting) == 3 * batch_size:
                yield _take(waiting, batch_size)
        while waiting:
            yield _take(waiting, batch_size)
    finally:
        pool.shutdown(cancel_futures=True)


def _take(
    waiting: deque[tuple[T, Future[R | ImageError]]], count: int
) -> list[tuple[T, R | ImageError]]:
    pairs = [waiting.popleft() for _ in range(min(count, len(waiting)))]
    return [(item, future.result()) for item, future in pairs]
