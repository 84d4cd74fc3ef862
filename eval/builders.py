"""The registry of builders, which turn official downloads into folders of four files a split."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from eval.building import Built

BUILDERS: dict[str, str] = {
    "cub": "eval.cub:build_cub",
    "ilsvrc": "eval.ilsvrc:build_ilsvrc",
    "tiny-imagenet": "eval.tiny_imagenet:build_tiny_imagenet",
}


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


# What a download's folder holds, one of these sets of files and folders.
_SIGNS: dict[str, tuple[tuple[str, ...], ...]] = {
    "cub": (
        ("images.txt", "train_test_split.txt"),
        ("CUB_200_2011/images.txt", "CUB_200_2011/train_test_split.txt"),
    ),
    "ilsvrc": (
        ("ILSVRC/Data/CLS-LOC",),
        ("Data/CLS-LOC",),
        ("Annotations/CLS-LOC", "val"),
        ("LOC_val_solution.csv", "val"),
    ),
    "tiny-imagenet": (
        ("wnids.txt", "val/val_annotations.txt"),
        ("tiny-imagenet-200/wnids.txt", "tiny-imagenet-200/val/val_annotations.txt"),
    ),
}


def find_download(folder: Path) -> str | None:
    """Tell which official download lies in a folder.

    Args:
        folder: as a builder takes it

    Returns:
        name of its builder; None for other data, also for images with their splits in `manifest/`
    """
    if any(folder.glob("manifest/*/image_ids.txt")):
        return None
    for name, signs in _SIGNS.items():
        if any(all((folder / part).exists() for part in parts) for parts in signs):
            return name
    return None
