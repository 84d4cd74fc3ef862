"""What `benchmark` and `reproduce` say on stderr: which run, how far, and about how long still."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from wsol.cli import common

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

EPOCHS, SCORINGS = "training epoch", "scoring"  # pieces of work


class Remaining:
    """Estimates the time left from what was done so far in this process.

    Args:
        todo: number of pieces of work of each kind, by its name, such as `epoch` and `scoring`
    """

    def __init__(self, todo: dict[str, int]) -> None:
        self.todo = dict(todo)
        self._seconds = dict.fromkeys(todo, 0.0)
        self._done = dict.fromkeys(todo, 0)
        self._began = time.monotonic()

    def start(self) -> None:
        """Begin a piece of work."""
        self._began = time.monotonic()

    def finish(self, kind: str, count: int = 1, free: bool = False) -> None:
        """End pieces of work, and begin the next.

        Args:
            kind: of them
            count: how many they were
            free: whether they took no time because they were done before, so that they tell nothing
        """
        now = time.monotonic()
        self.todo[kind] = max(self.todo[kind] - count, 0)
        if not free:
            self._seconds[kind] += now - self._began
            self._done[kind] += count
        self._began = now

    def describe(self) -> str:
        """Say how long it still takes, about, as far as that is known."""
        left, unknown = 0.0, []
        for kind, count in self.todo.items():
            if not count:
                continue
            if self._done[kind]:
                left += count * self._seconds[kind] / self._done[kind]
            else:
                unknown.append(common.count_things(count, kind))
        if not left:
            return f"{' and '.join(unknown)} left" if unknown else "nothing left"
        text = f"about {write_time(left)} left"
        return f"{text}, and {' and '.join(unknown)}" if unknown else text


def write_time(seconds: float) -> str:
    """Write a time as people say it.

    >>> write_time(100), write_time(5000)
    ('2 min', '1 h 23 min')
    """
    minutes = max(round(seconds / 60), 1)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


@contextmanager
def pass_progress(text: str, total: int) -> Iterator[Callable[[int], None]]:
    """Name a pass over a split on stderr, and show its bar on a terminal."""
    if not sys.stderr.isatty():
        sys.stderr.write(f"score {text}: {total} images\n")
    with common.progress(f"score {text}", total) as advance:
        yield advance
