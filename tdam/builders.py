"""What builds a module for a number of channels: a registry's entry, or a class of the caller's."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from torch import nn


def find_name(
    what: str, choice: str | Callable[[int], nn.Module] | None, known: Collection[str]
) -> str:
    """Return the name under which a network's settings record a choice.

    Args:
        what: the kind of thing that is chosen, for messages
        choice: a name; a class or function from outside the package; or None for `none`
        known: names of the registry

    Raises:
        TypeError: neither a name nor anything to call
        ValueError: a name that is not known (the message lists those there are), or a callable
            without a name of its own, such as a lambda
    """
    if choice is None or isinstance(choice, str):
        name = choice or "none"
        if name not in known:
            raise ValueError(f"Expected {what} to be one of {', '.join(known)} but got {name!r}")
        return name
    if not callable(choice):
        raise TypeError(f"Expected {what} to be a name, a class or a function but got {choice!r}")
    own = getattr(choice, "__name__", "")
    if not own.isidentifier() or own in known:
        raise ValueError(
            f"Expected {what} to be a class or a function with a name of its own, which files of "
            f"weights repeat, but got {choice!r}; wrap it in a function"
        )
    return str(own)


def import_builder(path: str) -> Any:
    """Import what an entry of a registry names as `module:attribute`."""
    module, _, attribute = path.partition(":")
    return getattr(import_module(module), attribute)
