"""How fast weights change: one rate per group of parameters, and its course over the epochs."""

from __future__ import annotations

from math import cos, pi
from typing import TYPE_CHECKING, Any

import torch

from tdam.registry import is_added

if TYPE_CHECKING:
    from torch import nn

    from tdam.backbones.base import Backbone
    from tdam.training.recipe import Recipe


def rate_at(recipe: Recipe, epoch: float) -> float:
    """Return the learning rate at a moment, as a share of the highest.

    Args:
        recipe: gives schedule, warm-up and epochs
        epoch: number of epochs that are over, with fractions

    Returns:
        in [0, 1]

    >>> from tdam.training import Recipe
    >>> rate_at(Recipe(epochs=11, warmup=1.0), 0.5), rate_at(Recipe(epochs=11, warmup=1.0), 6.0)
    (0.5, 0.5)
    """
    if epoch < recipe.warmup:
        return epoch / recipe.warmup
    if recipe.schedule == "steps":
        return recipe.drop ** sum(epoch >= each for each in recipe.drops)
    done = (epoch - recipe.warmup) / max(recipe.epochs - recipe.warmup, 1e-9)
    return (1 + cos(pi * min(done, 1))) / 2


def choose_learners(model: Backbone, recipe: Recipe) -> None:
    """Freeze all but what attention adds, where the recipe keeps the plain weights."""
    if recipe.targets == "plain":
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(is_added(name))


def group_parameters(model: Backbone, recipe: Recipe) -> list[dict[str, Any]]:
    """Sort a network's parameters by the rate and the decay they get.

    Args:
        model: from `create_model`
        recipe: gives rates and decay

    Returns:
        groups of those that learn, as an optimizer takes them; `lr` is the highest rate of each,
        `peak` repeats it
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        factor = 1.0
        if name.startswith(f"{model.spec.classifier}."):
            factor = recipe.head_lr
        elif ".attention." in name:  # `.top_down.norms.` are norms like others
            factor = recipe.attention_lr
        # Gains, offsets and biases have one number per channel.
        decay = 0.0 if parameter.squeeze().ndim < 2 else recipe.weight_decay
        groups.setdefault((factor * recipe.lr, decay), []).append(parameter)
    return [
        {"params": parameters, "lr": lr, "peak": lr, "weight_decay": decay}
        for (lr, decay), parameters in groups.items()
    ]


def create_optimizer(model: Backbone, recipe: Recipe) -> torch.optim.Optimizer:
    """Build the optimizer that a recipe asks for."""
    groups = group_parameters(model, recipe)
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups, betas=(recipe.momentum, 0.999))
    return torch.optim.SGD(groups, momentum=recipe.momentum, nesterov=recipe.momentum > 0)


def set_rate(optimizer: torch.optim.Optimizer, share: float) -> None:
    """Set every group's rate to a share of its highest."""
    for group in optimizer.param_groups:
        group["lr"] = share * group["peak"]
