"""The command in the processes that torchrun started: the first one runs it, the others help."""

from __future__ import annotations

import os
import sys
import warnings
from typing import TYPE_CHECKING

import typer

from tdam.job import count_started, find_ranks
from tdam.ranks import RanksError
from wsol.cli.usage import describe_error, show_traceback

if TYPE_CHECKING:
    from collections.abc import Callable

COMMANDS = ("train", "evaluate", "benchmark", "reproduce")


def describe_use(command: str) -> str:
    """Tell at the end of a command's help how several processes share its work."""
    return (
        "Several processes share the work, on one machine with 4 GPUs by\n\n"
        f"\b\n  torchrun --nproc-per-node 4 -m -- wsol {command} ...\n\n"
        "and on a cluster by this on each of, say, 2 machines, which need the same folders:\n\n"
        "\b\n  torchrun --nnodes 2 --nproc-per-node 4 --rdzv-backend c10d \\\n"
        f"    --rdzv-endpoint HOST:29500 -m -- wsol {command} ...\n\n"
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


def run_together(run: Callable[[], int]) -> int:
    """Run the command in the first process, and take part in it in the others.

    Args:
        run: the whole command, which tells of its errors itself

    Returns:
        its exit code, in every process
    """
    from tdam.job import join_ranks
    from wsol.runtime import keep_freed_memory

    try:
        ranks = join_ranks()
    except (RuntimeError, ValueError) as error:
        show_traceback()
        if int(os.environ.get("RANK", "0")) == 0:
            sys.stderr.write(f"Error: {count_started()} processes cannot meet: {error}\n")
        return 1
    if not ranks.first:
        warnings.simplefilter("ignore")  # the first process has the same
        keep_freed_memory()
    try:
        code = ranks.lead(run)
    except KeyboardInterrupt:  # which the first process tells of
        return 130
    except RanksError as error:
        if ranks.speaks():
            show_traceback()
            sys.stderr.write(f"Error: {describe_error(error)}\n")
        return 1
    ranks.leave()
    return code


def is_told(error: Exception) -> bool:
    """Tell whether another process has said already what ended all of them."""
    return isinstance(error, RanksError) and not find_ranks().speaks()
