"""Localization protocols as frozen records: every choice that a score depends on, with a name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from eval.geometry import Convention


@dataclass(frozen=True)
class Protocol:
    """How a map becomes a box, and when a box counts as right.

    Args:
        name: what the results are printed under
        source: where the protocol is defined
        size: side of the square that maps and boxes are compared in, in pixels
        interval: step of the grid of thresholds
        contours: the contour whose box Top-k and GT-known Loc use
        convention: what a box's four numbers mean when overlaps are computed
        deltas: overlaps that count as a hit, in percent
        centre_box: the baseline box in the middle, x0 y0 x1 y1
    """

    name: str
    source: str
    size: int
    interval: float
    contours: Literal["largest", "all"]
    convention: Convention
    deltas: tuple[int, ...]
    centre_box: tuple[int, int, int, int]

    @property
    def thresholds(self) -> np.ndarray:
        """The grid of thresholds from 0 to below 1, float64."""
        return np.arange(0, 1, self.interval)

    @property
    def baselines(self) -> dict[str, tuple[int, int, int, int]]:
        """Boxes that need no network, in pixels of the square."""
        last = self.size - 1 if self.convention == "inclusive" else self.size
        return {"centre_box": self.centre_box, "full_image": (0, 0, last, last)}


PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            name="wsoleval",
            source="J. Choe et al., Evaluating Weakly Supervised Object Localization Methods "
            "Right, CVPR 2020",
            size=224,
            interval=0.001,
            contours="largest",
            convention="inclusive",
            deltas=(30, 50, 70),
            centre_box=(33, 33, 191, 191),
        ),
    )
}


def find_protocol(name: str) -> Protocol:
    """Look a protocol up.

    Raises:
        ValueError: no protocol has this name; the message lists those there are
    """
    try:
        return PROTOCOLS[name]
    except KeyError:
        raise ValueError(
            f"Expected protocol to be one of {', '.join(PROTOCOLS)} but got {name!r}"
        ) from None
