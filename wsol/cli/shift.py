"""`wsol shift`: where the network looks at each step, as pictures, animations and one page."""

from __future__ import annotations

import sys
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wsol.attention_shift import run
from wsol.cli import common, networks
from wsol.cli.console import ConsoleEvents
from wsol.cli.interrupts import telling_what_is_kept
from wsol.cli.usage import usage
from wsol.folder_lock import has_files
from wsol.text import escape

if TYPE_CHECKING:
    from tdam.backbones.base import Backbone
    from wsol.attention_shift.trace import Shift
    from wsol.images import ImageError


class Colours(StrEnum):
    """Which colours a map has."""

    perceptual = "perceptual"
    jet = "jet"


def shift(
    sources: common.Sources,
    out: Annotated[Path, typer.Option(help="Folder for files.")] = Path(run.DEFAULT_FOLDER),
    model: common.AnyModel = None,
    weights: common.Weights = "auto",
    checkpoint: common.Checkpoint = None,
    attention: common.Attention = None,
    steps: common.Steps = None,
    distance: common.Distance = None,
    searchlight: common.Searchlight = None,
    output_stride: common.OutputStride = None,
    method: common.Method = "auto",
    threshold: common.Threshold = None,
    class_name: common.ClassName = None,
    class_from_folder: common.ClassFromFolder = False,
    blocks: Annotated[
        str | None,
        typer.Option(
            help="Top-down blocks whose searchlight maps to show, as layer3.0,layer4.1 "
            "(resnet50) or blocks.5.2 (efficientnet_lite0), or all; default: the last one.",
            metavar="NAMES",
        ),
    ] = None,
    boxes: Annotated[
        Path | None, typer.Option(help="COCO data set file with true boxes, to show the IoU.")
    ] = None,
    colours: Annotated[Colours, typer.Option(help="Of the maps.")] = Colours.perceptual,
    device: common.Device = "auto",
    batch_size: common.BatchSize = 16,
    workers: common.Workers = 2,
    seed: common.Seed = 0,
    max_pixels: common.MaxPixels = None,
    force: common.Force = False,
) -> None:
    """Show how attention shifts over the steps of a network.

    Writes pictures (NAME.png), animations (NAME.gif), one page of the first 500 (shift.html) and
    all numbers (shift.jsonl). All steps of an image share one colour scale. Prints one line an
    image and step: file, step, class with probability that the network puts first, class whose
    map it is with probability, box, centroid's shift, IoU with the true box, tab-separated. An
    image that cannot be read is named on stderr, the rest is done, and the exit code is 1.
    """
    asked = networks.attention_flags(attention, steps, distance, searchlight)
    networks.check_model(model, method, checkpoint, weights, **asked)
    common.check_classes(class_name, class_from_folder)
    common.check_threshold(threshold)

    def load() -> Backbone:
        return networks.load_model(
            model, weights, seed, checkpoint, output_stride=output_stride, **asked
        )

    chosen = None if blocks is None else [name.strip() for name in blocks.split(",")]
    interruptible = telling_what_is_kept(partial(_tell_kept, out))
    with interruptible, ConsoleEvents() as events, usage():
        result = run.shift(
            load,
            sources,
            out,
            method=method,
            threshold=threshold,
            class_name=class_name,
            class_from_folder=class_from_folder,
            blocks=None if chosen is None else [name for name in chosen if name],
            boxes=boxes,
            colours=colours.value,
            device=device,
            batch_size=batch_size,
            workers=workers,
            force=force,
            on_image=_print_shift,
            events=events,
        )
    total = result.done + len(result.failed)
    if result.one_step:
        sys.stderr.write(
            "the network has one step: there is no shift to see; a TDAM checkpoint has several, "
            f"such as --checkpoint {common.DEFAULT_WEIGHTS}, which is the default\n"
        )
    sys.stderr.writelines(f"{line}\n" for line in result.summary.describe())
    if result.without_true_box:
        count = f"{result.without_true_box} of {result.done}"
        sys.stderr.write(f"{boxes} has no box for {count} images\n")
    sys.stderr.write(f"{result.done} of {total} images drawn; open {result.page}\n")
    if result.failed:
        sys.stderr.write(f"{len(result.failed)} of {total} images could not be read\n")
        raise typer.Exit(1)


def _tell_kept(out: Path) -> str:
    """Say what an interruption leaves."""
    if not has_files(out):
        return f"nothing is drawn in {out} yet: the same command begins anew"
    return f"what was drawn by then is in {out}; the same command with --force begins anew"


def _print_shift(path: Path, shift: Shift | ImageError) -> None:
    from wsol.attention_shift.text import shift_rows
    from wsol.images import ImageError

    if isinstance(shift, ImageError):
        sys.stderr.write(f"{escape(str(shift))}\n")
        common.print_row(path, "error", str(shift).removeprefix(f"{path}: "))
        return
    for row in shift_rows(shift):
        common.print_row(*row)
