"""Boxes that need no network: whether a protocol's baselines hit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from eval.metrics.overlaps import best_overlaps

if TYPE_CHECKING:
    from eval.protocols import Protocol


def hit_baselines(true_boxes: np.ndarray, protocol: Protocol) -> tuple[bool, ...]:
    """Tell which of a protocol's baselines, in their order, overlap a true box by half.

    Args:
        true_boxes: (m, 4), in the protocol's square
        protocol: with the baselines, and how boxes are compared
    """
    fixed = np.array([*protocol.baselines.values()])
    each = np.stack([np.arange(len(fixed)), np.arange(1, len(fixed) + 1)], axis=1)
    overlaps = best_overlaps(fixed, each, true_boxes, protocol.convention)
    return tuple(protocol.hits(overlaps, 50).tolist())
