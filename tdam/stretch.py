"""Maps on one scale, from 0 to 1."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


def stretch(maps: Tensor) -> Tensor:
    """Stretch every map to [0, 1].

    Args:
        maps: (N, h, w)

    Returns:
        the same shape; a constant map becomes zeros
    """
    low = maps.amin(dim=(1, 2), keepdim=True)
    span = maps.amax(dim=(1, 2), keepdim=True) - low
    return torch.where(span > 0, (maps - low) / span, torch.zeros_like(maps))
