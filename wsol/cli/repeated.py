"""A command as it was given, to be written down again with other options."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    import typer


def repeat_command(context: typer.Context, without: Collection[str] = ()) -> list[str]:
    """Write a command again: arguments first, then the options that were given.

    Args:
        context: of the command
        without: names of parameters to leave out

    Returns:
        words as a shell gives them; a source that begins with `-` has `./` in front
    """
    words = ["wsol", context.info_name or context.command.name or ""]
    later: list[str] = []
    for parameter in context.command.params:
        name = parameter.name or ""
        source = context.get_parameter_source(name)
        if name in without or source is None or source.name != "COMMANDLINE":
            continue
        values = _list_values(context.params[name])
        if parameter.param_type_name == "argument":
            words += (f"./{each}" if each[:1] == "-" != each else each for each in values)
        elif getattr(parameter, "is_flag", False):
            later.append(parameter.opts[0])
        else:
            later += [word for each in values for word in (parameter.opts[0], each)]
    return [*words, *later]


def _list_values(value: Any) -> Iterator[str]:
    """Write the values of a parameter, one or several, as they are typed."""
    several = value if isinstance(value, (list, tuple)) else [value]
    return (str(each.value if isinstance(each, Enum) else each) for each in several)
