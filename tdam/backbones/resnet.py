"""ResNet (K. He et al., CVPR 2016) and ResNeXt (S. Xie et al., CVPR 2017), as in torchvision.

m counts the 2 or 3 convolutions of a block. ResNet-101 gives top-down attention to 7 of its 23
blocks of stage 3, as published; ResNet-152 to 10 of 36, thinned the same way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torchvision import models

from tdam.backbones.base import Backbone, adopt, numbered
from tdam.torchvision_files import torchvision_weights

if TYPE_CHECKING:
    import torch
    from torch import nn

_THINNED = {  # by the number of blocks in stage 3
    23: (0, 1, 2, 8, 13, 18, 22),
    36: (0, 1, 2, 8, 13, 18, 23, 28, 33, 35),
}


class ResNet(Backbone, models.ResNet):
    """A ResNet whose last stage is `layer4`."""

    conv1: nn.Module
    bn1: nn.Module
    relu: nn.Module
    maxpool: nn.Module
    layer1: nn.Sequential
    layer2: nn.Sequential
    layer3: nn.Sequential
    layer4: nn.Sequential
    avgpool: nn.Module
    fc: nn.Linear

    def stage_blocks(self) -> list[list[str]]:
        """Name the blocks of each stage."""
        return [numbered(self, f"layer{stage}") for stage in (1, 2, 3, 4)]

    def top_down_blocks(self) -> list[str]:
        """Name the blocks that take top-down attention."""
        *_, third, fourth = self.stage_blocks()
        return [third[i] for i in _THINNED.get(len(third), range(len(third)))] + fourth

    def shrinking_stages(self) -> list[nn.Module]:
        """Return the last two stages, each with what shrinks its input."""
        return [self.layer3, self.layer4]


def build(name: str, num_classes: int) -> Backbone:
    """Build a network with random weights."""
    return adopt(models.get_model(name, weights=None, num_classes=num_classes), ResNet)


def pretrained(name: str) -> dict[str, torch.Tensor]:
    """Fetch torchvision's default ImageNet weights."""
    return torchvision_weights(name)
