"""Files of weights as torchvision serves them: how they are called, and which bytes they have."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import torch

from tdam.named_weights import is_named, list_torchvision
from tdam.weights import WeightsError


def torchvision_weights(name: str, which: str = "DEFAULT") -> dict[str, torch.Tensor]:
    """Fetch a network's ImageNet weights from torchvision's cache or its server.

    Args:
        name: of the network
        which: of its weights, as torchvision's enumeration names them

    Raises:
        WeightsError: they are not cached and could not be downloaded, or the cache has another file
            under their name
    """
    from torchvision import models

    weights = models.get_model_weights(name)[which]
    file = Path(torch.hub.get_dir()) / "checkpoints" / weights.url.rpartition("/")[2]
    if file.is_file():  # torch looks at the bytes of what it downloads alone
        check_hash(file)
    try:
        state: dict[str, torch.Tensor] = weights.get_state_dict(progress=False, check_hash=True)
        return state
    except (OSError, RuntimeError) as error:
        raise WeightsError(
            f"no weights for {name}: {weights.url} gave {error}; without network, put the file "
            f"that is there into {file.parent}"
        ) from error


def read_hash(file: str | Path) -> str:
    """Read how a file's SHA-256 begins off its name, as torchvision's have it; empty without.

    >>> read_hash("resnet50-0676ba61.pth"), read_hash("best.pth")
    ('0676ba61', '')
    """
    told = re.search(r"-([0-9a-f]{8,64})\.pth$", Path(file).name)
    return told[1] if told else ""


def check_hash(file: Path) -> None:
    """Refuse a file whose SHA-256 does not begin as its name says.

    Raises:
        WeightsError: it names the file, and both
    """
    wanted = read_hash(file)
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    if not digest.startswith(wanted):
        raise WeightsError(
            f"{file}: expected a SHA-256 that begins with {wanted}, as its name says, but got "
            f"{digest[: len(wanted)]}; delete the file, or give it by a path and another name"
        )


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
