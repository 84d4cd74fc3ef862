"""What a shell is told when somebody presses Tab: the names that an option takes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_ASKS = "_WSOL_COMPLETE"  # of the environment, by which a shell's own script asks


def offer(
    names: Iterable[str] | Callable[[], Iterable[str]], or_files: bool = False
) -> Callable[[str], list[str]]:
    """Make the function that an option's `autocompletion` is.

    Args:
        names: that the option takes, or a function that gives them, for those that take a while.
            Where none begins with what is typed, shells offer files
        or_files: files are as likely, so that shells offer these where nothing is typed

    >>> offer(["cam", "gradcam", "gradcampp"])("grad")
    ['gradcam', 'gradcampp']
    """

    def complete(incomplete: str) -> list[str]:
        if or_files and not incomplete:
            return []
        known = names() if callable(names) else names
        return [name for name in known if name.startswith(incomplete)]

    return complete


def settle_shell() -> None:
    """Make of what a shell asks what is expected, and of what it is told what it can read."""
    if _ASKS not in os.environ:
        return
    # A second line of a wrapped description would be taken for another name.
    os.environ["TERMINAL_WIDTH"] = "10000"  # as typer asks for it
    if "COMP_WORDS" in os.environ:
        words = os.environ["COMP_WORDS"].split("\n")
        words, place = _join_options(words, int(os.environ["COMP_CWORD"]))
        os.environ["COMP_WORDS"], os.environ["COMP_CWORD"] = "\n".join(words), str(place)


def _join_options(words: list[str], place: int) -> tuple[list[str], int]:
    """Drop the signs of --name=value, which bash takes for words.

    Args:
        words: that are typed
        place: of the one at the cursor

    >>> _join_options(["wsol", "predict", "--format", "=", "yo"], 4)
    (['wsol', 'predict', '--format', 'yo'], 3)
    """
    signs = [at for at, word in enumerate(words) if word == "=" and words[at - 1].startswith("--")]
    kept = [word for at, word in enumerate(words) if at not in signs]
    return kept, place - sum(at < place for at in signs)
