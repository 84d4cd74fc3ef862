"""Classifiers with top-down attention: build one by name, load one from a file."""

from __future__ import annotations

from tdam.registry import create_model, list_models

__all__ = ["create_model", "list_models"]
