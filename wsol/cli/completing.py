"""What a shell is told when somebody presses Tab: the names that an option takes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_ASKS = "_WSOL_COMPLETE"  # of the environment, by which a shell's own script asks


def offer(
    names: Iterable[str] | Callable[[], Iterable[str]],
) -> Callable[[str], list[str]]:
    """Make the function that an option's `autocompletion` is.

    Args:
        names: that the option takes, or a function that gives them, for those that take a while.
            Where none begins with what is typed, shells offer files

    >>> offer(["cam", "gradcam", "gradcampp"])("grad")
    ['gradcam', 'gradcampp']
    """

    def complete(incomplete: str) -> list[str]:
        known = names() if callable(names) else names
        return [name for name in known if name.startswith(incomplete)]

    return complete


def settle_width() -> None:
    """Let no description be wrapped for a shell, which takes a second line for another name."""
    if _ASKS in os.environ:
        os.environ["TERMINAL_WIDTH"] = "10000"  # as typer asks for it
