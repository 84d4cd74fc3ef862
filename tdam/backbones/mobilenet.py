"""MobileNetV3-Large (A. Howard et al., ICCV 2019), as in torchvision.

m counts the 2 or 3 convolutions of an inverted residual; squeeze-and-excitation runs with the
depthwise one. The classifier has two layers, so a class activation map is not defined: LayerCAM
is this network's method.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torchvision import models

from tdam.backbones.base import Backbone, adopt
from tdam.torchvision_files import torchvision_weights

if TYPE_CHECKING:
    import torch
    from torch import nn

_STAGES = ((1, 2), (2, 4), (4, 7), (7, 13), (13, 16))  # of `features`, by resolution


class MobileNetV3(Backbone, models.MobileNetV3):
    """A MobileNetV3-Large whose last stage is `features[13:16]`."""

    features: nn.Sequential
    avgpool: nn.Module
    classifier: nn.Module

    def stage_blocks(self) -> list[list[str]]:
        """Name the blocks of each stage."""
        return [[f"features.{i}" for i in range(*stage)] for stage in _STAGES]

    def shrinking_stages(self) -> list[nn.Module]:
        """Return the last two stages, each with what shrinks its input."""
        return [self.features[slice(*stage)] for stage in _STAGES[-2:]]


def build(name: str, num_classes: int) -> Backbone:
    """Build a network with random weights."""
    return adopt(models.mobilenet_v3_large(weights=None, num_classes=num_classes), MobileNetV3)


def pretrained(name: str) -> dict[str, torch.Tensor]:
    """Fetch torchvision's default ImageNet weights."""
    return torchvision_weights(name)
