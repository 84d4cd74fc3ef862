"""A request to end, as Ctrl-C is one: what a command has done by then is kept."""

from __future__ import annotations

import signal
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

import typer

from wsol.text import escape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import FrameType


class Terminated(KeyboardInterrupt):
    """The system asked the process to end.

    Args:
        number: of the signal
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


@contextmanager
def terminable() -> Iterator[None]:
    """Let SIGTERM interrupt a block as Ctrl-C does.

    Raises:
        Terminated: on SIGTERM, in the main thread
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def telling_what_is_kept(tell: Callable[[], str]) -> Iterator[None]:
    """Say in one sentence, where a command is interrupted, what is kept and how to go on.

    Args:
        tell: gives the second half of the sentence, by what there is at that moment
    """
    try:
        yield
    except KeyboardInterrupt as stop:
        sys.stderr.write(f"Interrupted; {escape(tell())}\n")
        raise typer.Exit(exit_code(stop)) from None


def tell_nothing_saved(folder: Path) -> str:
    """Say the second half of the sentence where a command was interrupted before it saved any."""
    return f"nothing is saved in {folder} yet: the same command begins anew"


def exit_code(stop: KeyboardInterrupt) -> int:
    """Give the exit code of an interrupted command, as a shell tells of a signal."""
    return 128 + (stop.number if isinstance(stop, Terminated) else signal.SIGINT)


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    raise Terminated(number)
