"""Listeners to long work: one that counts, one that stops it."""

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
