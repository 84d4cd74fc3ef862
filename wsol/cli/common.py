"""What the commands share: options, errors that become one line, progress bars, models by name."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import nn

DEFAULT_MODEL = "efficientnet_lite0"

Model = Annotated[str, typer.Option(help="Network; `wsol models` lists them.", metavar="NAME")]
Weights = Annotated[
    str,
    typer.Option(help="auto (pretrained), random, or the path of a state dict.", metavar="W"),
]
Method = Annotated[str, typer.Option(help="Map method: cam or layercam.", metavar="NAME")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, or as torch names it.", metavar="NAME")]
BatchSize = Annotated[int, typer.Option(help="Images at once.", min=1)]
Workers = Annotated[int, typer.Option(help="Threads that read images.", min=0)]
Seed = Annotated[int, typer.Option(help="Seed of random weights.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite what an earlier run wrote.")]


def fail(message: str) -> NoReturn:
    """Say in one line what went wrong, and exit with 1."""
    sys.stderr.write(f"Error: {' '.join(message.split())}\n")
    raise typer.Exit(1)


@contextmanager
def wrong_use(flag: str) -> Iterator[None]:
    """Turn a ValueError of the library into a complaint about a flag, which exits with 2."""
    try:
        yield
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=flag) from error


def load_model(name: str, weights: str, seed: int) -> nn.Module:
    """Build the network that the flags ask for, or exit and say why not.

    Args:
        name: of a registered network
        weights: `auto`, `random`, or a path
        seed: of random weights
    """
    from tdam.registry import find_spec

    with wrong_use("--model"):
        find_spec(name)
    import torch

    from tdam import create_model
    from tdam.checkpoints import WeightsError

    torch.manual_seed(seed)
    source: str | None = {"auto": "pretrained", "random": None}.get(weights, weights)
    try:
        with wrong_use("--weights"):
            return create_model(name, weights=source)
    except WeightsError as error:
        fail(f"{error}; give --weights PATH, or --weights random to try without")


def free_folder(folder: Path, force: bool) -> Path:
    """Create an output folder, or exit with 2 where that would overwrite something."""
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir()) and not force):
        raise typer.BadParameter(
            f"{folder} exists; choose another folder or add --force", param_hint="--out"
        )
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def progress(text: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a progress bar on stderr while the block runs.

    Args:
        text: in front of the bar
        total: number of items

    Yields:
        to be called with the number of items done since the last call
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Remaining())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as p:
        task = p.add_task(text, total=total)
        yield lambda done: p.advance(task, done)


def print_table(title: str, header: list[str], rows: list[list[str]]) -> None:
    """Print a table on stdout, the first column to the left and the others to the right."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    for index, column in enumerate(header):
        table.add_column(column, justify="right" if index else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:  # a pipe has no width: keep every line whole
        console = Console(highlight=False, markup=False, width=160)
    console.print(table)
