"""Classes that a network does not know, whose maps are those of classes that it knows."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from wsol.images import ImageError
from wsol.localizer import Localizer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from torch import nn

    from wsol.results import Localization


class BorrowingLocalizer(Localizer):
    """Finds objects of classes of one's own with the maps of a network's classes.

    Args:
        model: as for `Localizer`
        called: names of one's own classes
        borrowed: for each of them, the network's class whose maps and probabilities it has
        options: as for `Localizer`; `topk` is 1, since the network's next classes are none of these
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        called: Sequence[str],
        borrowed: Sequence[int],
        **options: Any,
    ) -> None:
        super().__init__(model, **options)
        self.called, self.borrowed = tuple(called), tuple(borrowed)

    def stream(
        self, images: Iterable[Any], labels: Iterable[int | None] | None = None
    ) -> Iterator[tuple[Any, Localization | ImageError]]:
        """Localize image after image.

        Args:
            images: as for `Localizer.stream`
            labels: one's own class of each

        Yields:
            as `Localizer.stream`, with one's own classes in place of the network's
        """
        own = [] if labels is None else [label for label in labels if label is not None]
        if labels is None:
            raise ValueError("Expected one's own class of every image but got none")
        outputs = [self.borrowed[label] for label in own]
        for label, (item, result) in zip(own, super().stream(images, outputs), strict=True):
            if isinstance(result, ImageError):
                yield item, result
            else:
                yield item, replace(result, label=label, name=self.called[label])


def make_localizer(network: nn.Module, options: dict[str, Any]) -> Localizer:
    """Make the localizer that options are of: those of a `BorrowingLocalizer` say what it borrows.

    Args:
        network: the network
        options: of either
    """
    return (BorrowingLocalizer if "borrowed" in options else Localizer)(network, **options)
