"""Runs of modules on tensors that have a shape but no values, which show what fits what."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn


def run_without_values(module: nn.Module, shape: tuple[int, ...]) -> Any:
    """Run a module in evaluation mode; this takes no time and leaves its tensors alone.

    Args:
        module: whose forward pass takes one tensor
        shape: of that tensor, whose type is that of the module's first parameter

    Returns:
        what it puts out, on the device `meta`
    """
    tensors = (*module.named_parameters(), *module.named_buffers())
    empty = {name: tensor.detach().to("meta") for name, tensor in tensors}
    image = torch.empty(shape, device="meta", dtype=next(iter(empty.values())).dtype)
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        with torch.no_grad():
            return torch.func.functional_call(module, empty, (image,))
    finally:
        for part, mode in modes.items():
            part.training = mode


def find_taken_apart(model: nn.Module, sequences: Mapping[str, nn.Sequential]) -> list[str]:
    """Name the sequences whose modules a network runs one by one, without a call of the sequence.

    Where a network does not run on images of the size that timm says it takes, or of 224 pixels,
    what it ran before it failed counts.

    Args:
        model: the network
        sequences: of it, by name
    """
    called: set[nn.Module] = set()
    firsts = {name: next(iter(sequence), sequence) for name, sequence in sequences.items()}
    told = getattr(model, "pretrained_cfg", None) or {}
    with ExitStack() as stack:
        for module in {*sequences.values(), *firsts.values()}:
            handle = module.register_forward_pre_hook(lambda module, _: called.add(module))
            stack.callback(handle.remove)
        stack.enter_context(suppress(Exception))  # any network may stand here
        run_without_values(model, (2, *told.get("input_size", (3, 224, 224))))
    return [n for n, s in sequences.items() if s not in called and firsts[n] in called]
