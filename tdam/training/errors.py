"""What can go wrong in a training that is no fault of the caller's code."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class TrainingError(RuntimeError):
    """A training that cannot go on; the message says where it stands and what to do."""


class UnreadableImageError(ValueError):
    """An image that cannot be read; the message is the reason, without the file's name."""


def refuse_unreadable(unreadable: Mapping[str, str], count: int, what: str) -> None:
    """Stop where more images cannot be read than a training may do without: a hundredth.

    Args:
        unreadable: reason by id
        count: of all of them
        what: they are called

    Raises:
        TrainingError: it names the first five
    """
    if len(unreadable) > 0.01 * count:
        named = "; ".join(f"{i}: {reason}" for i, reason in [*unreadable.items()][:5])
        raise TrainingError(
            f"{len(unreadable)} of {count} {what} cannot be read, more than 1 % ({named}); mend or "
            "remove them"
        )
