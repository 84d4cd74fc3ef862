"""ImageNet weights by name: a network's own, and torchvision's first and second."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from tdam.spec import CONVOLUTIONS, FROM_TORCHVISION

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

PRETRAINED = "pretrained"
NAMED_WEIGHTS = (PRETRAINED, "imagenet1k_v1", "imagenet1k_v2")


def is_named(weights: str | Path | None) -> bool:
    """Tell whether weights are named here, and so lie in no file of the caller's."""
    return weights in NAMED_WEIGHTS


def fetch_named(network: str, weights: str) -> dict[str, Tensor]:
    """Fetch ImageNet weights by their name.

    Args:
        network: name of a registered network
        weights: `pretrained`, or `imagenet1k_v1` or `imagenet1k_v2`, as torchvision calls its first
            and second ones; where it has second ones, they are its `pretrained`

    Returns:
        tensors by name; of a network whose classifier was never published, those of others that
        it shares

    Raises:
        ValueError: torchvision has no such weights for the network; the message says for which
        tdam.weights.WeightsError: there are none, or they are not cached and could not be
            downloaded
    """
    from tdam.registry import MODELS, find_spec
    from tdam.torchvision_files import torchvision_weights
    from tdam.weights import WeightsError

    spec = find_spec(network)
    home = spec.family if "." in spec.family else f"tdam.backbones.{spec.family}"
    state: dict[str, Tensor]
    if weights == PRETRAINED:
        if spec.pretrained == CONVOLUTIONS:
            raise WeightsError(
                f"no weights for {network}: its pooled classifier was never published; train it, "
                f"from {NAMED_WEIGHTS[1]} with new_head if you like"
            )
        state = import_module(home).pretrained(network)
        return state
    having = [name for name in MODELS if weights in list_torchvision(name)]
    if network not in having:
        raise ValueError(
            f"Expected weights to be {PRETRAINED} or a file but got {weights} of {network}: "
            f"torchvision has them for {', '.join(having)}"
        )
    if spec.pretrained == CONVOLUTIONS:
        state = import_module(home).convolutions(network)
        return state
    return torchvision_weights(network, weights.upper())


def list_torchvision(network: str) -> list[str]:
    """Name the weights that torchvision has for a network: of `NAMED_WEIGHTS`, without the first.

    Args:
        network: name of a registered one

    >>> list_torchvision("resnet50"), list_torchvision("vgg16")
    (['imagenet1k_v1', 'imagenet1k_v2'], ['imagenet1k_v1'])
    """
    from torchvision import models

    from tdam.registry import find_spec

    pretrained = find_spec(network).pretrained
    if pretrained != FROM_TORCHVISION:
        return [NAMED_WEIGHTS[1]] if pretrained == CONVOLUTIONS else []
    known = {weights.name for weights in models.get_model_weights(network)}
    return [name for name in NAMED_WEIGHTS if name.upper() in known]
