"""ConvNeXt-Tiny (Z. Liu et al., CVPR 2022), as in torchvision.

m counts the depthwise convolution and the two linear layers of a block's branch, of which 1 runs
the last one again, as the authors of TDAM do; with 3 every step has its own layer norm. A layer
norm stands between pooling and classifier, so a class activation map is not exact: LayerCAM is
this network's method.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn
from torchvision import models

from tdam.backbones.base import Backbone, adopt, numbered
from tdam.torchvision_files import torchvision_weights

if TYPE_CHECKING:
    import torch


class ConvNeXt(Backbone, models.ConvNeXt):
    """A ConvNeXt whose last stage is `features[7]`."""

    features: nn.Sequential
    avgpool: nn.Module
    classifier: nn.Module

    def stage_blocks(self) -> list[list[str]]:
        """Name the blocks of each stage."""
        return [numbered(self, f"features.{i}") for i in (1, 3, 5, 7)]

    def shrinking_stages(self) -> list[nn.Module]:
        """Return the last two stages, each with the transition that shrinks its input."""
        return [nn.Sequential(*self.features[4:6]), nn.Sequential(*self.features[6:8])]


def build(name: str, num_classes: int) -> Backbone:
    """Build a network with random weights."""
    return adopt(models.convnext_tiny(weights=None, num_classes=num_classes), ConvNeXt)


def pretrained(name: str) -> dict[str, torch.Tensor]:
    """Fetch torchvision's default ImageNet weights."""
    return torchvision_weights(name)
