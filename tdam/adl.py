"""A layer that hides what a network looks at most, or lights it up, while it learns."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor


class ADL(nn.Module):
    r"""Attention-based dropout layer (J. Choe, H. Shim, CVPR 2019).

    The mean of the features over their channels, a, is what they attend to. In training each call
    multiplies every channel either by the drop mask, 0 where $a \geq \gamma \max a$ and else 1, so
    that the rest of the object has to do; or by the importance map, $\sigma(a)$, so that the
    network stays able to tell classes. All images of a call get the same of the two. In evaluation
    mode it does nothing.

    Args:
        channels: C; of no consequence, since the layer has no weights
        rate: probability of the drop mask, from 0 to 1
        threshold: gamma, from 0 to 1: share of an image's strongest attention

    Raises:
        ValueError: a number out of range

    >>> layer = ADL(2, rate=1.0, threshold=0.5)
    >>> layer(torch.tensor([[[[1.0, 4.0]], [[1.0, 2.0]]]])).tolist()
    [[[[1.0, 0.0]], [[1.0, 0.0]]]]
    """

    # Where the standard evaluation has it (J. Choe et al., CVPR 2020); of VGG-16 after the third
    # pooling, and after the last convolutions of both stages behind it.
    places: ClassVar[dict[str, tuple[str, ...]]] = {
        "resnet50": ("layer3.0", "layer4.0", "layer4.2"),
        "vgg16": ("features.10:17", "features.17:23", "features.24:30"),
        "vgg16_conv6": ("features.10:17", "features.17:23", "features.24:30"),
        "inception_v3": ("Mixed_5d", "Mixed_6e", "SPG_A3_2b"),
    }

    def __init__(self, channels: int, rate: float = 0.75, threshold: float = 0.9) -> None:
        super().__init__()
        for name, value in (("adl_rate", rate), ("adl_threshold", threshold)):
            if not 0 <= value <= 1:
                raise ValueError(f"Expected {name} to be from 0 to 1 but got {value}")
        self.rate, self.threshold = rate, threshold

    def forward(self, features: Tensor) -> Tensor:
        """Multiply features, (N, C, H, W), by one of the two maps; in training only."""
        if not self.training:
            return features
        attention = features.mean(dim=1, keepdim=True)
        strongest = attention.amax(dim=(2, 3), keepdim=True)
        drop_mask = (attention < self.threshold * strongest).to(features.dtype)
        drops = torch.rand((), device=features.device) < self.rate
        return features * torch.where(drops, drop_mask, attention.sigmoid())

    def extra_repr(self) -> str:
        """Show the two numbers where the network is printed."""
        return f"rate={self.rate}, threshold={self.threshold}"
