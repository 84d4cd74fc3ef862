"""Maps of a network, each with the guesses that a partner makes of the same image."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from eval.protocols import ClassMap
    from eval.splits import Split
    from wsol.evaluation.map_source import FoundMap
    from wsol.evaluation.network_maps import NetworkMaps


@dataclass(frozen=True, eq=False)
class PairedMaps:
    """The maps of one network beside the guesses of another, of the same images.

    Args:
        own: whose maps are scored
        partner: whose guesses go with them; of the same split, with the same batches
    """

    own: NetworkMaps
    partner: NetworkMaps

    @property
    def split(self) -> Split:
        """The split whose maps these are."""
        return self.own.split

    @property
    def class_map(self) -> ClassMap:
        """Whose maps these are."""
        return self.own.class_map

    @property
    def batch_size(self) -> int:
        """Images at once."""
        return self.own.batch_size

    @property
    def image(self) -> str:
        """What the maps show of an image."""
        return self.own.image

    @property
    def allow_missing(self) -> bool:
        """Images that cannot be read count as missed."""
        return self.own.allow_missing

    @property
    def overlaps(self) -> tuple[str, ...] | None:
        """What the scores have to tell of images that are not only scored."""
        return self.own.overlaps

    @property
    def classes(self) -> Mapping[int, int] | None:
        """Index among the network's outputs by label."""
        return self.own.classes

    @property
    def places(self) -> int:
        """How many of an image's first classes are known."""
        return self.own.places

    @property
    def origin(self) -> Mapping[str, Any]:
        """What records tell of weights and images; the partner's weights are in `describe`."""
        return self.own.origin

    def describe(self) -> dict[str, Any]:
        """Name everything that maps and guesses depend on."""
        return {**self.own.describe(), "partner": self.partner.describe()}

    def check(self) -> None:
        """Refuse images, the same for both, as `NetworkMaps.check` does."""
        self.own.check()

    def read(self, rows: Sequence[int]) -> Generator[FoundMap]:
        """Give the maps of some rows, whole batches of them."""
        with closing(self.own.read(rows)) as maps, closing(self.partner.read(rows)) as others:
            for shown, other in zip(maps, others, strict=True):
                yield replace(shown, partner=other.guesses)
