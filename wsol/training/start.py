"""The content of the weights that a training starts from, which is part of what a run is."""

from __future__ import annotations

import hashlib
from importlib import import_module
from typing import TYPE_CHECKING

from tdam.registry import find_spec
from tdam.weights import find_file
from wsol.fingerprints import hash_weights

if TYPE_CHECKING:
    from tdam.training.recipe import Recipe


def hash_start(recipe: Recipe) -> str | None:
    """Hash the weights that a recipe starts from, or whose predictions it learns, in hexadecimal.

    Args:
        recipe: names them

    Returns:
        SHA-256 of a file, as it is; of pretrained weights that of names, types, shapes and numbers
        of all tensors; None for random ones

    Raises:
        tdam.weights.WeightsError: weights that cannot be had
    """
    if recipe.weights == "random":
        return None
    if recipe.weights == "pretrained":
        family = find_spec(recipe.model).family
        module = import_module(family if "." in family else f"tdam.backbones.{family}")
        return hash_weights(module.pretrained(recipe.model))
    with find_file(recipe.weights).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
