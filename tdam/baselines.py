"""Attention modules to compare with, in the same slot: behind the branch of every block."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import torch
from timm.layers import EcaModule, SEModule
from timm.layers.cbam import CbamModule
from torch import nn
from torch.nn import functional as F  # noqa: N812, torch's own short name

from tdam.recurrence import PlannedBlock

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from tdam.recurrence import Plan

# The 16 of 49 frequencies on a 7 x 7 grid that classified best one by one (Z. Qin et al., FcaNet,
# ICCV 2021, the two-step selection), as rows and columns.
_ROWS = (0, 0, 6, 0, 0, 1, 1, 4, 5, 1, 3, 0, 0, 0, 3, 2)
_COLUMNS = (0, 1, 0, 5, 2, 0, 2, 0, 0, 6, 0, 4, 6, 3, 5, 2)


class FrequencyAttention(nn.Module):
    """Channel attention on cosine components instead of the mean (FcaNet, two-step selection).

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
    """The cosine of each frequency at each of `side` places, normalised: (C, side)."""
    places = torch.arange(side, device=frequencies.device) + 0.5
    angles = math.pi * frequencies[:, None] * (side // 7) * places / side
    factor = torch.where(frequencies == 0, 1.0, math.sqrt(2))[:, None]
    return torch.cos(angles) * factor / math.sqrt(side)


# By name: what builds a module for so many channels, and the last layer before each sigmoid in it.
BASELINES: dict[str, tuple[Callable[[int], nn.Module], tuple[str, ...]]] = {
    "se": (partial(SEModule, rd_ratio=1 / 16, rd_divisor=1, bias=False), ("fc2",)),
    "cbam": (
        partial(CbamModule, rd_ratio=1 / 16, rd_divisor=1),
        ("channel.fc2", "spatial.conv.bn"),
    ),
    "eca": (EcaModule, ("conv",)),
    "fca": (FrequencyAttention, ("gate.2",)),
}


class AttentionBlock(PlannedBlock):
    """A planned block whose branch ends in an attention module.

    Args:
        block: whose modules are taken over
        plan: in which order they run
        name: of the module, in `BASELINES`

    The new tensors are `gain` and those below `attention`.
    """

    gain: Tensor

    def __init__(self, block: nn.Module, plan: Plan, name: str) -> None:
        after = ("attention", "gain", *plan.after)
        super().__init__(block, replace(plan, after=after))
        _, channels = self.channels_of(plan.branch)
        build, self._gates = BASELINES[name]
        self.attention = build(channels)
        self.register_buffer("gain", torch.ones(()))
        like = next(block.parameters())
        self.to(device=like.device, dtype=like.dtype)

    def start_as_identity(self) -> None:
        """Make the module pass features through: gates of 1/2, undone by a gain of 2 for each."""
        for gate in self._gates:
            for parameter in self.attention.get_submodule(gate).parameters():
                nn.init.zeros_(parameter)
        self.gain.fill_(2 ** len(self._gates))
