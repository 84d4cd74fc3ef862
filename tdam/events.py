"""What long work tells whoever started it: a program may show it, the library prints nothing."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class Events:
    """Listens to long work; every method does nothing until a subclass overrides it.

    One task is open at a time: `begin`, then `advance` as items are done, then `end`; the next
    `begin` ends it, too. `say` is for people and needs no task.
    """

    def begin(self, task: str, total: int | None = None, done: int = 0) -> None:
        """Begin a task.

        Args:
            task: what is done, such as `evaluate test`
            total: number of its items; None where it is not known
            done: how many of them were done before
        """

    def advance(self, count: int = 1, **figures: float) -> None:
        """Tell that items of the task are done.

        Args:
            count: since the last call
            figures: how it goes, such as `loss`
        """

    def end(self) -> None:
        """End the task, also where it was cut off."""

    def say(self, text: str) -> None:
        """Tell people in one line what they should know and no result holds."""

    def epoch(self, history: Sequence[dict[str, Any]], best: dict[str, Any] | None) -> None:
        """Tell that an epoch of a training is measured.

        Args:
            history: one row per epoch, this one last; the first row is from before any training
            best: the row whose weights are the result so far; None before the first epoch
        """


SILENT = Events()


@contextmanager
def working(events: Events, task: str, total: int | None = None, done: int = 0) -> Iterator[None]:
    """Open a task for a block; the arguments are those of `Events.begin`."""
    events.begin(task, total, done)
    try:
        yield
    finally:
        events.end()
