"""Images whose own range of values became black to white: told once a run, not once an image."""

from __future__ import annotations

from contextlib import contextmanager
from functools import wraps
from threading import Lock
from typing import TYPE_CHECKING, ParamSpec, TypeVar, cast

from tdam.events import SILENT, Events
from wsol.text import count_things

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

P = ParamSpec("P")
R = TypeVar("R")

_lock = Lock()
_runs: list[dict[Path, None]] = []


def tell_stretched(path: Path) -> None:
    """Note that an image's own range became black to white, for the runs that listen."""
    with _lock:
        for run in _runs:
            run[path] = None


@contextmanager
def noting_stretched() -> Iterator[dict[Path, None]]:
    """Listen as long as the block runs, and note the images in order."""
    stretched: dict[Path, None] = {}
    with _lock:
        _runs.append(stretched)
    try:
        yield stretched
    finally:
        with _lock:
            _runs[:] = [run for run in _runs if run is not stretched]


@contextmanager
def telling_stretched(events: Events) -> Iterator[None]:
    """Listen as long as the block runs, and say at its end how many images there were.

    Args:
        events: told one line, or none
    """
    stretched: dict[Path, None] = {}
    try:
        with noting_stretched() as stretched:
            yield
    finally:
        if stretched:
            count = count_things(len(stretched), "image")
            events.say(
                f"{count} with no declared range of values, such as {next(iter(stretched))}: the "
                "smallest value became black, the largest white"
            )


def tells_stretched(call: Callable[P, R]) -> Callable[P, R]:
    """Listen while a function runs, and tell its `events`."""

    @wraps(call)
    def listening(*args: P.args, **kwargs: P.kwargs) -> R:
        with telling_stretched(cast("Events", kwargs.get("events", SILENT))):
            return call(*args, **kwargs)

    return listening
