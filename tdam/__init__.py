"""Classifiers with top-down attention: build one by name, load one from a file, attach to any."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tdam.attach import attach_top_down, start_as_identity
    from tdam.attention import TopDownAttention
    from tdam.backbones.base import StepOutputs
    from tdam.checkpoints import load_checkpoint, save_checkpoint
    from tdam.registry import create_model, list_models

__all__ = [
    "StepOutputs",
    "TopDownAttention",
    "attach_top_down",
    "create_model",
    "list_models",
    "load_checkpoint",
    "save_checkpoint",
    "start_as_identity",
]

_HOMES = {
    "StepOutputs": "tdam.backbones.base",
    "TopDownAttention": "tdam.attention",
    "attach_top_down": "tdam.attach",
    "create_model": "tdam.registry",
    "list_models": "tdam.registry",
    "load_checkpoint": "tdam.checkpoints",
    "save_checkpoint": "tdam.checkpoints",
    "start_as_identity": "tdam.attach",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'tdam' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
