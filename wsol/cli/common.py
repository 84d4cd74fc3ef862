"""What the commands share: options, errors that become one line, progress bars."""

from __future__ import annotations

import re
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tdam.attentions import ATTENTIONS, SEARCHLIGHTS
from wsol.maps.names import METHODS, SLOW_METHODS
from wsol.text import list_choices

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DEFAULT_MODEL = "efficientnet_lite0"
DEFAULT_WEIGHTS = "efficientnet_lite0_tdam"  # by name, in `tdam.weights.list_shipped`

Model = Annotated[str, typer.Option(help="Network; `wsol models` lists them.", metavar="NAME")]
PlainModel = Annotated[
    str | None,
    typer.Option(
        help=f"Network; `wsol models` lists them. Without --checkpoint: {DEFAULT_MODEL}.",
        metavar="NAME",
    ),
]
AnyModel = Annotated[
    str | None,
    typer.Option(
        help="Network; `wsol models` lists them. Without --model, --attention, --weights and "
        f"--checkpoint: {DEFAULT_WEIGHTS}, which comes along.",
        metavar="NAME",
    ),
]
Weights = Annotated[
    str,
    typer.Option(help="auto, pretrained, random, or the path of a state dict.", metavar="W"),
]
Checkpoint = Annotated[
    Path | None,
    typer.Option(
        help=f"File or run whose weights tell their network, or {DEFAULT_WEIGHTS}, which comes "
        "along; goes not with --model or --weights."
    ),
]
Attention = Annotated[str | None, typer.Option(help=f"{list_choices(ATTENTIONS)}.", metavar="NAME")]
Steps = Annotated[
    int | None, typer.Option(help="T, how often a TDAM block's end runs (2).", metavar="T")
]
Distance = Annotated[
    int | None, typer.Option(help="m, how many convolutions run again (1).", metavar="M")
]
Searchlight = Annotated[
    str | None,
    typer.Option(help=f"{list_choices(SEARCHLIGHTS)}; default: joint.", metavar="NAME"),
]
OutputStride = Annotated[
    int | None, typer.Option(help="Input pixels a map pixel: 32 (default), 16 or 8.")
]
Sources = Annotated[
    list[str],
    typer.Argument(
        metavar="SOURCE",
        help="Files, folders, globs, list files (.txt), or - for a list on stdin.",
    ),
]
Threshold = Annotated[
    float | None,
    typer.Option(
        help="Share of the map's range above which a pixel counts; default: the one stored with "
        "the weights for their own maps, or 0.2."
    ),
]
ClassName = Annotated[str | None, typer.Option("--class", help="The class of all images is known.")]
ClassFromFolder = Annotated[
    bool, typer.Option("--class-from-folder", help="An image's folder names its class.")
]
METHOD_CHOICES = list_choices(
    ["auto", *(f"{name} (slow)" if name in SLOW_METHODS else name for name in METHODS)]
)
Method = Annotated[
    str,
    typer.Option(
        help=f"Map method: {METHOD_CHOICES}.",
        metavar="NAME",
    ),
]
Layer = Annotated[
    str | None,
    typer.Option(help="Module of the network to make the maps of; default: the network's own."),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, or as torch names it.", metavar="NAME")]
BatchSize = Annotated[int, typer.Option(help="Images at once.", min=1)]
Workers = Annotated[int, typer.Option(help="Threads that read images.", min=0)]
Seed = Annotated[int, typer.Option(help="Seed of random weights.")]
Report = Annotated[
    Path | None,
    typer.Option("--report", help="Folder for a page with tables, curves and pictures."),
]
Force = Annotated[bool, typer.Option("--force", help="Overwrite what an earlier run wrote.")]


_ESCAPES = {ord("\t"): "\\t", ord("\n"): "\\n", ord("\r"): "\\r"}
_ARGUMENTS = (
    "model",
    "attention",
    "steps",
    "distance",
    "searchlight",
    "output_stride",
    "method",
    "threshold",
    "out",
    "cache",
)


@contextmanager
def wrong_use(flag: str | None) -> Iterator[None]:
    """Turn a ValueError of the library into a complaint about a flag, which exits with 2.

    Args:
        flag: to name where the message does not begin with the name of a flag's argument; None
            where nobody gave the one that it is about
    """
    try:
        yield
    except ValueError as error:
        named = re.match(r"Expected (\w+) (to be|from)", str(error))
        if named is not None and named[1] in _ARGUMENTS:
            flag = "--" + named[1].replace("_", "-")
        raise typer.BadParameter(str(error), param_hint=flag) from error


def check_classes(class_name: str | None, class_from_folder: bool) -> None:
    """Exit with 2 where two flags both say which class is known."""
    if class_name is not None and class_from_folder:
        raise typer.BadParameter("goes not with --class", param_hint="--class-from-folder")


def known_classes(
    paths: list[Path], names: tuple[str, ...], class_name: str | None, class_from_folder: bool
) -> list[int] | None:
    """Tell every image's class from the flags, or exit with 2 where the network knows none such.

    Args:
        paths: of the images
        names: of the network's classes
        class_name: of all images
        class_from_folder: an image's folder names its class

    Returns:
        one class an image, or None where the network shall choose
    """
    from wsol.classes import known_labels

    with wrong_use("--class" if class_name is not None else "--class-from-folder"):
        return known_labels(paths, names, class_name, class_from_folder)


def print_row(*columns: object) -> None:
    """Print a line of columns on stdout, tab-separated, whatever a file's name holds."""
    typer.echo("\t".join(str(column).translate(_ESCAPES) for column in columns))


def check_threshold(threshold: float | None) -> None:
    """Exit with 2 where a threshold is no share."""
    if threshold is not None and not 0 <= threshold <= 1:
        raise typer.BadParameter(f"expected 0 to 1, got {threshold}", param_hint="--threshold")


def list_images(sources: list[str]) -> list[Path]:
    """List the images of all sources, or exit with 2 where a source names none."""
    from wsol.images import SourceError, describe_passed_over, find_images

    strange: list[Path] = []
    try:
        paths = find_images(sources, strange.append)
    except SourceError as error:
        raise typer.BadParameter(str(error), param_hint="SOURCE") from error
    finally:
        if strange:
            sys.stderr.write(describe_passed_over(strange) + "\n")
    if not paths:
        raise typer.BadParameter("no images", param_hint="SOURCE")
    return paths


def choose_device(name: str) -> str:
    """Return a device's name, or exit with 2 where this machine does not have it."""
    from wsol.runtime import find_device

    with wrong_use("--device"):
        return str(find_device(name))


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


def describe_threshold(scores: dict[str, Any]) -> str:
    """Say which threshold an evaluation took, and where from.

    Args:
        scores: the JSON output
    """
    threshold = scores["threshold"]
    if threshold["rule"] is None:
        return "no threshold"
    where = {
        "oracle": f"the best on {threshold['chosen_on']} itself (oracle)",
        "val": "the best on val",
        "fixed": "fixed",
    }
    return f"threshold {threshold['value']:.3f}, {where[threshold['rule']]}"


def print_table(title: str, header: list[str], rows: list[list[str]]) -> None:
    """Print a table on stdout, the first column to the left and the others to the right."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    for index, column in enumerate(header):
        table.add_column(column, justify="right" if index else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:  # a pipe has no width: keep every line whole
        console = Console(highlight=False, markup=False, width=240)
    console.print(title, style="bold", soft_wrap=True)
    console.print(table)
