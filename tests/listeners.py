"""Listeners to long work: one that counts, one that stops it."""

import re

from tdam.events import Events


class Counter(Events):
    """Remembers what was done and said."""

    def __init__(self):
        self.tasks, self.counts, self.said, self.rows = [], [], [], []

    def begin(self, task, total=None, done=0):
        self.tasks.append((task, total, done))

    def advance(self, count=1, **figures):
        self.counts.append(count)

    def say(self, text):
        self.said.append(text)

    def epoch(self, history, best):
        self.rows.append(history[-1])


class Stopper(Counter):
    """Interrupts where so many calls have told of progress."""

    def __init__(self, after, error=KeyboardInterrupt):
        super().__init__()
        self.after, self.error = after, error

    def advance(self, count=1, **figures):
        super().advance(count)
        if len(self.counts) == self.after:
            raise self.error


class KillError(Exception):
    """What a listener raises to cut a run off."""


class Watchful(Counter):
    """Lets no task do more than it has announced, nor be the third of two."""

    left = None  # items of the task that is open; None where their number is not known
    short = None  # items that the last task was short of when it ended

    def begin(self, task, total=None, done=0):
        super().begin(task, total, done)
        numbers = re.search(r"(\d+)/(\d+)", task)
        assert numbers is None or int(numbers[1]) <= int(numbers[2]), task
        self.left = None if total is None else total - done
        assert self.left is None or self.left >= 0, (task, total, done)

    def advance(self, count=1, **figures):
        super().advance(count)
        if self.left is not None:
            self.left -= count
            assert self.left >= 0, self.tasks[-1]

    def end(self):
        if self.left is not None:
            self.short, self.left = self.left, None
