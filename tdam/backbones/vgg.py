"""VGG-16 (K. Simonyan, A. Zisserman, ICLR 2015) with global average pooling and one linear layer.

The convolutions are torchvision's; pooling and linear layer replace its three linear layers, as
class activation maps ask for. A block is the three convolutions of a stage, m counts them, and
nothing is added to their output. There are no norms, and so none for each step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torchvision import models

from tdam.backbones.base import Backbone, adopt
from tdam.checkpoints import WeightsError

if TYPE_CHECKING:
    from torch import Tensor

_STAGES = ((0, 4), (5, 9), (10, 16), (17, 23), (24, 30))  # of `features`; poolings stand between


class VGG(Backbone, models.VGG):
    """A VGG-16 whose last stage is its last three convolutions."""

    features: nn.Sequential
    avgpool: nn.Module
    classifier: nn.Module

    def trunk(self, x: Tensor) -> Tensor:
        """Run the first four stages."""
        return self.features[: _STAGES[-1][0]](x)

    def last_stage(self) -> list[nn.Module]:
        """Return the last three convolutions, one block where they have attention."""
        return list(self.features[slice(*_STAGES[-1])])

    def neck(self, x: Tensor) -> Tensor:
        """Run the last pooling."""
        return self.features[_STAGES[-1][1] :](x)

    def classify(self, features: Tensor) -> Tensor:
        """Pool and classify."""
        return self.classifier(self.avgpool(features).flatten(1))

    def stage_blocks(self) -> list[list[str]]:
        """Name the parts of `features` that are stages."""
        return [[f"features.{start}:{stop}"] for start, stop in _STAGES]

    def shrinking_stages(self) -> list[nn.Module]:
        """Return the last stage with the pooling before it, and the last pooling."""
        return [self.features[_STAGES[-2][1] : _STAGES[-1][1]], self.features[_STAGES[-1][1] :]]


def build(name: str, num_classes: int) -> Backbone:
    """Build a network with random weights."""
    network = models.vgg16(weights=None, num_classes=1)
    network.avgpool = nn.AdaptiveAvgPool2d(1)
    network.classifier = nn.Linear(512, num_classes)
    nn.init.normal_(network.classifier.weight, 0, 0.01)
    nn.init.zeros_(network.classifier.bias)
    return adopt(network, VGG)


def pretrained(name: str) -> dict[str, torch.Tensor]:
    """Say that this network's classifier was never published.

    Raises:
        WeightsError: always
    """
    raise WeightsError("no weights for vgg16: its pooled classifier was never published; train it")
