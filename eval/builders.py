"""The registry of builders, which turn official downloads into folders of four files a split."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from eval.building import Built

BUILDERS: dict[str, str] = {"cub": "eval.cub:build_cub", "ilsvrc": "eval.ilsvrc:build_ilsvrc"}


def find_builder(name: str) -> Callable[..., Built]:
    """Look a builder up.

    Returns:
        `build(source, out, *, val, seed, force)`, as `eval.cub.build_cub`

    Raises:
        ValueError: no builder has this name; the message lists those there are
    """
    if name not in BUILDERS:
        raise ValueError(f"Expected name to be one of {', '.join(BUILDERS)} but got {name!r}")
    module, _, attribute = BUILDERS[name].partition(":")
    builder: Callable[..., Built] = getattr(import_module(module), attribute)
    return builder
