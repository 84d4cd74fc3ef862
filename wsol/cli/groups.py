"""A group of commands whose help is whole: asked for or not, no summary is ever cut."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperGroup

if TYPE_CHECKING:
    from collections.abc import Sequence

    from typer.core import TyperCommand


class HelpfulGroup(TyperGroup):
    """Shows its help where nothing is asked for, and of each command a whole sentence.

    Args:
        settings: as for typer's own group
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        commands: Sequence[TyperCommand | TyperGroup] = list(self.commands.values())  # type: ignore[arg-type]
        for command in commands:
            # Help and completion cut the first sentence of a command's help to a width of theirs,
            # but take a short help as it is.
            command.short_help = command.get_short_help_str(sys.maxsize)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the options before a command's name; where there is nothing, show the help."""
        if not args and not ctx.resilient_parsing:
            typer.echo(ctx.get_help())
            ctx.exit()
        return super().parse_args(ctx, args)
