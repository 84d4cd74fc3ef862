"""The network that a call is about, however it was named."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from wsol.errors import about

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

    from tdam.preprocessing import Preprocessing


def get_network(
    model: nn.Module | str | Path | Callable[[], nn.Module], output_stride: int | None = None
) -> Any:
    """Give the network that is meant.

    Args:
        model: a network; the file, run or name of a checkpoint; the name of a network that comes
            with weights, or of another library's, `timm:NAME` or `torchvision:NAME`; or a function
            that gives a network
        output_stride: of a network that is built here; None for the one that its weights or its
            name stand for

    Returns:
        the network, out of what compiles or spreads it

    Raises:
        TypeError: something else
        wsol.errors.ArgumentError: a file of no registered network, or a name that means nothing
        tdam.weights.WeightsError: weights that cannot be had or read

    >>> get_network("efficientnet_lite0").settings["name"]
    'efficientnet_lite0'
    """
    from torch.nn import Module

    from tdam.outputs import unwrap

    if isinstance(model, Module):
        return unwrap(model)
    if isinstance(model, (str, Path)):
        from tdam import create_model, list_models, load_checkpoint
        from tdam.registry import is_outside
        from tdam.weights import find_weights

        stride: dict[str, Any] = {} if output_stride is None else {"output_stride": output_stride}
        with about("model"):
            named = str(model) in list_models() or is_outside(str(model))
            if named and not find_weights(model).exists():
                return create_model(str(model), weights="pretrained", **stride)
            return load_checkpoint(model, **stride)[0]
    if callable(model):
        return unwrap(model())
    raise TypeError(f"Expected a network or a checkpoint but got {type(model).__name__}")


def settle_input(
    network: nn.Module, preprocessing: Preprocessing | None, layer: object
) -> Preprocessing | None:
    """Let a network that is not registered tell what nobody gave.

    Args:
        network: any
        preprocessing: what it wants as input; None where it was not given
        layer: of its maps; None where it was not given

    Returns:
        what it wants as input; of a registered network None where it was not given

    Raises:
        wsol.errors.ArgumentError: something cannot be told; the message lists all of it
    """
    from tdam.describe import spec_of

    if hasattr(network, "spec") or (preprocessing is not None and layer is not None):
        return preprocessing
    with about("preprocessing" if preprocessing is None else "layer"):
        return spec_of(network, preprocessing).preprocessing
