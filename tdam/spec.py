"""The record of one registered network: what it wants as input and where its map comes from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tdam.preprocessing import Preprocessing

# A network's own, a linear one on the mean of its last map, two classifiers of that map, or one
# like the second with branches that guide it.
HEADS = ("own", "mean", "acol", "spg")
FROM_TORCHVISION = "torchvision (downloaded)"
CONVOLUTIONS = "none; imagenet1k_v1 to train from"


@dataclass(frozen=True)
class ModelSpec:
    """One registered network.

    Args:
        name: the registry's key
        family: module whose `build(name, num_classes)` makes the network, a `Backbone`, and whose
            `pretrained(name)` has its weights: of `tdam.backbones`, or, with dots, of any package.
            Where its classifier was never published it has `convolutions(name)` instead
        pooled_layer: module whose output is pooled and classified, (N, C, h, w)
        classifier: the last linear layer
        cam: whether the classifier is linear in the pooled features, as class activation maps need
        method: the map method that gave the best boxes, of those that its head allows
        map_layer: module whose output, (N, C, h, w), the other methods' maps are made of; by
            default the pooled one
        pretrained: where the default weights come from, for people; of `FROM_TORCHVISION` the
            others that torchvision names can be had too, of `CONVOLUTIONS` its first ones of all
            but the classifier and `added`
        added: modules that no weights of others have, the classifier aside
        preprocessing: what the default weights were trained on
    """

    name: str
    family: str
    pooled_layer: str
    classifier: str
    cam: bool = True
    method: str = "cam"
    map_layer: str = ""
    pretrained: str = FROM_TORCHVISION
    added: tuple[str, ...] = ()
    preprocessing: Preprocessing = field(default_factory=Preprocessing)

    def __post_init__(self) -> None:
        if not self.map_layer:
            object.__setattr__(self, "map_layer", self.pooled_layer)


def describe_network(settings: dict[str, Any]) -> str:
    """Name a network as `resnet50 + tdam (joint, T2, m1)`.

    Args:
        settings: arguments of `create_model`

    >>> from tdam import create_model
    >>> describe_network(create_model("resnet18", head="acol", regularizer="adl").settings)
    'resnet18 + acol head + adl'
    """
    text = str(settings["name"])
    if settings["attention"] == "tdam":
        text += " + tdam ({searchlight}, T{steps}, m{distance})".format(**settings)
    elif settings["attention"] != "none":
        text += f" + {settings['attention']}"
    if settings.get("head", "own") != "own":
        text += f" + {settings['head']} head"
    if settings.get("regularizer", "none") != "none":
        text += f" + {settings['regularizer']}"
    return text if settings["output_stride"] == 32 else f"{text} /{settings['output_stride']}"


def name_network(network: Any) -> str:
    """Name any network for people: a registered one with its attention, others by their class.

    >>> name_network(object())
    'object'
    """
    settings = getattr(network, "settings", None)
    return type(network).__name__ if settings is None else describe_network(settings)
