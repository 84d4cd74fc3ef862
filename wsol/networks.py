"""The network that a call is about, however it was named."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from wsol.errors import about

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn


def get_network(model: nn.Module | str | Path | Callable[[], nn.Module]) -> Any:
    """Give the network that is meant.

    Args:
        model: a network; the file, run or name of a checkpoint; the name of a network that comes
            with weights; or a function that gives a network

    Raises:
        TypeError: something else
        wsol.errors.ArgumentError: a file of no registered network, or a name that means nothing
        tdam.weights.WeightsError: weights that cannot be had or read

    >>> get_network("efficientnet_lite0").settings["name"]
    'efficientnet_lite0'
    """
    from torch.nn import Module

    if isinstance(model, Module):
        return model
    if isinstance(model, (str, Path)):
        from tdam import create_model, list_models, load_checkpoint
        from tdam.weights import find_weights

        with about("model"):
            if str(model) in list_models() and not find_weights(model).exists():
                return create_model(str(model), weights="pretrained")
            return load_checkpoint(model)[0]
    if callable(model):
        return model()
    raise TypeError(f"Expected a network or a checkpoint but got {type(model).__name__}")
