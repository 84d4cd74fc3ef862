"""The searchlight: what the top of a branch says about which bottom features to look at again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812, torch's own short name

from tdam.attentions import SEARCHLIGHTS

if TYPE_CHECKING:
    from torch import Tensor

ORDERS = ("channel->spatial", "spatial->channel", "channel", "spatial")
POOLINGS = ("average", "max", "both")


class TopDownAttention(nn.Module):
    r"""Modulates bottom features by a searchlight that the top features generate.

    The searchlight is one number per bottom channel. With pooled $z$ and reduced width
    $h = C_t / r$, all maps linear and without bias:

    - `top`: $s = U_2\,relu(U_1 z_t)$
    - `joint`: $s = U\,[relu(U_t z_t);\,relu(U_b z_b)]$
    - `joint_sum`: $s = U\,(relu(U_t z_t) + relu(U_b z_b))$

    It scales channels by $\sigma(s)$, then pixels by $a = \sigma(\sum_c s_c X_c)$, with the raw
    $s$. S. Jaiswal, B. Fernando, C. Tan, *TDAM*, ECCV 2022.

    Args:
        channels: of the bottom features
        top_channels: of the top features; by default as many
        searchlight: `top`, `joint` or `joint_sum`
        order: `channel->spatial`, `spatial->channel`, `channel` or `spatial`
        pooling: `average`, `max`, or `both` (the searchlights of the two are added)
        reduction: r

    Raises:
        ValueError: an unknown searchlight, order or pooling, or a number below 1

    >>> light = TopDownAttention(8, 16)
    >>> bottom, shown = light(torch.ones(2, 8, 6, 6), torch.ones(2, 16, 3, 3))
    >>> bottom.shape, shown.shape
    (torch.Size([2, 8, 6, 6]), torch.Size([2, 6, 6]))
    """

    gain: Tensor

    def __init__(
        self,
        channels: int,
        top_channels: int | None = None,
        *,
        searchlight: str = "joint",
        order: str = "channel->spatial",
        pooling: str = "average",
        reduction: int = 16,
    ) -> None:
        super().__init__()
        top_channels = channels if top_channels is None else top_channels
        for name, value, known in (
            ("searchlight", searchlight, SEARCHLIGHTS),
            ("order", order, ORDERS),
            ("pooling", pooling, POOLINGS),
        ):
            if value not in known:
                raise ValueError(f"Expected {name} to be one of {known} but got {value!r}")
        if min(channels, top_channels, reduction) < 1:
            raise ValueError(
                f"Expected channels and reduction to be at least 1 but got {channels}, "
                f"{top_channels} and {reduction}"
            )
        self.searchlight = searchlight
        self.order = order
        self.pooling = pooling
        hidden = max(top_channels // reduction, 1)
        self.from_top = nn.Conv2d(top_channels, hidden, 1, bias=False)
        self.from_bottom = None
        if searchlight != "top":
            self.from_bottom = nn.Conv2d(channels, hidden, 1, bias=False)
        width = 2 * hidden if searchlight == "joint" else hidden
        self.to_bottom = nn.Conv2d(width, channels, 1, bias=False)
        self.register_buffer("gain", torch.ones(()))
        for layer in (self.from_top, self.from_bottom, self.to_bottom):
            if layer is not None:
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")

    def start_as_identity(self) -> None:
        """Make the module pass the bottom features through, to the last bit.

        With a searchlight of zero every sigmoid is 1/2; a gain of 2 or 4, a power of two and so
        without rounding, undoes that. Training moves on from there.
        """
        nn.init.zeros_(self.to_bottom.weight)
        self.gain.fill_(4 if "->" in self.order else 2)

    def _shine(self, bottom: Tensor, top: Tensor, pool: str) -> Tensor:
        # Unlike the adaptive ones, these hand gradients back in the memory format of their input,
        # which norms and convolutions before them run through twice as fast.
        reduce = F.avg_pool2d if pool == "average" else F.max_pool2d
        hidden = F.relu(self.from_top(reduce(top, top.shape[2:])))
        if self.from_bottom is not None:
            other = F.relu(self.from_bottom(reduce(bottom, bottom.shape[2:])))
            if self.searchlight == "joint":
                hidden = torch.cat([hidden, other], dim=1)
            else:
                hidden = hidden + other
        light: Tensor = self.to_bottom(hidden)
        return light

    def forward(self, bottom: Tensor, top: Tensor) -> tuple[Tensor, Tensor]:
        """Modulate the bottom features.

        Args:
            bottom: (N, channels, H, W)
            top: (N, top_channels, h, w)

        Returns:
            the modulated bottom, (N, channels, H, W), and the searchlight map a, (N, H, W), in
            [0, 1]; the order `channel` gives the map too, though it does not apply it
        """
        pools = ("average", "max") if self.pooling == "both" else (self.pooling,)
        light = sum(self._shine(bottom, top, pool) for pool in pools[1:])
        light = self._shine(bottom, top, pools[0]) + light
        channel = torch.sigmoid(light)
        # The map of channel-scaled features needs no copy of them: the scale goes to the weights.
        weights = light if self.order.startswith("spatial") else light * channel
        shown = torch.sigmoid(torch.bmm(weights.flatten(2).transpose(1, 2), bottom.flatten(2)))
        shown = shown.view(bottom.shape[0], 1, *bottom.shape[2:])
        scale = self.gain.to(bottom.dtype)
        if self.order != "spatial":
            scale = scale * channel
        if self.order != "channel":
            scale = scale * shown
        return bottom * scale, shown[:, 0]
