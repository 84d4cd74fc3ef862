"""Weights that an experiment names without a path: a network's own, or torchvision's by version."""

from __future__ import annotations

import re
from pathlib import Path

VERSIONS = ("imagenet1k_v1", "imagenet1k_v2")  # torchvision's, first and second
NAMED = ("pretrained", *VERSIONS)


def find_named(model: str, name: str, folder: Path | None) -> str:
    """Look for the file of named weights, for machines that download nothing.

    Args:
        model: name of a network
        name: one of `NAMED`
        folder: where files of weights lie, or None

    Returns:
        the file, called as torchvision's server calls it; else the name itself
    """
    file = name_file(model, name)
    path = None if folder is None or not file else folder / file
    return str(path) if path is not None and path.is_file() else name


def name_file(model: str, name: str) -> str:
    """Tell how torchvision's server calls the file of a version; empty without one.

    >>> name_file("resnet50", "imagenet1k_v1")
    'resnet50-0676ba61.pth'
    """
    if name not in VERSIONS:
        return ""
    from torchvision import models

    try:
        url: str = models.get_model_weights(model)[name.upper()].url
    except (KeyError, ValueError):  # a network that torchvision does not have, or not so
        return ""
    return url.rpartition("/")[2]


def told_hash(file: str) -> str:
    """Read how a file's SHA-256 begins off its name, as torchvision's have it; empty without.

    >>> told_hash("resnet50-0676ba61.pth"), told_hash("best.pth")
    ('0676ba61', '')
    """
    told = re.search(r"-([0-9a-f]{8,64})\.pth$", Path(file).name)
    return told[1] if told else ""
