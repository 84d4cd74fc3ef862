"""What gives the maps of a split, one image after the other, to whoever scores them."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

from wsol.sharing import deal_rows
from wsol.text import count_things

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    import numpy as np

    from eval.protocols import ClassMap
    from eval.protocols import Protocol as Rules
    from eval.splits import Split
    from eval.stored_sizes import Size
    from wsol.evaluation.guess_maps import GuessMaps

_SHOWN = 3  # maps of a kind that a message names
TOP = 5  # classes of an image that are kept, as many as Top-5 Loc counts
NO_RANK = 2**31 - 1  # of an image that could not be read: not among the predictions


class MapError(ValueError):
    """Maps on disk that cannot be scored.

    Args:
        kinds: by what is wrong, such as `missing`, one line a fault, each naming a file
        way_out: sentence on what whoever asked for the scores can do about it, if anything
    """

    def __init__(self, kinds: Mapping[str, Sequence[str]], way_out: str = "") -> None:
        self.kinds = {kind: tuple(faults) for kind, faults in kinds.items() if faults}
        self.faults = [fault for faults in self.kinds.values() for fault in faults]
        self.summary = "; ".join(
            f"{count_things(len(faults), 'map')} {kind}: {_list_first(faults)}"
            for kind, faults in self.kinds.items()
        )
        super().__init__(f"{self.summary}. {way_out}" if way_out else self.summary)


def _list_first(faults: Sequence[str]) -> str:
    more = f"; and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
    return "; ".join(faults[:_SHOWN]) + more


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
        size: width and height of the image; None where it was not read
        guesses: what every step says of the image, where that was asked for
        partner: the same of another network
        top: the most probable classes, `TOP` at most, numbered as `label` is, each with its
            probability; the first is the most probable
    """

    row: int
    heat: Callable[[Rules], np.ndarray] | None
    fault: str = ""
    label: int = -1
    rank: int | None = None
    score: float = 1.0
    region: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)
    predicted: int | None = None
    size: Size | None = None
    guesses: GuessMaps | None = None
    partner: GuessMaps | None = None
    top: tuple[tuple[int, float], ...] = ()


def read_batches(source: MapSource, rank: int, count: int) -> Generator[list[FoundMap]]:
    """Give the maps of all images of a process's share, a batch at a time.

    Args:
        source: of the maps
        rank: of the process, from 0
        count: of processes
    """
    rows = deal_rows(range(len(source.split)), source.batch_size, rank, count)
    with closing(source.read(rows)) as maps:
        while batch := list(islice(maps, max(source.batch_size, 1))):
            yield batch


class MapSource(Protocol):
    """Gives the maps of a split, of any batches; pickled for other processes that share them."""

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
    def classes(self) -> Mapping[int, int] | None:
        """Index among the network's outputs by label; None where they are the same."""
        ...

    @property
    def places(self) -> int:
        """How many of an image's first classes are known: 5, or 1 where only the first is."""
        ...

    @property
    def origin(self) -> Mapping[str, Any]:
        """What records tell of weights, images and arithmetic; empty for maps on disk."""
        ...

    def describe(self) -> dict[str, Any]:
        """Name everything that the maps depend on, in plain values."""
        ...

    def check(self) -> None:
        """Refuse maps that cannot be scored, before the first is read."""
        ...

    def read(self, rows: Sequence[int]) -> Generator[FoundMap]:
        """Give the maps of some rows, `batch_size` at once, so that whole batches stay such."""
        ...
