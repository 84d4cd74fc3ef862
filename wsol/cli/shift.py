"""`wsol shift`: where the network looks at each step, as pictures, animations and one page."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wsol.cli import common, data_sets, networks, outputs

if TYPE_CHECKING:
    import numpy as np

    from tdam.backbones.base import Backbone
    from wsol.attention_shift.true_boxes import TrueBoxes
    from wsol.results import Localization


class Colours(StrEnum):
    """Which colours a map has."""

    perceptual = "perceptual"
    jet = "jet"


def shift(
    sources: common.Sources,
    out: Annotated[Path, typer.Option(help="Folder for files.")] = Path("wsol-shift"),
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
    paths = outputs.keep_apart(common.list_images(sources), out)
    truth = None if boxes is None else _load_boxes(boxes)
    network = networks.load_model(
        model, weights, seed, checkpoint, output_stride=output_stride, **asked
    )

    from tdam.spec import describe_network
    from wsol.attention_shift.files import ShiftWriter
    from wsol.attention_shift.text import shift_rows
    from wsol.attention_shift.trace import trace_shift
    from wsol.classes import class_names
    from wsol.images import ImageError
    from wsol.localizer import Localizer

    names = class_names(network.settings["num_classes"], network.class_names)
    localizer = Localizer(
        network,
        networks.choose_method(network, method),
        threshold,
        names=names,
        searchlights=_choose_blocks(network, blocks),
        device=common.choose_device(device),
        batch_size=batch_size,
        workers=workers,
    )
    networks.note_threshold(network, threshold, localizer.threshold)
    labels = common.known_classes(paths, names, class_name, class_from_folder)
    outputs.free_folder(out, force)
    about = f"{describe_network(network.settings)}, threshold {localizer.threshold:.3g}"
    failed = known = one_step = 0
    with (
        localizer,
        common.progress("shift", len(paths)) as advance,
        ShiftWriter(out, about, colours.value) as writer,
    ):
        for path, found in localizer.stream(paths, labels):
            try:
                if isinstance(found, ImageError):
                    raise found
                true_boxes = None if truth is None else _look_up(truth, found)
                traced = trace_shift(
                    found, localizer.threshold, localizer.preprocessing, true_boxes
                )
                writer.add(traced)
            except ImageError as error:  # also for an image that has vanished by now
                failed += 1
                sys.stderr.write(f"{error}\n")
                common.print_row(path, "error", str(error).removeprefix(f"{path}: "))
            else:
                one_step += len(traced.steps) == 1
                known += traced.true_boxes is not None
                for row in shift_rows(traced):
                    common.print_row(*row)
            advance(1)
    done = len(paths) - failed
    if one_step:
        sys.stderr.write(
            "the network has one step: there is no shift to see; a TDAM checkpoint has several, "
            f"such as --checkpoint {common.DEFAULT_WEIGHTS}, which is the default\n"
        )
    if truth is not None and known < done:
        sys.stderr.write(f"{boxes} has no box for {done - known} of {done} images\n")
    sys.stderr.write(f"{done} of {len(paths)} images drawn; open {writer.page}\n")
    if failed:
        sys.stderr.write(f"{failed} of {len(paths)} images could not be read\n")
        raise typer.Exit(1)


def _load_boxes(boxes: Path) -> TrueBoxes:
    from wsol.attention_shift.true_boxes import TrueBoxes

    if not boxes.is_file():
        raise typer.BadParameter(f"{boxes}: no such file", param_hint="--boxes")
    split, _ = data_sets.load_drawn_boxes(boxes, "boxes")
    with common.wrong_use("--boxes"):
        return TrueBoxes(split)


def _look_up(truth: TrueBoxes, found: Localization) -> np.ndarray | None:
    """Find the true boxes of an image; a box of an image of another size is named on stderr."""
    try:
        return truth.find(found.path or "", (found.width, found.height))
    except ValueError as error:
        sys.stderr.write(f"{found.path}: {error}; its true boxes are left out\n")
        return None


def _choose_blocks(network: Backbone, blocks: str | None) -> list[str]:
    """Tell whose searchlights to show, or exit with 2 where a block has none."""
    known = network.searchlight_blocks()
    if blocks is None:
        return known[-1:]
    wanted = list(dict.fromkeys(name.strip() for name in blocks.split(",") if name.strip()))
    if wanted == ["all"] and known:
        return known
    wrong = [name for name in wanted if name not in known]
    if wrong or not wanted:
        there = f"there are {', '.join(known)}" if known else "this network has none"
        what = f"{wrong[0]!r} has no searchlight" if wrong else "names no block"
        raise typer.BadParameter(f"{what}; {there}", param_hint="--blocks")
    return wanted
