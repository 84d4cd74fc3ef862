"""Networks as they come: out of their wrappers, given what they compute in, and their scores."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import Tensor

_ROUNDING = 1e-3  # that a sum of float16 probabilities may be off by


def unwrap(model: nn.Module) -> nn.Module:
    """Take a network out of what trains, compiles or averages it.

    A compiled network runs no hooks that come later, and one spread over several devices runs
    copies: the maps are made by the network itself, whose tensors are the same.

    Args:
        model: a network, or one in torch's `DataParallel`, `DistributedDataParallel`,
            `AveragedModel` or `compile`

    Raises:
        ValueError: a program of TorchScript
    """
    if isinstance(model, torch.jit.ScriptModule):
        raise ValueError(
            "Expected a network whose layers can be watched but got a program of TorchScript: give "
            "the module that it was made of"
        )
    wrappers = (
        nn.DataParallel, nn.parallel.DistributedDataParallel, torch.optim.swa_utils.AveragedModel,
    )  # fmt: skip
    while True:
        inner = getattr(model, "_orig_mod", None)
        if inner is None and isinstance(model, wrappers):
            inner = model.module
        if not isinstance(inner, nn.Module):
            return model
        model = inner


@contextmanager
def uncompiled(model: nn.Module) -> Iterator[None]:
    """Let a network run without what `torch.compile` made of it or of parts of it.

    Compiled code does not run the hooks that see a layer.
    """
    parts = ("_compiled_call_impl", "_orig_mod")
    if any(getattr(each, part, None) is not None for each in model.modules() for part in parts):
        with torch.compiler.set_stance("force_eager"):
            yield
    else:
        yield


def fit_images(model: nn.Module, images: Tensor) -> Tensor:
    """Put images where a network is, in the kind of numbers that it computes with."""
    like = next((each for each in model.parameters() if each.is_floating_point()), None)
    return images if like is None else images.to(like.device, like.dtype)


def to_probabilities(scores: Tensor) -> Tensor:
    """Turn class scores into probabilities; those of a network that ends in a softmax stay.

    Args:
        scores: (N, K)

    Returns:
        (N, K), float32

    >>> to_probabilities(torch.tensor([[2.0, 2.0], [0.9, 0.1]]))
    tensor([[0.5000, 0.5000],
            [0.9000, 0.1000]])
    """
    scores = scores.detach().float()
    given = (scores >= 0).all(dim=1) & ((scores.sum(dim=1) - 1).abs() < _ROUNDING)
    return torch.where(given[:, None], scores, scores.softmax(dim=1))


def find_scores(output: Any) -> Tensor:
    """Find the class scores among what a network puts out.

    Args:
        output: (N, K); (N,) or (N, 1) of one logit, which a sigmoid makes a probability; a list or
            tuple whose first is such a tensor, a dict that holds one, or an object whose `logits`
            is one

    Returns:
        (N, K). One logit z becomes -z / 2 and z / 2, of the class 0 that it speaks against and the
        class 1 that it speaks for, so that a softmax gives what the sigmoid does

    Raises:
        ValueError: nothing of these, or a dict of several; the message has what there is

    >>> find_scores({"logits": torch.tensor([0.0, 2.0])}).softmax(1)[:, 1]
    tensor([0.5000, 0.8808])
    """
    found = output
    if not isinstance(found, torch.Tensor):
        if hasattr(found, "logits"):
            found = found.logits
        elif isinstance(found, dict):
            found = found["logits"] if "logits" in found else _find_only(found)
        elif isinstance(found, (list, tuple)) and found:
            found = found[0]
    if not isinstance(found, torch.Tensor) or found.ndim not in (1, 2):
        shape = tuple(found.shape) if isinstance(found, torch.Tensor) else type(output).__name__
        raise ValueError(f"Expected a network that puts out class scores, (N, K), but got {shape}")
    if found.ndim == 2 and found.shape[1] != 1:
        return found
    half = found.reshape(-1, 1) / 2
    return torch.cat([-half, half], dim=1)


def _find_only(outputs: Mapping[Any, Any]) -> Any:
    """Give the first of several outputs, unless heads of other sizes stand beside it.

    Raises:
        ValueError: they do
    """
    heads = {k: v for k, v in outputs.items() if isinstance(v, torch.Tensor) and v.ndim == 2}
    if len({head.shape[1] for head in heads.values()}) > 1:
        told = ", ".join(f"{name} {tuple(head.shape)}" for name, head in heads.items())
        raise ValueError(
            f"Expected a network of one head but got {told}: wrap it, so that forward gives the "
            "scores that are meant, or call them logits"
        )
    return next(iter(outputs.values()), None)
