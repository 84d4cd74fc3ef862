"""`wsol calibrate`: the threshold that a few corrected boxes ask for, stored with the weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tdam.shipped_weights import list_shipped
from wsol.cli import common, networks
from wsol.cli.completing import offer
from wsol.cli.console import ConsoleEvents
from wsol.cli.score_tables import print_overlaps
from wsol.cli.usage import usage
from wsol.text import count_things


def calibrate(
    checkpoint: Annotated[
        Path,
        typer.Argument(
            metavar="CHECKPOINT",
            help="File of weights, a run's folder, or "
            f"{common.DEFAULT_WEIGHTS}, which needs --out.",
            autocompletion=offer(list_shipped, or_files=True),
        ),
    ],
    boxes: Annotated[
        Path | None,
        typer.Option(
            help="What a labelling tool exported: COCO, YOLO or VOC, Label Studio's or Datumaro's "
            "JSON, CVAT's XML; a file or a folder."
        ),
    ] = None,
    root: Annotated[
        Path | None, typer.Option(help="Folder of the images; default: where the boxes say.")
    ] = None,
    unlabelled: Annotated[
        Path | None, typer.Option(help="Folder of photographs, where there are no boxes.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="File to write (.safetensors); default: CHECKPOINT itself."),
    ] = None,
    method: common.Method = "auto",
    device: common.Device = "auto",
    batch_size: common.BatchSize = 16,
    workers: common.Workers = 2,
    allow_overlap: common.AllowOverlap = False,
    max_pixels: common.MaxPixels = None,
    force: common.Force = False,
) -> None:
    """Pick the threshold at which a network's boxes overlap corrected ones most.

    Fifty images are enough for most purposes; the interval says how sure the threshold is. Images
    of classes that the network does not know are measured by the map of its own choice. Without
    boxes, --unlabelled takes the threshold that the photographs alone ask for.
    """
    networks.check_model(common.DEFAULT_MODEL, method)
    from wsol.workflows.calibrate import calibrate as run

    with ConsoleEvents() as events, usage(checkpoint="CHECKPOINT"):
        chosen = run(
            checkpoint, boxes, root, unlabelled=unlabelled, out=out, method=method, device=device,
            batch_size=batch_size, workers=workers, allow_overlap=allow_overlap, force=force,
            events=events,
        )  # fmt: skip
    typer.echo(
        f"threshold: {chosen.threshold:.3f} (95 % interval {chosen.interval[0]:.3f} to "
        f"{chosen.interval[1]:.3f}), on {count_things(chosen.images, 'image')}"
    )
    what = "mean overlap on these very images" if unlabelled is None else "agreement, no boxes used"
    typer.echo(f"{what}: {chosen.overlap:.3f}; at the classic 0.2 {chosen.classic_overlap:.3f}")
    print_overlaps(chosen.overlaps)
    typer.echo(
        f"stored in {chosen.path}; predict takes it, and maps by {chosen.method}, by default"
    )
    if chosen.unreadable:
        raise typer.Exit(1)
