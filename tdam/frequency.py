"""FcaNet's frequency channel attention (Z. Qin et al., ICCV 2021, the two-step selection)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812, torch's own short name

if TYPE_CHECKING:
    from torch import Tensor

# The 16 of 49 frequencies on a 7 x 7 grid that classified best one by one, as rows and columns.
_ROWS = (0, 0, 6, 0, 0, 1, 1, 4, 5, 1, 3, 0, 0, 0, 3, 2)
_COLUMNS = (0, 1, 0, 5, 2, 0, 2, 0, 0, 6, 0, 4, 6, 3, 5, 2)


class FrequencyAttention(nn.Module):
    """Channel attention on cosine components instead of the mean.

    The channels fall into 16 groups, each pooled with its own component of the discrete cosine
    transform. Frequencies are given on a 7 x 7 grid and multiplied on larger maps, which are
    first averaged to the largest multiple of 7 that fits, 7 at least.

    Args:
        channels: of input and output
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(channels // 16, 1)
        self.gate = nn.Sequential(
            nn.Linear(channels, hidden, bias=False),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, channels, bias=False),
            nn.Sigmoid(),
        )
        groups = torch.arange(channels) * len(_ROWS) // channels
        self.register_buffer("rows", torch.tensor(_ROWS)[groups], persistent=False)
        self.register_buffer("columns", torch.tensor(_COLUMNS)[groups], persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Scale the channels of (N, C, H, W)."""
        sides = max(x.shape[2] // 7, 1) * 7, max(x.shape[3] // 7, 1) * 7
        pooled = x if tuple(x.shape[2:]) == sides else F.adaptive_avg_pool2d(x, sides)
        down = _cosines(self.get_buffer("rows"), sides[0]).to(x.dtype)
        across = _cosines(self.get_buffer("columns"), sides[1]).to(x.dtype)
        components = torch.einsum("nchw,ch,cw->nc", pooled, down, across)
        scale: Tensor = self.gate(components)
        return x * scale[..., None, None]


def _cosines(frequencies: Tensor, side: int) -> Tensor:
    """Cosines of each frequency at the centres of `side` pixels, normalised: (C, side)."""
    centres = torch.arange(side, device=frequencies.device) + 0.5
    angles = math.pi * frequencies[:, None] * (side // 7) * centres / side
    factor = torch.where(frequencies == 0, 1.0, math.sqrt(2))[:, None]
    return torch.cos(angles) * factor / math.sqrt(side)
