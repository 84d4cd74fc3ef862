"""Values of JSON that must be of one kind."""

from __future__ import annotations

from math import isfinite
from typing import Any

from eval.parsing import show


def read_number(value: Any) -> float:
    """Return a finite number.

    Raises:
        TypeError: it is none
    """
    if type(value) not in (int, float) or not isfinite(value):
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
