"""About how long a job of many parts still takes, from what was done so far."""

from __future__ import annotations

import time

from wsol.text import count_things, write_time

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
            free: whether they were done before and took no time, so that they say nothing
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
                unknown.append(count_things(count, kind))
        if not left:
            return f"{' and '.join(unknown)} left" if unknown else "nothing left"
        text = f"about {write_time(left)} left"
        return f"{text}, and {' and '.join(unknown)}" if unknown else text
