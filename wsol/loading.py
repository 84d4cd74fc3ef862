"""Reading ahead: threads decode the next images while the network works on these."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from wsol.images import ImageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import torch
    from torch import Tensor

T = TypeVar("T")
R = TypeVar("R")
E = TypeVar("E")


@dataclass(frozen=True, eq=False)
class ImageBatch(Generic[T, E]):
    """Items read together, ready for a network.

    Args:
        outcomes: every item in order, with what was read beside its image or why it cannot be read
        images: (N, 3, H, W), on the device, of the N items that can be read; None where N = 0
    """

    outcomes: tuple[tuple[T, E | ImageError], ...]
    images: Tensor | None

    @property
    def readable(self) -> list[tuple[T, E]]:
        """The N items that can be read, each with what was read beside its image."""
        return [(item, each) for item, each in self.outcomes if not isinstance(each, ImageError)]

    @property
    def unreadable(self) -> list[tuple[T, ImageError]]:
        """The other items, each with the reason."""
        return [(item, each) for item, each in self.outcomes if isinstance(each, ImageError)]

    def restore_order(self, results: Iterable[R]) -> Iterator[tuple[T, R | ImageError]]:
        """Put results back among the items that have none.

        Args:
            results: one for each readable item, in order

        Yields:
            every item in order, with its result or why it cannot be read
        """
        remaining = iter(results)
        for item, outcome in self.outcomes:
            yield item, outcome if isinstance(outcome, ImageError) else next(remaining)


def read_images(
    items: Iterable[T],
    read: Callable[[T], tuple[Tensor, E]],
    batch_size: int,
    workers: int,
    device: str | torch.device,
) -> Iterator[ImageBatch[T, E]]:
    """Read images ahead and put them on the device a batch at a time.

    Args:
        items: what to read
        read: called in threads; gives an image, (3, H, W), and what goes with it, which may be
            None; may raise ImageError
        batch_size: items in a batch; the last batch may be smaller
        workers: threads; 0 and 1 both mean one
        device: that the images go to

    Raises:
        ValueError: a batch size below 1
    """
    import torch

    for batch in read_ahead(items, read, batch_size, workers):
        tensors = [result[0] for _, result in batch if not isinstance(result, ImageError)]
        yield ImageBatch(
            tuple((i, each if isinstance(each, ImageError) else each[1]) for i, each in batch),
            torch.stack(tensors).to(device) if tensors else None,
        )


def read_ahead(
    items: Iterable[T], read: Callable[[T], R], batch_size: int, workers: int
) -> Iterator[list[tuple[T, R | ImageError]]]:
    """Read items in order, in batches, never more than two batches ahead.

    Args:
        items: what to read
        read: called in threads; an ImageError replaces its result
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
