"""What gives the maps of a split, one image after the other, to whoever scores them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from wsol.text import count_things

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    import numpy as np

    from eval.protocols import ClassMap
    from eval.protocols import Protocol as Rules
    from eval.splits import Split

_SHOWN = 3  # maps that a message names
NO_RANK = 2**31 - 1  # of an image that could not be read: not among the predictions


class MapError(ValueError):
    """Maps on disk that cannot be scored.

    Args:
        faults: one line a fault, each naming a file
    """

    def __init__(self, faults: list[str]) -> None:
        few = "; ".join(faults[:_SHOWN])
        more = f"; and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        self.summary = f"{count_things(len(faults), 'map')} missing, broken or of no image: "
        self.summary += f"{few}{more}"
        super().__init__(
            f"{self.summary}. With allow_missing those of images count as missed, and others names "
            "the images of other splits that have maps there"
        )
        self.faults = faults


@dataclass(frozen=True, eq=False)
class FoundMap:
    """The map of one image, made when a protocol asks for it.

    Args:
        row: of the image in its split
        heat: gives the map in [0, 1] in a protocol's square, (S, S); may raise ImageError
        fault: why there is none
        label: class whose map it is, among the network's outputs or, without one, the labels
        rank: position of the true class among the predictions, from 0; None where unknown
        score: probability of the class
        region: part of the image that the map covers, x0 y0 x1 y1 as shares of width and height
        predicted: most probable class among the network's outputs; None where there is no network
    """

    row: int
    heat: Callable[[Rules], np.ndarray] | None
    fault: str = ""
    label: int = -1
    rank: int | None = None
    score: float = 1.0
    region: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)
    predicted: int | None = None


class MapSource(Protocol):
    """Gives the maps of a split in order, from any batch on."""

    @property
    def split(self) -> Split:
        """The split whose maps these are."""
        ...

    @property
    def class_map(self) -> ClassMap:
        """Whose maps these are."""
        ...

    @property
    def batch_size(self) -> int:
        """Images at once."""
        ...

    @property
    def image(self) -> str:
        """What the maps show of an image: `squash`, the whole, or `crop`, its centre."""
        ...

    @property
    def allow_missing(self) -> bool:
        """Whether a map that cannot be had counts as missed, instead of an error."""
        ...

    @property
    def overlaps(self) -> tuple[str, ...] | None:
        """What its scores have to tell of images that are not only scored, if that is known."""
        ...

    @property
    def origin(self) -> Mapping[str, Any]:
        """What records tell of weights, images and arithmetic; empty for maps on disk."""
        ...

    def describe(self) -> dict[str, Any]:
        """Name everything that the maps depend on, in plain values."""
        ...

    def read(self, start: int) -> Generator[FoundMap]:
        """Give the maps from a row on, which is the first of a batch."""
        ...
