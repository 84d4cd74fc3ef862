"""The network that a command's flags ask for, and what its maps are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from wsol.cli import common
from wsol.cli.usage import fail
from wsol.maps.names import check_method, explain_method, settle_method

if TYPE_CHECKING:
    from pathlib import Path

    from tdam.backbones.base import Backbone


def attention_flags(
    attention: str | None, steps: int | None, distance: int | None, searchlight: str | None
) -> dict[str, int | str]:
    """Gather the flags of attention that were given, as arguments of `create_model`."""
    given = {
        "attention": attention,
        "steps": steps,
        "distance": distance,
        "searchlight": searchlight,
    }
    return {name: value for name, value in given.items() if value is not None}


def refuse_flags(scored: str, **given: object) -> None:
    """Exit with 2 where a flag says something of a network though what is on disk is scored.

    Args:
        scored: the flag that says what is
        given: values by flag, with `_` for `-`; None, `auto` or `float32` where it was not given
    """
    for flag, value in given.items():
        if value not in (None, "auto", "float32"):
            message = f"goes with a network, not with {scored}"
            raise typer.BadParameter(message, param_hint=f"--{flag.replace('_', '-')}")


def check_model(
    model: str | None,
    method: str,
    checkpoint: Path | None = None,
    weights: str = "auto",
    **settings: int | str,
) -> None:
    """Exit with 2 where a name is unknown, before anything slow is imported.

    Args:
        model: None for the default
        method: of maps
        checkpoint: file that tells its network, so that no other flag may
        weights: `auto` where none are named
        settings: of `attention_flags`; those of top-down attention ask for some
    """
    from tdam.registry import find_attention, find_spec

    with common.wrong_use("--model"):
        find_spec(model or common.DEFAULT_MODEL)
    attention = settings.get("attention", "none")
    with common.wrong_use("--attention"):
        find_attention(str(attention))
    given = {"model": model is not None, "weights": weights != "auto"}
    for name in (*(flag for flag in given if given[flag]), *settings):
        if checkpoint is not None:
            message = "cannot be combined with --checkpoint, which names its network"
            raise typer.BadParameter(message, param_hint=f"--{name}")
    for name in settings:
        if name != "attention" and attention != "tdam":
            raise typer.BadParameter("goes with --attention tdam", param_hint=f"--{name}")
    with common.wrong_use("--method"):
        if method != "auto":
            check_method(method)


def load_model(
    name: str | None,
    weights: str,
    seed: int,
    checkpoint: Path | None = None,
    output_stride: int | None = None,
    **settings: Any,
) -> Backbone:
    """Build the network that the flags ask for, or exit and say why not.

    Args:
        name: of a registered network; None for the default, and where nothing else is asked for
            for the weights that come along
        weights: `auto`, `random`, one of `tdam.named_weights.NAMED_WEIGHTS`, or a path
        seed: of random weights
        checkpoint: a file that tells its network, instead of all but the next
        output_stride: None for the checkpoint's own, or 32
        settings: further arguments of `create_model`
    """
    import torch

    from tdam import create_model, load_checkpoint
    from tdam.identify import count_classes
    from tdam.named_weights import is_named
    from tdam.registry import is_outside
    from tdam.shipped_weights import shipped_path
    from tdam.weights import WeightsError

    torch.manual_seed(seed)
    if name is None and not settings and checkpoint is None and weights == "auto":
        checkpoint = shipped_path(common.DEFAULT_WEIGHTS)
    if output_stride is not None:
        settings["output_stride"] = output_stride
    source = "pretrained" if weights == "auto" else weights
    try:
        if checkpoint is not None:
            with common.wrong_use("--checkpoint"):
                stride = {} if output_stride is None else {"output_stride": output_stride}
                return load_checkpoint(checkpoint, **stride)[0]
        with common.wrong_use("--weights"):
            name = name or common.DEFAULT_MODEL
            if source != "random" and not is_named(source):
                settings["num_classes"] = count_classes(name, source)
            model = create_model(name, weights=source, **settings)
    except WeightsError as error:
        hint = "; give --checkpoint FILE, or --weights random to try without"
        fail(f"{error}{hint if checkpoint is None else ''}")
    if is_outside(model.settings["name"]):
        typer.echo(_tell_record(model), err=True)
    attention = model.settings["attention"]
    if is_named(source) and attention != "none":
        typer.echo(
            f"attention {attention} is not trained: until it is, the network says and shows what "
            "it does without",
            err=True,
        )
    return model


def _tell_record(model: Backbone) -> str:
    """Say what a network of another library was found to want and to have."""
    shown, spec = model.spec.preprocessing, model.spec
    return (
        f"{spec.name}: input {shown.size} x {shown.size}, {shown.interpolation}, "
        f"mean {shown.mean}, std {shown.std}; maps by {spec.method} of {spec.map_layer}; "
        f"its own weights: {spec.pretrained}"
    )


def choose_method(network: Backbone, method: str) -> str:
    """Return the map method to use, or exit with 2 where the network's head rules it out."""
    with common.wrong_use("--method"):
        name = settle_method(method, network)
    if note := explain_method(method, network):
        typer.echo(note, err=True)
    return name


def note_threshold(network: Backbone, asked: float | None, threshold: float) -> None:
    """Say on stderr where the threshold that is stored with a network is not the one taken."""
    from wsol.localizer import explain_threshold

    if note := explain_threshold(network, asked, threshold):
        typer.echo(note, err=True)
