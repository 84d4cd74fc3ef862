"""`wsol calibrate`: the threshold that a few corrected boxes ask for, stored with the weights."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wsol.cli import common, data_sets, networks, outputs

if TYPE_CHECKING:
    from eval.splits import Split
    from tdam.backbones.base import Backbone

_OWN = 0.99  # a mean overlap that boxes drawn by hand do not have


def calibrate(
    checkpoint: Annotated[
        Path,
        typer.Argument(
            metavar="CHECKPOINT",
            help="File of weights, a run's folder, or "
            f"{common.DEFAULT_WEIGHTS}, which needs --out.",
        ),
    ],
    boxes: Annotated[Path, typer.Option(help="COCO data set file, or folder of YOLO label files.")],
    root: Annotated[
        Path | None, typer.Option(help="Folder of the images; default: where the boxes say.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="File to write (.safetensors); default: CHECKPOINT itself."),
    ] = None,
    method: common.Method = "auto",
    device: common.Device = "auto",
    batch_size: common.BatchSize = 16,
    workers: common.Workers = 2,
    force: common.Force = False,
) -> None:
    """Pick the threshold at which a network's boxes overlap corrected ones most.

    Fifty images are enough for most purposes; the interval says how sure the threshold is. Images
    of classes that the network does not know are measured by the map of its own choice.
    """
    networks.check_model(common.DEFAULT_MODEL, method)
    from tdam.weights import find_weights

    weights = find_weights(checkpoint)
    for flag, path in (("CHECKPOINT", weights), ("--boxes", boxes)):
        if not path.exists():
            raise typer.BadParameter(f"{path}: no such file or folder", param_hint=flag)
    if weights != checkpoint and out is None:
        message = "needed to keep the weights that come along as they are"
        raise typer.BadParameter(message, param_hint="--out")
    target = _choose_target(checkpoint, out, force)
    split, home = data_sets.load_drawn_boxes(boxes, "corrected", root)

    from wsol.evaluation.calibration import calibrate as measure
    from wsol.evaluation.network_maps import NetworkMaps

    network = networks.load_model(None, "auto", 0, checkpoint)
    method = networks.choose_method(network, method)
    table = _match_classes(split, network)
    source = NetworkMaps(
        network,
        split,
        home,
        method,
        table,
        "predicted" if table is None else "ground_truth",
        batch_size=batch_size,
        workers=workers,
        device=common.choose_device(device),
    )
    with common.progress("calibrate", len(split)) as advance, common.wrong_use("--boxes"):
        found = measure(source, advance)
    for line in found.unreadable:
        sys.stderr.write(f"{line}\n")
    if len(found.unreadable):
        count = common.count_things(len(found.unreadable), "image")
        sys.stderr.write(f"{count} could not be read: left out\n")

    from tdam import save_checkpoint

    network.threshold = found.threshold
    network.spec = replace(network.spec, method=method)
    with outputs.writing(target, "--out"):
        save_checkpoint(network, target)
    typer.echo(
        f"threshold: {found.threshold:.3f} (95 % interval {found.interval[0]:.3f} to "
        f"{found.interval[1]:.3f}), on {common.count_things(found.images, 'image')}"
    )
    typer.echo(
        f"mean overlap on these very images: {found.overlap:.3f}; at the classic 0.2 "
        f"{found.classic_overlap:.3f}"
    )
    if found.overlap > _OWN and found.images > 1:
        sys.stderr.write(
            "these boxes are what the network predicts itself: was the file saved after they were "
            "corrected?\n"
        )
    typer.echo(f"stored in {target}; predict takes it, and maps by {method}, by default")
    if found.unreadable:
        raise typer.Exit(1)


def _choose_target(checkpoint: Path, out: Path | None, force: bool) -> Path:
    """Tell which file to write, or exit with 2 where it cannot hold a threshold."""
    if out is not None:
        if out.suffix != ".safetensors":
            raise typer.BadParameter(f"expected .safetensors, got {out}", param_hint="--out")
        return outputs.free_file(out, "--out", force)
    target = checkpoint / "model.safetensors" if checkpoint.is_dir() else checkpoint
    if target.suffix != ".safetensors":
        message = f"{target} cannot hold a threshold; name a .safetensors file to write"
        raise typer.BadParameter(message, param_hint="--out")
    return target


def _match_classes(split: Split, network: Backbone) -> dict[int, int] | None:
    """Find the network's class for every class of the boxes, by name; None where one is missing."""
    from wsol.classes import class_names, match_classes

    names = class_names(network.settings["num_classes"], network.class_names)
    if split.class_names is None:
        sys.stderr.write("no file names the classes: their numbers are taken for the network's\n")
        known = {label: label for label in set(split.labels.tolist())}
        return known if max(known) < len(names) else None
    table, missing = match_classes(split.labels.tolist(), split.class_names, names)
    if missing:
        strange = data_sets.tell_strange(missing)
        sys.stderr.write(f"{strange}; the maps of the predicted classes are measured\n")
    return table
