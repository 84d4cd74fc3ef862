"""What long work tells a person: a bar on a terminal, lines on stderr anywhere."""

from __future__ import annotations

import os
import sys
import time
import warnings
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any, TextIO

from eval.written_files import WrittenFilesWarning
from tdam.averaged import AveragedWeightsWarning
from tdam.events import Events
from tdam.unfinished import UnfinishedRunWarning
from wsol.cli.collecting import loaded
from wsol.cli.streams import lines_above, unescaped
from wsol.text import escape

if TYPE_CHECKING:
    from rich.progress import Progress


_OWN = (AveragedWeightsWarning, UnfinishedRunWarning, WrittenFilesWarning)


def show_warnings() -> None:
    """Write the library's own warnings as lines on stderr, without the code that gave them."""
    usual = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        if issubclass(category, _OWN):
            sys.stderr.write(f"{message}\n")
        else:
            usual(message, category, *where, **more)

    for each in _OWN:
        warnings.simplefilter("always", each)
    warnings.showwarning = show


_ANNOUNCED = "score "  # tasks of hours: named where there is no bar to see


class ConsoleEvents(Events):
    """Shows tasks as bars, each replacing the last; what is said stands above them."""

    def __init__(self) -> None:
        self._bar: Progress | None = None
        self._above = ExitStack()
        self._began = 0.0
        self._counted = 0

    def begin(self, task: str, total: int | None = None, done: int = 0) -> None:
        """Show a bar for a task; without a terminal, name the tasks that take long."""
        loaded()
        self.end()
        self._began, self._counted = time.monotonic(), 0
        if sys.stderr.isatty():
            self._bar = _start_bar(task, total, done)
            self._above.enter_context(lines_above(self._bar.console))
        elif task.startswith(_ANNOUNCED):
            self.say(f"{task}: {total} images")

    def advance(self, count: int = 1, **figures: float) -> None:
        """Move the bar, with figures and rate beside it."""
        if self._bar is None:
            return
        self._counted += count
        note = "  ".join(f"{name} {value:.3f}" for name, value in figures.items())
        if figures:
            rate = self._counted / max(time.monotonic() - self._began, 1e-9)
            note += f"  {rate:.0f} images/s"
        self._bar.update(self._bar.tasks[0].id, advance=count, note=escape(note))

    def end(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._above.close()
            self._bar.stop()
            self._bar = None

    def say(self, text: str) -> None:
        """Write a line."""
        if self._bar is not None:
            self._bar.console.print(escape(text))
        else:
            sys.stderr.write(f"{escape(text)}\n")

    def __enter__(self) -> ConsoleEvents:
        return self

    def __exit__(self, *error: Any) -> None:
        self.end()


def _start_bar(task: str, total: int | None, done: int) -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    console = Console(
        file=unescaped(sys.stderr), highlight=False, markup=False, emoji=False, soft_wrap=True
    )
    columns = (
        *(TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn()),
        *(TextColumn("{task.fields[note]}", markup=False), Remaining()),
    )
    bar = Progress(
        *columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False
    )
    bar.add_task(escape(task), total=total, completed=done, note="")
    bar.start()
    return bar


def silence(stream: TextIO) -> None:
    """Let what a stream still holds go nowhere, so that nobody complains at the end."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
