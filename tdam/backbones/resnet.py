"""ResNet (K. He et al., CVPR 2016), as torchvision builds it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torchvision import models

from tdam.checkpoints import WeightsError

if TYPE_CHECKING:
    import torch


def build(name: str, *, num_classes: int) -> models.ResNet:
    """Build a ResNet with random weights.

    Args:
        name: torchvision's name
        num_classes: width of the classifier
    """
    return models.get_model(name, weights=None, num_classes=num_classes)


def pretrained(name: str) -> dict[str, torch.Tensor]:
    """Fetch torchvision's default ImageNet weights, from its cache or the network.

    Raises:
        WeightsError: they are not cached and could not be downloaded
    """
    weights = models.get_model_weights(name).DEFAULT
    try:
        return weights.get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError) as error:
        raise WeightsError(f"no weights for {name}: {weights.url} gave {error}") from error
