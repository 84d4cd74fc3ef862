"""A request to end, as Ctrl-C is one: what a command has done by then is kept."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType


class Terminated(KeyboardInterrupt):
    """The system asked the process to end."""


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


def exit_code(stop: KeyboardInterrupt) -> int:
    """Give the exit code of an interrupted command, as a shell tells of a signal."""
    return 128 + (signal.SIGTERM if isinstance(stop, Terminated) else signal.SIGINT)


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    raise Terminated
