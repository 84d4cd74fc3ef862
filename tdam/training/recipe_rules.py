"""What a recipe's choices may be: each by itself, and all of them together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tdam.precision import PRECISIONS
from tdam.preprocessing import MAX_SIDE, MIN_SIDE
from tdam.spec import HEADS
from tdam.training.losses import LOSSES

if TYPE_CHECKING:
    from collections.abc import Collection

    from tdam.training.recipe import Recipe

CHOICES: dict[str, Collection[str]] = {
    "optimizer": ("sgd", "adamw"),
    "schedule": ("cosine", "steps"),
    "rate_every": ("step", "epoch"),
    "head": HEADS,
    "learns": ("all", "classifier"),
    "targets": ("labels", "plain"),
    "loss": LOSSES,
    "interpolation": ("bilinear", "bicubic", "random"),
    "precision": ("auto", *PRECISIONS),
    "select": ("accuracy", "localization", "last"),
    "pick_threshold": ("none", "val", "unlabelled"),
}

# Without a meaning where each image's features are computed once.
_OF_VIEWS: dict[str, Any] = {
    "targets": "labels", "select": ("accuracy", "last"), "precision": "float32", "accumulate": 1,
    "small_size": 0, "resize": 0, "mixup": 0.0, "cutmix": 0.0, "erasing": 0.0, "min_scale": 1.0,
    "hide_rate": 0.0, "colour": 0.0, "ema": 0.0, "compile": False, "packed": False,
    "head": ("own", "mean"), "regularizer": "none",
}  # fmt: skip

# Heads with a loss of their own: what it is of, and why images have one true class.
_LEARNED_BY_LABELS = {
    "acol": ("two classifiers", "which erases the map of one true class"),
    "spg": ("branches", "which are guided by the map of one true class"),
}

_RANGES: dict[str, tuple[float, float]] = {
    "epochs": (1, 100_000),
    "batch_size": (1, 1_000_000),
    "accumulate": (1, 10_000),
    "size": (0, MAX_SIDE),
    "small_size": (0, MAX_SIDE),
    "small_epochs": (0, 100_000),
    "resize": (0, MAX_SIDE),
    "acol_threshold": (0, 1),
    "adl_rate": (0, 1),
    "adl_threshold": (0, 1),
    "lr": (0, 100),
    "min_lr": (0, 100),
    "warmup_lr": (0, 100),
    "stage_lr": (0, 10_000),
    "head_lr": (0, 10_000),
    "attention_lr": (0, 10_000),
    "momentum": (0, 0.9999),
    "weight_decay": (0, 10),
    "warmup": (0, 100_000),
    "cooldown": (0, 100_000),
    "drop": (0, 1),
    "spg_thresholds": (0, 1),
    "label_smoothing": (0, 0.99),
    "mixup": (0, 100),
    "cutmix": (0, 100),
    "mix_rate": (0, 1),
    "erasing": (0, 1),
    "hide_rate": (0, 1),
    "hide_sizes": (0, MAX_SIDE),
    "min_scale": (0.01, 1),
    "flip": (0, 1),
    "colour": (0, 1),
    "ema": (0, 0.99999),
    "val_share": (0.01, 0.9),
    "per_class": (0, 10_000_000),
    "val_limit": (0, 10_000_000),
    "val_every": (1, 100_000),
    "seed": (0, 2**31 - 1),
}


def check_alone(recipe: Recipe) -> None:
    """Refuse a value that no recipe can have.

    Raises:
        ValueError: it names the field and what it may be
    """
    for name, allowed in CHOICES.items():
        value = getattr(recipe, name)
        if value not in allowed:
            raise ValueError(f"Expected {name} to be one of {', '.join(allowed)} but got {value!r}")
    for name, (low, high) in _RANGES.items():
        value = getattr(recipe, name)
        several = isinstance(value, tuple)
        if not all(low <= each <= high for each in (value if several else (value,))):
            got = list(value) if several else value
            raise ValueError(f"Expected {name} to be from {low} to {high} but got {got}")
    for name in ("size", "small_size"):
        if 0 < getattr(recipe, name) < MIN_SIDE:
            raise ValueError(
                f"Expected {name} to be 0 or at least {MIN_SIDE} but got {getattr(recipe, name)}"
            )
    pairs = zip(recipe.spg_thresholds[::2], recipe.spg_thresholds[1::2], strict=False)
    if len(recipe.spg_thresholds) != 6 or any(high < low for high, low in pairs):
        raise ValueError(
            "Expected spg_thresholds to be three times a high and a low share but got "
            f"{list(recipe.spg_thresholds)}"
        )
    if recipe.hide_rate and not recipe.hide_sizes:
        raise ValueError("Expected hide_sizes to be sides of squares to hide but there are none")


def check_together(recipe: Recipe) -> None:
    """Refuse choices that each can be made, but not with the others.

    Raises:
        ValueError: it names one of them
    """
    if recipe.cooldown >= recipe.epochs:
        raise ValueError(
            f"Expected cooldown to be less than epochs ({recipe.epochs}), which count it, but "
            f"got {recipe.cooldown}; set cooldown=0 beside so few epochs"
        )
    if recipe.learns == "classifier":
        for name, fixed in _OF_VIEWS.items():
            value = getattr(recipe, name)
            allowed = fixed if isinstance(fixed, tuple) else (fixed,)
            if value not in allowed:
                raise ValueError(
                    f"Expected {name} to be {' or '.join(map(str, allowed))} where only the "
                    f"classifier learns, from features computed once, but got {value}"
                )
    if 0 < recipe.resize < recipe.size:
        raise ValueError(
            f"Expected resize to be at least size ({recipe.size}) but got {recipe.resize}"
        )
    _check_head(recipe)


def _check_head(recipe: Recipe) -> None:
    """Refuse a head without its loss, or the other way round."""
    for name, (parts, reason) in _LEARNED_BY_LABELS.items():
        if recipe.loss == name and recipe.head != name:
            raise ValueError(
                f"Expected head to be {name}, whose {parts} the loss {name} is of, but got "
                f"{recipe.head}"
            )
        if recipe.head == name and recipe.loss == "cross_entropy":
            raise ValueError(
                f"Expected loss to be {name} with head={name}, whose {parts} learn nothing by "
                f"{recipe.loss}"
            )
        if recipe.loss != name:
            continue
        for key, fixed in (("mixup", 0.0), ("cutmix", 0.0), ("targets", "labels")):
            if getattr(recipe, key) != fixed:
                raise ValueError(
                    f"Expected {key} to be {fixed} with loss={name}, {reason}, but got "
                    f"{getattr(recipe, key)}"
                )
