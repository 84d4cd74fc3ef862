"""Whether maps can be made of a module of a network: seen in one run of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from tdam.attach import find_module
from tdam.recurrence import stand_ins

if TYPE_CHECKING:
    from torch import Tensor

    from tdam.backbones.base import Backbone

_LARGEST = 224  # side of the image, in pixels, whatever input a file asks for


def check_map_layer(model: Backbone, name: str, size: int) -> None:
    """Run a network once on an empty image, and look at what a module puts out.

    Args:
        model: in evaluation mode
        name: of the module
        size: side of the network's input, in pixels

    Raises:
        ValueError: no such module, one that the network does not run, one whose output is not
            (N, C, h, w) or a single pixel, or one that no class depends on
    """
    layer = find_module(model, name)
    outputs: list[Tensor] = []

    def keep(module: Any, args: Any, output: Any) -> Any:
        if not isinstance(output, torch.Tensor) or output.ndim != 4:
            shape = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output)
            raise ValueError(f"Expected a map layer that puts out (N, C, h, w) but {name}: {shape}")
        outputs.append(output.detach().requires_grad_())
        return outputs[-1].clone()  # what follows may write into it

    side = min(size, _LARGEST)
    handles = [each.register_forward_hook(keep) for each in (layer, *stand_ins(model, layer))]
    try:
        with torch.enable_grad():
            scores = model(torch.zeros(1, 3, side, side))
    finally:
        for handle in handles:
            handle.remove()
    if not outputs:
        raise ValueError(f"Expected a map layer that the network runs but it does not run {name}")
    if outputs[-1].shape[2:].numel() == 1:
        raise ValueError(f"Expected a map layer before the pooling but {name} has one pixel")
    used: tuple[Tensor | None, ...] = ()
    if scores.requires_grad:
        used = torch.autograd.grad(scores.sum(), outputs, allow_unused=True)
    if all(gradient is None for gradient in used):
        raise ValueError(f"Expected a map layer that classes depend on but none does on {name}")
