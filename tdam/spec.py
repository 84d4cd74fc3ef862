"""The record of one registered network: what it wants as input and where its map comes from."""

from __future__ import annotations

from dataclasses import dataclass, field

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
