"""`wsol speed`: how fast this machine runs each stage, as ratios in one run."""

from __future__ import annotations

from typing import Annotated

import typer

from wsol.cli import common


def speed(
    model: common.Model = "resnet50",
    attention: common.Attention = "tdam",
    steps: common.Steps = 2,
    distance: common.Distance = 1,
    searchlight: common.Searchlight = "joint",
    batch_size: common.BatchSize = 8,
    repeats: Annotated[int, typer.Option(help="Pairs of runs that count.", min=1)] = 11,
) -> None:
    """Compare a network with attention to the plain one: inference, steps, training, memory.

    Both run in turn, and every ratio is taken pair by pair, so that a machine whose speed drifts
    gives the same figures. Run nothing else meanwhile.
    """
    common.check_model(model, attention, "auto")
    if attention == "none":
        raise typer.BadParameter("needs an attention to compare with", param_hint="--attention")
    from wsol.speed import compare_network, describe_machine

    settings = {
        "attention": attention,
        "steps": steps,
        "distance": distance,
        "searchlight": searchlight,
    }
    with common.wrong_use("--steps or --distance"):
        ratios = compare_network(model, settings, batch_size, repeats)
    rows = [
        [
            ratio.name,
            f"{ratio.median:.3f}",
            f"{ratio.low:.3f} - {ratio.high:.3f}",
            "" if ratio.target is None else f"{ratio.target:.2f}",
        ]
        for ratio in ratios
    ]
    common.print_table(f"{model}, batch {batch_size}, {repeats} pairs", _HEADER, rows)
    typer.echo(describe_machine())


_HEADER = ["ratio", "median", "spread", "at most"]
