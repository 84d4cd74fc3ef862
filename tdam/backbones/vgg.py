"""VGG-16 (K. Simonyan, A. Zisserman, ICLR 2015) with global average pooling and one linear layer.

The convolutions are torchvision's; pooling and linear layer replace its three linear layers, as
class activation maps ask for. The standard evaluation of localization has one convolution more
before them, of 1024 channels: `vgg16_conv6`. A block is the three convolutions of a stage, m counts
them, and nothing is added to their output. There are no norms, and so none for each step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torchvision.models.vgg import cfgs, make_layers

from tdam.backbones.base import Backbone
from tdam.torchvision_files import torchvision_weights

if TYPE_CHECKING:
    from torch import Tensor

_STAGES = ((0, 4), (5, 9), (10, 16), (17, 23), (24, 30))  # of `features`; poolings stand between


class VGG(Backbone):
    """A VGG-16 whose last stage is its last three convolutions.

    Args:
        num_classes: width of the linear layer
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.features = make_layers(cfgs["D"])
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(512, num_classes)
        for layer in self.features:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(layer.get_parameter("bias"))
        nn.init.normal_(self.classifier.weight, 0, 0.01)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Classify (N, 3, H, W): logits, (N, K)."""
        return self.classifier(self.avgpool(self.features(x)).flatten(1))

    def stage_blocks(self) -> list[list[str]]:
        """Name the parts of `features` that are stages."""
        return [[f"features.{start}:{stop}"] for start, stop in _STAGES]

    def shrinking_stages(self) -> list[nn.Module]:
        """Return the last stage with the pooling before it, and the last pooling."""
        return [self.features[_STAGES[-2][1] : _STAGES[-1][1]], self.features[_STAGES[-1][1] :]]


class VGGConv6(VGG):
    """A VGG-16 with a sixth convolution, after whose activation the mean is taken.

    Args:
        num_classes: width of the linear layer
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes)
        del self.classifier  # of 512 channels
        self.conv6 = nn.Conv2d(512, 1024, 3, padding=1)
        self.relu = nn.ReLU()
        self.fc = nn.Linear(1024, num_classes)
        nn.init.kaiming_normal_(self.conv6.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(self.conv6.get_parameter("bias"))
        nn.init.normal_(self.fc.weight, 0, 0.01)
        nn.init.zeros_(self.fc.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Classify (N, 3, H, W): logits, (N, K)."""
        return self.fc(self.avgpool(self.relu(self.conv6(self.features(x)))).flatten(1))

    def shrinking_stages(self) -> list[nn.Module]:
        """Return the last stage with the pooling before it, and the last pooling with conv6."""
        third, pooling = super().shrinking_stages()
        return [third, nn.Sequential(pooling, self.conv6)]


def build(name: str, num_classes: int) -> Backbone:
    """Build a network with random weights."""
    return {"vgg16": VGG, "vgg16_conv6": VGGConv6}[name](num_classes)


def convolutions(name: str) -> dict[str, torch.Tensor]:
    """Fetch torchvision's ImageNet weights of the thirteen convolutions."""
    state = torchvision_weights("vgg16")
    return {key: tensor for key, tensor in state.items() if key.startswith("features.")}
