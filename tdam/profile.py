"""What a network costs: parameters, and multiply-adds by torch's own counter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from tdam.outline import outlining
from tdam.registry import create_model


@dataclass(frozen=True)
class Profile:
    """Costs of one network.

    Args:
        parameters: their number
        multiply_adds: of one image, with every step on whole maps
        multiply_adds_inference: of one image, without what inference can leave out
    """

    parameters: int
    multiply_adds: int
    multiply_adds_inference: int


def profile(name: str, **settings: Any) -> Profile:
    """Count what a network costs, without allocating it.

    Args:
        name: of a registered network
        settings: further arguments of `create_model`

    Raises:
        ValueError: an unknown name, or settings out of range

    >>> profile("resnet50").parameters
    25557032
    """
    with outlining():
        model = create_model(name, **settings)
        side = model.spec.preprocessing.size
        # Two images: a norm in training mode needs more than the one pixel of a pooled image.
        images = torch.zeros(2, 3, side, side)
        counts = []
        for training in (True, False):
            with FlopCounterMode(display=False) as counter:
                model.train(training)(images)
            counts.append(counter.get_total_flops() // 2 // len(images))
    return Profile(sum(p.numel() for p in model.parameters()), *counts)
