"""The command in the processes that torchrun started: the first one runs it, the others help."""

from __future__ import annotations

import json
import os
import platform
import shlex
import sys
import warnings
from itertools import zip_longest
from typing import TYPE_CHECKING

import typer

from tdam.job import count_started, find_ranks, join_ranks
from tdam.ranks import RanksError
from wsol.cli.usage import describe_error, show_traceback
from wsol.text import escape

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tdam.ranks import Ranks

COMMANDS = ("train", "evaluate", "benchmark", "reproduce")


def describe_use(command: str) -> str:
    """Tell at the end of a command's help how several processes share its work."""
    return (
        "Several processes share the work, on one machine with 4 GPUs by\n\n"
        f"\b\n  torchrun --nproc-per-node 4 -m -- wsol {command} ...\n\n"
        "and on a cluster by this on each of, say, 2 machines, which need the same folders:\n\n"
        "\b\n  torchrun --nnodes 2 --nproc-per-node 4 \\\n"
        "    --rdzv-backend c10d --rdzv-endpoint HOST:29500 \\\n"
        f"    -m -- wsol {command} ...\n\n"
        "where -- keeps torchrun from taking flags such as --run for its own."
    )


def check_command(command: str | None) -> None:
    """Refuse a command that several processes of a job cannot share.

    Raises:
        typer.BadParameter: it names those that can
    """
    count = count_started()
    if count > 1 and command is not None and command not in COMMANDS:
        raise typer.BadParameter(
            f"torchrun started {count} processes (WORLD_SIZE), which can share "
            f"{', '.join(COMMANDS[:-1])} and {COMMANDS[-1]}; start wsol {command} without it",
            param_hint=command,
        )


def run_together(arguments: Sequence[str], run: Callable[[], int]) -> int:
    """Run the command in the first process, and take part in it in the others.

    What a process finds before it has met the others, it says itself: nobody else can.

    Args:
        arguments: of the command, the same in every process
        run: the whole command, which tells of its errors itself

    Returns:
        its exit code, in every process
    """
    try:
        several = count_started() > 1
        if several:
            check_command(next((each for each in arguments if not each.startswith("-")), None))
            ranks = join_ranks()
    except (typer.BadParameter, ValueError) as error:
        return _say(error, 2)
    except RuntimeError as error:
        return _say(f"process {os.environ['RANK']} cannot meet the others: {error}", 1)
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted\n")
        return 130
    return _take_part(ranks, arguments, run) if several else run()


def _take_part(ranks: Ranks, arguments: Sequence[str], run: Callable[[], int]) -> int:
    """Do this process's part of a command, among those that have met."""
    if not ranks.first:
        warnings.simplefilter("ignore")  # the first process has the same
    try:
        check_same_command(ranks, arguments)
        code = ranks.lead(run)
    except KeyboardInterrupt:  # which the first process tells of
        return 130
    except RanksError as error:
        return _say(error, 1) if ranks.speaks() else 1
    except DifferentCommandError as error:  # which all meet at once
        code = _say(error, 2) if ranks.first else 2
    ranks.leave()
    return code


def check_same_command(ranks: Ranks, arguments: Sequence[str]) -> None:
    """Refuse, in step, processes that were started with different commands.

    Raises:
        DifferentCommandError: it names the first argument that differs, and the hosts
        RanksError: another process has ended
    """
    own = json.dumps([platform.node(), list(arguments)])
    told = ranks.union({f"{ranks.rank:09}": own})
    commands = [json.loads(told[rank]) for rank in sorted(told)]
    host, first = commands[0]
    for rank, (other_host, other) in enumerate(commands):
        for mine, theirs in zip_longest(first, other):
            if mine != theirs:
                raise DifferentCommandError(
                    f"Expected the same command in every process but process 0 ({host}) has "
                    f"{_quote(mine)} where process {rank} ({other_host}) has {_quote(theirs)}; "
                    "start all of them anew with one command"
                )


class DifferentCommandError(ValueError):
    """Processes of one job that were started with different commands."""


def _quote(argument: str | None) -> str:
    return "no further argument" if argument is None else shlex.quote(argument)


def _say(error: Exception | str, code: int) -> int:
    """Say in a line what ended this process, and give its exit code."""
    show_traceback()
    if isinstance(error, (typer.BadParameter, RanksError)):
        text = describe_error(error)
    else:
        text = escape(" ".join(str(error).split()))
    sys.stderr.write(f"Error: {text}\n")
    return code


def is_told(error: Exception) -> bool:
    """Tell whether another process has said already what ended all of them."""
    return isinstance(error, RanksError) and not find_ranks().speaks()
