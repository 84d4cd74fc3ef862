"""Files of named weights that lie in a folder of the user's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tdam.torchvision_files import name_file

if TYPE_CHECKING:
    from pathlib import Path


def find_file(network: str, weights: str, folder: Path | None) -> str:
    """Look for the file of named weights, so that a machine without network needs no download.

    Args:
        network: name of a registered one
        weights: one of `tdam.named_weights.NAMED_WEIGHTS`
        folder: where files of weights lie, or None

    Returns:
        the file, called as torchvision's server calls it; else the name of the weights
    """
    file = name_file(network, weights)
    path = None if folder is None or not file else folder / file
    return str(path) if path is not None and path.is_file() else weights
