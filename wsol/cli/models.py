"""`wsol models`: the networks there are, and what they cost."""

from __future__ import annotations

import typer

from wsol.cli import common, networks


def models(
    attention: common.Attention = None,
    steps: common.Steps = None,
    distance: common.Distance = None,
    searchlight: common.Searchlight = None,
) -> None:
    """List the networks: parameters, multiply-adds, map method, and their default weights.

    Multiply-adds are counted by torch on one image of the network's input size: as the recurrence
    is written, which is what training runs, and in inference, which leaves out what it can.
    """
    asked = networks.attention_flags(attention, steps, distance, searchlight)
    networks.check_model(common.DEFAULT_MODEL, "auto", None, "auto", **asked)
    from tdam.checkpoints import read_settings
    from tdam.profile import profile
    from tdam.registry import MODELS
    from tdam.shipped_weights import list_shipped, shipped_path
    from tdam.spec import describe_network

    rows = []
    for name, spec in MODELS.items():
        try:
            cost = profile(name, **asked)
        except ValueError as error:
            if attention != "tdam" or "distance" not in str(error):
                raise typer.BadParameter(
                    str(error), param_hint="--steps or --searchlight"
                ) from error
            rows.append([name, "-", "-", "-", "-", spec.method, f"m = {distance} is out of range"])
            continue
        side = spec.preprocessing.size
        rows.append(
            [
                name,
                f"{cost.parameters / 1e6:.2f} M",
                f"{cost.multiply_adds / 1e9:.3f} G",
                f"{cost.multiply_adds_inference / 1e9:.3f} G",
                f"{side} x {side}",
                spec.method,
                spec.pretrained,
            ]
        )
    title = "Networks" if attention in (None, "none") else f"Networks with {attention}"
    header = ["network", "parameters", "multiply-adds", "in inference", "input", "maps by"]
    common.print_table(title, [*header, "default weights"], rows)
    for name in list_shipped():
        settings = read_settings(shipped_path(name))
        typer.echo(
            f"--checkpoint {name}: {describe_network(settings)}, {settings['num_classes']} classes"
        )
