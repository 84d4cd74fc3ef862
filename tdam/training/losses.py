"""Losses by name: what a batch costs, whatever heads a network has."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from tdam.training.recipe import Recipe

# A new loss: its function in a file of its own, and one line here, `module:function`.
LOSSES: dict[str, str] = {
    "cross_entropy": "tdam.training.losses:cross_entropy",
    "acol": "tdam.acol:acol",
    "spg": "tdam.spg:spg",
}


class Loss(Protocol):
    """Runs a network on a batch and measures how wrong its answer is."""

    def __call__(
        self, network: Callable[..., Any], images: Tensor, wanted: Tensor, recipe: Recipe
    ) -> Tensor:
        """Compute a loss, under autocast where the recipe asks for bfloat16.

        Args:
            network: in training mode; perhaps compiled or wrapped for several processes, so only
                call it, once per batch. It passes on all arguments: a network whose `forward`
                also takes labels may get `wanted`. Everything that learns is inside it
            images: (B, 3, S, S), as the network wants them
            wanted: labels, (B,), int64; or, where images are mixed or the recipe's targets are
                plain, the probability of each class, (B, K)
            recipe: gives `label_smoothing` and whatever else the loss wants to know

        Returns:
            the mean over the images, (), float32
        """
        ...


def cross_entropy(
    network: Callable[..., Any], images: Tensor, wanted: Tensor, recipe: Recipe
) -> Tensor:
    """Compute the cross-entropy of a network's logits, with the recipe's label smoothing."""
    from torch.nn import functional

    logits: Tensor = network(images)
    return functional.cross_entropy(logits.float(), wanted, label_smoothing=recipe.label_smoothing)


def find_loss(name: str) -> Loss:
    """Look a loss up.

    Args:
        name: a key of `LOSSES`

    Raises:
        ValueError: there is no such loss; the message lists those there are
    """
    if name not in LOSSES:
        raise ValueError(f"Expected loss to be one of {', '.join(LOSSES)} but got {name!r}")
    module, _, function = LOSSES[name].partition(":")
    loss: Loss = getattr(import_module(module), function)
    return loss
