"""Ctrl-C and SIGTERM, held back until the current step is done."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def held_interrupts(tell: Callable[[], None]) -> Iterator[threading.Event]:
    """Hold back the first interrupt; the second one acts as usual.

    Args:
        tell: called at once when somebody asks to stop

    Yields:
        an event that is set once somebody asked to stop; never set outside the main thread
    """
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = {each: signal.getsignal(each) for each in _SIGNALS}

    def note(number: int, frame: FrameType | None) -> None:
        asked.set()
        for each, handler in before.items():
            signal.signal(each, handler)
        with suppress(RuntimeError):  # of a stream that is being written to at this moment
            tell()

    for each in _SIGNALS:
        signal.signal(each, note)
    try:
        yield asked
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
