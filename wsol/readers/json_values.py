"""Values of JSON that must be of one kind."""

from __future__ import annotations

from sys import float_info
from typing import Any

from eval.parsing import show


def is_number(value: Any) -> bool:
    """Tell whether a value is a finite number, as a float too.

    >>> [is_number(value) for value in (1, 0.5, True, "1", float("nan"), 10**400)]
    [True, True, False, False, False, False]
    """
    return type(value) in (int, float) and abs(value) <= float_info.max  # not so for what is none


def read_number(value: Any) -> float:
    """Return a finite number.

    Raises:
        TypeError: it is none
    """
    if not is_number(value):
        raise TypeError(f"{show(value)} is no number")
    return float(value)


def read_whole(value: Any) -> int:
    """Return a whole number.

    Raises:
        TypeError: it is none
    """
    if type(value) is not int:
        raise TypeError(f"{show(value)} is no whole number")
    return value


def read_text(value: Any) -> str:
    """Return a text.

    Raises:
        TypeError: it is none
    """
    if type(value) is not str:
        raise TypeError(f"{show(value)} is no text")
    return value
