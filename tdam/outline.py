"""Networks of tensors with a shape but no values: they show what fits what, and what it costs."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import torch
from torch.overrides import TorchFunctionMode

from tdam.modes import evaluation_mode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from torch import nn


class _Unfilled(TorchFunctionMode):
    """Leave out what only fills tensors: there is nothing to fill.

    Torch would draw normal numbers for tensors without memory by way of its compiler, which takes
    most of a second to load.
    """

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        if func is torch.Tensor.normal_ or getattr(func, "__module__", "") == "torch.nn.init":
            return args[0] if args else next(iter((kwargs or {}).values()))
        return func(*args, **(kwargs or {}))


@contextmanager
def outlining() -> Iterator[None]:
    """Build what is built in the block on the device `meta`: with shapes, without values."""
    with torch.device("meta"), _Unfilled():
        yield


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
    with evaluation_mode(module), torch.no_grad():
        return torch.func.functional_call(module, empty, (image,))


def run_on_zeros(module: nn.Module, shape: tuple[int, ...]) -> Any:
    """Run a module on the CPU in evaluation mode; its tensors and the random state are left alone.

    It is faster than to run without values where that makes torch load its compiler.

    Args:
        module: whose forward pass takes one tensor
        shape: of that tensor, whose type is that of the module's first parameter

    Returns:
        what it puts out
    """
    kept = {name: buffer.clone() for name, buffer in module.named_buffers()}
    image = torch.zeros(shape, device="cpu", dtype=next(module.parameters()).dtype)
    with evaluation_mode(module), torch.no_grad(), torch.random.fork_rng(devices=[]):
        return torch.func.functional_call(module, kept, (image,))


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
