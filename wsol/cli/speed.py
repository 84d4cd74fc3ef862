"""`wsol speed`: how fast this machine runs each stage, as ratios in one run."""

from __future__ import annotations

from enum import StrEnum
from functools import partial
from typing import Annotated

import typer

from wsol.cli import common, networks
from wsol.text import write_beside


class Stage(StrEnum):
    """What to measure."""

    network = "network"
    predict = "predict"
    score = "score"
    train = "train"


def speed(
    stage: Annotated[
        Stage,
        typer.Option(help="Attention (network), boxes (predict), scoring (score) or training."),
    ] = Stage.network,
    model: common.Model = "resnet50",
    attention: common.Attention = None,
    steps: common.Steps = None,
    distance: common.Distance = None,
    searchlight: common.Searchlight = None,
    batch_size: common.BatchSize = 8,
    repeats: Annotated[int, typer.Option(help="Pairs of runs that count.", min=1)] = 11,
) -> None:
    """Compare attention to none, boxes to bare passes, scoring to loops, or training to arithmetic.

    The attention is tdam where --attention names no other; predict and score take the network that
    comes along. Both sides run in turn, and every ratio is taken pair by pair, so that a machine
    whose speed drifts gives the same figures. Run nothing else meanwhile.
    """
    asked = networks.attention_flags(attention or "tdam", steps, distance, searchlight)
    networks.check_model(model, "auto", None, "auto", **asked)
    if stage is Stage.score:
        from wsol.speed.score import compare_scoring

        ratios = compare_scoring(repeats)
        title = f"scoring 224 x 224 maps of photographs, 1000 thresholds, {repeats} pairs"
    elif stage is Stage.predict:
        from wsol.runtime import ask_for_memory
        from wsol.speed.predict import compare_prediction

        ask_for_memory()
        ratios = compare_prediction(common.DEFAULT_WEIGHTS, repeats, partial(typer.echo, err=True))
        title = f"boxes by {common.DEFAULT_WEIGHTS}, {repeats} pairs"
    elif stage is Stage.train:
        from wsol.runtime import ask_for_memory
        from wsol.speed.train import compare_training

        ask_for_memory()
        ratios = compare_training(model, batch_size, repeats)
        title = f"training {model}, batch {batch_size}, {repeats} pairs"
    else:
        if attention == "none":
            message = "needs an attention to compare with"
            raise typer.BadParameter(message, param_hint="--attention")
        from wsol.speed.network import compare_network

        with common.wrong_use("--steps or --distance"):
            ratios = compare_network(model, asked, batch_size, repeats)
        title = f"{model}, batch {batch_size}, channels_last, float32, {repeats} pairs"
    from wsol.speed.ratios import describe_machine

    rows = []
    for ratio in ratios:
        median, target = f"{ratio.median:.3f}", ""
        if ratio.target is not None:
            bound = "at least" if ratio.at_least else "at most"
            median = write_beside(ratio.median, ratio.target, 3)
            target = f"{bound} {ratio.target:.2f}: {'yes' if ratio.met else 'no'}"
        spread = f"{ratio.low:.3f} - {ratio.high:.3f}"
        rows.append([ratio.name, median, spread, target])
    common.print_table(title, ["ratio", "median", "spread", "target"], rows)
    typer.echo(describe_machine())
