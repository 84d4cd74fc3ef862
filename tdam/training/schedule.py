"""How fast weights change: one rate per group of parameters, and its course over the epochs."""

from __future__ import annotations

from math import cos, floor, pi
from typing import TYPE_CHECKING, Any

import torch

from tdam.registry import is_added
from tdam.training.stages import spread_factors

if TYPE_CHECKING:
    from torch import nn

    from tdam.backbones.base import Backbone
    from tdam.training.recipe import Recipe


def rate_at(recipe: Recipe, epoch: float, peak: float = 1.0) -> float:
    """Return the learning rate at a moment.

    Args:
        recipe: gives schedule, warm-up, cooldown, epochs, and the rates that are no shares of the
            highest
        epoch: number of epochs that are over, with fractions
        peak: highest rate

    Returns:
        in [0, peak], of `warmup_lr` and `min_lr` no more than the peak

    >>> from tdam.training import Recipe
    >>> rate_at(Recipe(epochs=11, warmup=1.0), 0.5), rate_at(Recipe(epochs=11, warmup=1.0), 6.0)
    (0.5, 0.5)
    >>> late = Recipe(epochs=10, cooldown=2, warmup=0.0, min_lr=0.1)
    >>> rate_at(late, 0), rate_at(late, 8), rate_at(late, 9)
    (1.0, 0.1, 0.1)
    """
    if epoch < recipe.warmup:
        low, share = min(recipe.warmup_lr, peak), epoch / recipe.warmup
        return low + (peak - low) * share
    low = min(recipe.min_lr, peak)
    last = recipe.epochs - recipe.cooldown
    if recipe.schedule == "steps":
        drops = sum(epoch >= each for each in recipe.drops)
        return low if epoch >= last else max(low, peak * recipe.drop**drops)
    first = recipe.warmup if recipe.warmup_prefix else 0.0
    done = (epoch - first) / max(last - first, 1e-9)
    return low + (peak - low) * ((1 + cos(pi * min(done, 1))) / 2)


def choose_learners(model: Backbone, recipe: Recipe) -> None:
    """Freeze what the recipe keeps: all but the classifier, or all but what attention adds."""
    if recipe.learns == "classifier":
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name.startswith(f"{model.spec.classifier}."))
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

    Raises:
        ValueError: not as many factors by stage as the network has stages
    """
    factors, classifier = spread_factors(model, recipe.stage_lr), f"{model.spec.classifier}."
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        factor = factors.get(name, recipe.head_lr)
        # The norms of later steps, below `.top_down.norms.`, are norms like others.
        if ".attention." in name and not name.startswith(classifier):
            factor *= recipe.attention_lr
        # Gains, offsets and biases have one number per channel.
        decays = recipe.decay_norms or parameter.squeeze().ndim > 1
        decay = recipe.weight_decay if decays else 0.0
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


def set_rates(optimizer: torch.optim.Optimizer, recipe: Recipe, epoch: float) -> None:
    """Set every group's rate to that of a moment.

    Args:
        optimizer: from `create_optimizer`
        recipe: of the training
        epoch: number of epochs that are over, with fractions, of which a recipe that changes rates
            by epochs takes the whole ones
    """
    moment = floor(epoch) if recipe.rate_every == "epoch" else epoch
    for group in optimizer.param_groups:
        group["lr"] = rate_at(recipe, moment, group["peak"])
