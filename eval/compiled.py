"""Loops as machine code: numba's compiler with the settings that every kernel here shares."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numba

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., object]")


def compiled(function: F) -> F:
    """Compile a function at its first call, and keep the result on disk for the next process.

    The compiled function releases the interpreter's lock, so that threads run it side by side.

    Args:
        function: of arrays and numbers
    """
    try:
        return numba.njit(function, cache=True, nogil=True)  # type: ignore[return-value]
    except RuntimeError:  # no folder to keep it in: a read-only home
        return numba.njit(function, nogil=True)  # type: ignore[return-value]
