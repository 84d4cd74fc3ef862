"""Classifiers with top-down attention: build one by name, load one from a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tdam.registry import create_model, list_models

if TYPE_CHECKING:
    from tdam.checkpoints import load_checkpoint

__all__ = ["create_model", "list_models", "load_checkpoint"]


def __getattr__(name: str) -> Any:
    if name == "load_checkpoint":
        from tdam.checkpoints import load_checkpoint

        return load_checkpoint
    raise AttributeError(f"module 'tdam' has no attribute {name!r}")
