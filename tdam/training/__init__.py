"""Training from image labels: a recipe, one loop, and runs that survive being killed."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "Recipe": "recipe",
    "TrainingError": "errors",
    "UnreadableImageError": "errors",
    "list_recipes": "recipe",
    "load_recipe": "recipe",
    "train": "loop",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
