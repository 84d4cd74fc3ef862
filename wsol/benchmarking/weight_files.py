"""Files of weights as torchvision serves them: how they are called, and which bytes they have."""

from __future__ import annotations

import re
from pathlib import Path

from tdam.named_weights import is_named, list_torchvision


def find_file(network: str, weights: str, folder: Path | None) -> str:
    """Look for the file of named weights, so that a machine without network needs no download.

    Args:
        network: name of a registered one
        weights: one of `tdam.named_weights.NAMED_WEIGHTS`
        folder: where files of weights lie, or None

    Returns:
        the file, called as torchvision's server calls it; else the name of the weights
    """
    file = name_file(network, weights)
    path = None if folder is None or not file else folder / file
    return str(path) if path is not None and path.is_file() else weights


def name_file(network: str, weights: str) -> str:
    """Tell how torchvision's server calls the file of named weights; empty where it has none.

    >>> name_file("resnet50", "imagenet1k_v1")
    'resnet50-0676ba61.pth'
    """
    from torchvision import models

    if not is_named(weights) or weights not in list_torchvision(network):
        return ""
    url: str = models.get_model_weights(network)[weights.upper()].url
    return url.rpartition("/")[2]


def read_hash(file: str) -> str:
    """Read how a file's SHA-256 begins off its name, as torchvision's have it; empty without.

    >>> read_hash("resnet50-0676ba61.pth"), read_hash("best.pth")
    ('0676ba61', '')
    """
    told = re.search(r"-([0-9a-f]{8,64})\.pth$", Path(file).name)
    return told[1] if told else ""
