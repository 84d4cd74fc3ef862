"""The content of the weights that a training starts from, which is part of what a run is."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from tdam.named_weights import fetch_named, is_named
from tdam.tensor_files import list_parts
from tdam.weights import find_file
from wsol.fingerprints import hash_weights

if TYPE_CHECKING:
    from tdam.training.recipe import Recipe


def hash_start(recipe: Recipe) -> str | None:
    """Hash the weights that a recipe starts from, or whose predictions it learns, in hexadecimal.

    Args:
        recipe: names them

    Returns:
        SHA-256 of a file, as it is, or of an index and its files, one after another; of weights
        by name that of names, types, shapes and numbers of all tensors; None for random ones

    Raises:
        tdam.weights.WeightsError: weights that cannot be had
        ValueError: a name of weights that the network does not have
    """
    if recipe.weights == "random":
        return None
    if is_named(recipe.weights):
        return hash_weights(fetch_named(recipe.model, recipe.weights))
    digest = hashlib.sha256()
    for path in list_parts(find_file(recipe.weights)):
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, digest.copy)
    return digest.hexdigest()
