"""The record of one registered network: what it wants as input and where its map comes from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tdam.preprocessing import Preprocessing


@dataclass(frozen=True)
class ModelSpec:
    """One registered network.

    Args:
        name: the registry's key
        family: module of `tdam.backbones` whose `build` makes the network
        map_layer: module whose output the maps are made of, (N, C, h, w)
        classifier: the last linear layer, whose weights a class activation map uses
        method: the map method that is right for its head
        pretrained: where the default weights come from, for people
        preprocessing: what the default weights were trained on
    """

    name: str
    family: str
    map_layer: str
    classifier: str
    method: str = "cam"
    pretrained: str = "torchvision (downloaded)"
    preprocessing: Preprocessing = field(default_factory=Preprocessing)


def describe_network(settings: dict[str, Any]) -> str:
    """Name a network as `resnet50 + tdam (joint, T2, m1)`.

    Args:
        settings: arguments of `create_model`
    """
    text = str(settings["name"])
    if settings["attention"] == "tdam":
        text += " + tdam ({searchlight}, T{steps}, m{distance})".format(**settings)
    elif settings["attention"] != "none":
        text += f" + {settings['attention']}"
    return text if settings["output_stride"] == 32 else f"{text} /{settings['output_stride']}"
