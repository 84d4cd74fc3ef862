"""InceptionV3 (C. Szegedy et al., CVPR 2016) as the standard evaluation of localization has it.

It ends with `Mixed_6e`, two added convolutions and a linear layer on the mean of their output (X.
Zhang et al., ECCV 2018, whose names the added ones keep); its first convolution is padded, so that
224 pixels become 28. A block is an added convolution with its activation, m counts it, and nothing
is added to its output: the parallel branches before them have no end to run again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional
from torchvision.models.inception import BasicConv2d, InceptionA, InceptionC

from tdam.backbones.base import Backbone
from tdam.torchvision_files import torchvision_weights

if TYPE_CHECKING:
    from torch import Tensor

_BODY = ("Conv2d_1a", "Conv2d_2a", "Conv2d_2b", "Conv2d_3b", "Conv2d_4a", "Mixed_5", "Mixed_6")
_ADDED = ("SPG_A3_1b", "SPG_A3_2b")
_DROPPED = 0.5


class Shrinking(nn.Module):
    """The block between the two grids; its pooling follows the stride of its convolutions.

    Args:
        channels: of the input
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        last = {"kernel_size": 3, "stride": 2, "padding": 1}
        self.branch3x3 = BasicConv2d(channels, 384, **last)
        self.branch3x3dbl_1 = BasicConv2d(channels, 64, kernel_size=1)
        self.branch3x3dbl_2 = BasicConv2d(64, 96, kernel_size=3, padding=1)
        self.branch3x3dbl_3 = BasicConv2d(96, 96, **last)

    def forward(self, x: Tensor) -> Tensor:
        """Give (N, C + 480, h, w) for (N, C, H, W)."""
        conv = self.branch3x3.conv
        beside, above = conv.padding[1], conv.padding[0]
        wider = functional.pad(x, (beside, beside, above, above))  # by 0, which none is below
        pooled = functional.max_pool2d(wider, 3, conv.stride, 0, conv.dilation)
        deep = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch3x3(x), deep, pooled], 1)


class InceptionV3(Backbone):
    """An InceptionV3 without `Mixed_7`, which ends with two convolutions and a linear layer.

    With an output stride of 32 both the pooling before `Mixed_6a` and that block shrink their
    input, with 16 the first alone, with 8 none.

    Args:
        num_classes: width of the linear layer
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = BasicConv2d(3, 32, kernel_size=3, stride=2, padding=1)
        self.Conv2d_2a_3x3 = BasicConv2d(32, 32, kernel_size=3)
        self.Conv2d_2b_3x3 = BasicConv2d(32, 64, kernel_size=3, padding=1)
        self.maxpool1 = nn.MaxPool2d(3, 2, 1, ceil_mode=True)
        self.Conv2d_3b_1x1 = BasicConv2d(64, 80, kernel_size=1)
        self.Conv2d_4a_3x3 = BasicConv2d(80, 192, kernel_size=3)
        self.maxpool2 = nn.MaxPool2d(3, 2, 1, ceil_mode=True)
        self.Mixed_5b = InceptionA(192, pool_features=32)
        self.Mixed_5c = InceptionA(256, pool_features=64)
        self.Mixed_5d = InceptionA(288, pool_features=64)
        self.maxpool3 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.Mixed_6a = Shrinking(288)
        self.Mixed_6b = InceptionC(768, channels_7x7=128)
        self.Mixed_6c = InceptionC(768, channels_7x7=160)
        self.Mixed_6d = InceptionC(768, channels_7x7=160)
        self.Mixed_6e = InceptionC(768, channels_7x7=192)
        self.dropout = nn.Dropout(_DROPPED)
        self.SPG_A3_1b = nn.Sequential(nn.Conv2d(768, 1024, 3, padding=1), nn.ReLU())
        self.SPG_A3_2b = nn.Sequential(nn.Conv2d(1024, 1024, 3, padding=1), nn.ReLU())
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(1024, num_classes)
        for layer in self.modules():
            if isinstance(layer, (nn.Conv2d, nn.Linear)):
                nn.init.xavier_uniform_(layer.weight)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Classify (N, 3, H, W): logits, (N, K)."""
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(self.maxpool1(x)))
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(self.maxpool2(x))))
        x = self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(self.maxpool3(x))))
        x = self.dropout(self.Mixed_6e(self.Mixed_6d(x)))
        x = self.SPG_A3_2b(self.dropout(self.SPG_A3_1b(x)))
        return self.fc(self.avgpool(self.dropout(x)).flatten(1))

    def stage_blocks(self) -> list[list[str]]:
        """Name the two added convolutions, which are what takes attention."""
        return [[name] for name in _ADDED]

    def shrinking_stages(self) -> list[nn.Module]:
        """Return the pooling before `Mixed_6a`, and all that follows it."""
        mixed = [module for name, module in self.named_children() if name.startswith("Mixed_6")]
        return [self.maxpool3, nn.Sequential(*mixed, self.SPG_A3_1b, self.SPG_A3_2b)]


def build(name: str, num_classes: int) -> Backbone:
    """Build a network with random weights."""
    return InceptionV3(num_classes)


def convolutions(name: str) -> dict[str, torch.Tensor]:
    """Fetch torchvision's ImageNet weights of all but what was added."""
    state = torchvision_weights("inception_v3")
    return {key: tensor for key, tensor in state.items() if key.startswith(_BODY)}
