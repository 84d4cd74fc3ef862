"""What the commands share: options, errors that become one line, rows and tables."""

from __future__ import annotations

import re
import sys
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eval.image_errors import PYTHON_LIMIT, name_limit
from tdam.attentions import ATTENTIONS, SEARCHLIGHTS
from tdam.named_weights import NAMED_WEIGHTS
from tdam.precision import PRECISIONS
from tdam.registry import list_models
from tdam.shipped_weights import list_shipped
from wsol.cli.completing import offer
from wsol.cli.streams import unescaped
from wsol.maps.names import LIBRARIES, METHODS, SLOW_METHODS
from wsol.maps.smoothing import SMOOTH
from wsol.text import RAW_BYTES, escape, list_choices

if TYPE_CHECKING:
    from collections.abc import Iterator

STRIDES = ("32", "16", "8")

DEFAULT_MODEL = "efficientnet_lite0"
DEFAULT_WEIGHTS = "efficientnet_lite0_tdam"  # by name, in `tdam.shipped_weights.list_shipped`

NETWORKS = "Network: a name that `wsol models` lists, timm:NAME or torchvision:NAME."
Model = Annotated[
    str, typer.Option(help=NETWORKS, metavar="NAME", autocompletion=offer(list_models))
]
PlainModel = Annotated[
    str | None,
    typer.Option(
        help=f"{NETWORKS} Without --checkpoint: {DEFAULT_MODEL}.",
        metavar="NAME",
        autocompletion=offer(list_models),
    ),
]
AnyModel = Annotated[
    str | None,
    typer.Option(
        help=f"{NETWORKS} Without --model, --attention, --weights and --checkpoint: "
        f"{DEFAULT_WEIGHTS}, which comes along.",
        metavar="NAME",
        autocompletion=offer(list_models),
    ),
]
Weights = Annotated[
    str,
    typer.Option(
        help="auto, pretrained, imagenet1k_v1 or _v2 (torchvision's), random, or a state dict.",
        metavar="W",
        autocompletion=offer(("auto", *NAMED_WEIGHTS, "random")),
    ),
]
Checkpoint = Annotated[
    Path | None,
    typer.Option(
        help=f"File or run whose weights tell their network, or {DEFAULT_WEIGHTS}, which comes "
        "along; cannot be combined with --model or --weights.",
        autocompletion=offer(list_shipped, or_files=True),
    ),
]
Attention = Annotated[
    str | None,
    typer.Option(
        help=f"{list_choices(ATTENTIONS)}.", metavar="NAME", autocompletion=offer(ATTENTIONS)
    ),
]
Steps = Annotated[
    int | None, typer.Option(help="T, how often a TDAM block's end runs (2).", metavar="T")
]
Distance = Annotated[
    int | None, typer.Option(help="m, how many convolutions run again (1).", metavar="M")
]
Searchlight = Annotated[
    str | None,
    typer.Option(
        help=f"{list_choices(SEARCHLIGHTS)}; default: joint.",
        metavar="NAME",
        autocompletion=offer(SEARCHLIGHTS),
    ),
]
OutputStride = Annotated[
    int | None,
    typer.Option(
        help="Input pixels a map pixel: 32 (default), 16 or 8.",
        autocompletion=offer(STRIDES),
    ),
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
METHOD_NAMES = ("auto", *METHODS)
METHOD_CHOICES = list_choices(
    [
        *(f"{name} (slow)" if name in SLOW_METHODS else name for name in METHOD_NAMES),
        *(f"{name}:NAME" for name in LIBRARIES),
    ]
)
Method = Annotated[
    str,
    typer.Option(
        help=f"Map method: {METHOD_CHOICES}.",
        metavar="NAME",
        autocompletion=offer(METHOD_NAMES),
    ),
]
Smooth = Annotated[
    str,
    typer.Option(
        help=f"Mean of the maps of several views of an image: {list_choices(SMOOTH)}. flip takes "
        "twice as long, flip+scale six times.",
        metavar="NAME",
        autocompletion=offer(SMOOTH),
    ),
]
Layer = Annotated[
    str | None,
    typer.Option(help="Module of the network to make the maps of; default: the network's own."),
]
Device = Annotated[
    str,
    typer.Option(
        help="auto, cpu, cuda, or as torch names it.",
        metavar="NAME",
        autocompletion=offer(("auto", "cpu", "cuda")),
    ),
]
Precision = Annotated[
    str,
    typer.Option(
        help="That the network computes in: float32, bfloat16 or float16; scores can differ.",
        metavar="NAME",
        autocompletion=offer(PRECISIONS),
    ),
]
ChannelsLast = Annotated[
    bool | None,
    typer.Option(
        "--channels-last/--no-channels-last",
        help="Memory layout; by default the one in which the network is faster.",
        show_default=False,
    ),
]
BatchSize = Annotated[int, typer.Option(help="Images at once.", min=1)]
Workers = Annotated[int, typer.Option(help="Threads that read images.", min=0)]
Seed = Annotated[int, typer.Option(help="Seed of random weights.")]
Report = Annotated[
    Path | None,
    typer.Option("--report", help="Folder for a page with tables, curves and pictures."),
]
Scored = Annotated[
    Path,
    typer.Argument(
        metavar="DATA",
        help="Folder with one folder a split, or with images and these in manifest/; a COCO data "
        "set file; or a folder of COCO, YOLO or VOC files with its splits.",
    ),
]
SplitName = Annotated[str, typer.Option(help="Such as test, or val+test.")]
Root = Annotated[Path | None, typer.Option(help="Image root of the ids; default: as DATA has it.")]
ClassTable = Annotated[
    Path | None,
    typer.Option(help="CSV with label,imagenet1k_index; default: classes.csv near DATA."),
]
Cache = Annotated[Path | None, typer.Option(help="Folder of packed images, which runs may share.")]
Readers = Annotated[int, typer.Option(help="Processes that read images.", min=0)]
ZeroBased = Annotated[
    bool,
    typer.Option(
        "--zero-based", help="Pixels of voc files from 0, for programs that do not subtract 1."
    ),
]
AllowOverlap = Annotated[
    bool,
    typer.Option(
        "--allow-overlap",
        help="Take images all the same that are trained on, chosen by or scored at once; every "
        "result then says so.",
    ),
]


def _limit_pixels(context: typer.Context, count: int | None) -> int | None:
    name_limit("--max-pixels")  # which not every command has, and Python neither
    context.call_on_close(partial(name_limit, PYTHON_LIMIT))
    if count is not None:
        from eval.image_files import set_max_pixels

        set_max_pixels(count)
    return count


MaxPixels = Annotated[
    int | None,
    typer.Option(
        help="Most pixels of an image that is read; default: 100 million.",
        min=1,
        callback=_limit_pixels,
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Overwrite what an earlier run wrote.")]


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
        named = re.match(r"(?:[\w.:]+: )?Expected (\w+) (to be|from)", str(error))
        if named is not None and named[1] in _ARGUMENTS:
            flag = "--" + named[1].replace("_", "-")
        raise typer.BadParameter(str(error), param_hint=flag) from error


def check_classes(class_name: str | None, class_from_folder: bool) -> None:
    """Exit with 2 where two flags both say which class is known."""
    if class_name is not None and class_from_folder:
        raise typer.BadParameter(
            "cannot be combined with --class", param_hint="--class-from-folder"
        )


def print_row(*columns: object) -> None:
    """Print a line of columns on stdout, tab-separated, whatever a file's name holds."""
    keep = "" if sys.stdout.isatty() else RAW_BYTES
    typer.echo("\t".join(escape(str(column), keep) for column in columns))


def check_threshold(threshold: float | None) -> None:
    """Exit with 2 where a threshold is no share."""
    if threshold is not None and not 0 <= threshold <= 1:
        raise typer.BadParameter(f"expected 0 to 1, got {threshold}", param_hint="--threshold")


def choose_device(name: str) -> str:
    """Return a device's name, or exit with 2 where this machine does not have it."""
    from wsol.runtime import find_device

    with wrong_use("--device"):
        return str(find_device(name))


def print_table(title: str, header: list[str], rows: list[list[str]]) -> None:
    """Print a table on stdout, the first column to the left and the others to the right."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    for index, column in enumerate(header):
        table.add_column(escape(column), justify="right" if index else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    options: dict[str, Any] = {
        "file": unescaped(sys.stdout),
        "highlight": False,
        "markup": False,
        "emoji": False,
    }
    console = Console(**options)
    if not console.is_terminal:  # a pipe has no width: keep every line whole
        console = Console(**options, width=240)
    console.print(escape(title), style="bold", soft_wrap=True)
    console.print(table)
