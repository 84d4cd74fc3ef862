"""`wsol export`: a network out again as ONNX, with what boxes take beside it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wsol.cli import common, networks
from wsol.cli.console import ConsoleEvents
from wsol.cli.usage import usage

if TYPE_CHECKING:
    from tdam.backbones.base import Backbone


def export(
    out: Annotated[Path, typer.Option(help="File to write (.onnx).")],
    topk: Annotated[int, typer.Option(help="Most probable classes with a map.", min=1)] = 5,
    every_step: Annotated[
        bool, typer.Option("--every-step", help="Also put out the maps after every step.")
    ] = False,
    model: common.AnyModel = None,
    weights: common.Weights = "auto",
    checkpoint: common.Checkpoint = None,
    attention: common.Attention = None,
    steps: common.Steps = None,
    distance: common.Distance = None,
    searchlight: common.Searchlight = None,
    output_stride: common.OutputStride = None,
    method: common.Method = "auto",
    layer: common.Layer = None,
    threshold: common.Threshold = None,
    seed: common.Seed = 0,
    force: common.Force = False,
) -> None:
    """Write a network and its maps as ONNX, which runs without torch.

    NAME.onnx puts out scores, features, and the maps of the most probable classes, by the same
    method as predict; NAME.json says what it wants as input, the classes and the threshold; and
    wsol_reader.py draws the boxes with numpy, OpenCV, Pillow and onnxruntime. Needs the extra
    export.
    """
    asked = networks.attention_flags(attention, steps, distance, searchlight)
    networks.check_model(model, method, checkpoint, weights, **asked)
    common.check_threshold(threshold)

    def load() -> Backbone:
        return networks.load_model(
            model, weights, seed, checkpoint, output_stride=output_stride, **asked
        )

    from wsol.workflows.export import export_network

    with ConsoleEvents() as events, usage(model="--checkpoint" if checkpoint else "--model"):
        made = export_network(
            load, out, topk=topk, every_step=every_step, method=method, layer=layer,
            threshold=threshold, force=force, events=events,
        )  # fmt: skip
    typer.echo(f"{made.path}, {made.told.name} and {made.reader.name}")
    sys.stderr.write(
        f"maps by {made.method}, threshold {made.threshold:g}; {made.apart:.1e} from torch\n"
    )
