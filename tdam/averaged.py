"""Averaged weights (EMA) beside the plain ones in a file: told, not taken."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class AveragedWeightsWarning(UserWarning):
    """A file holds averaged weights, too, which are not taken."""


def warn_averaged(path: str | Path, taken: str, averaged: Sequence[str]) -> None:
    """Warn where a file holds averaged weights beside those that are taken.

    Args:
        path: of the file
        taken: where in it the weights lie that are taken; empty for its top
        averaged: where the others lie
    """
    if averaged:
        under = f" under {taken}" if taken else ""
        warnings.warn(
            f"{path}: the weights{under} are taken, but averaged ones (EMA) are there too, under "
            f"{', '.join(averaged)}; to have those, save them as a file of their own",
            AveragedWeightsWarning,
            stacklevel=3,
        )
