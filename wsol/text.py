"""Numbers and choices as people read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def count_things(count: int, thing: str) -> str:
    """Write a number of things.

    >>> count_things(1, "run"), count_things(2, "run")
    ('1 run', '2 runs')
    """
    return f"{count} {thing}{'' if count == 1 else 's'}"


def write_time(seconds: float) -> str:
    """Write a time as people say it.

    >>> write_time(100), write_time(5000)
    ('2 min', '1 h 23 min')
    """
    minutes = max(round(seconds / 60), 1)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def list_choices(names: Iterable[str]) -> str:
    """Write what there is to choose from.

    >>> list_choices(["cam", "gradcam", "layercam"]), list_choices(["cam"])
    ('cam, gradcam or layercam', 'cam')
    """
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last
