"""Boxes that are left out because their class is too improbable: counted, and told once a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from tdam.events import Events
    from wsol.images import ImageError
    from wsol.results import Localization


class LeftOut:
    """Counts classes that have no box since they are less probable than asked for.

    Args:
        min_score: probability that a class with a box has at least
    """

    def __init__(self, min_score: float) -> None:
        self.min_score = min_score
        self.classes = 0
        self.left_out = 0

    def watch(
        self, on_result: Callable[[Path, Localization | ImageError], object]
    ) -> Callable[[Path, Localization | ImageError], None]:
        """Give a listener that counts the classes of every result, and tells another one of it."""

        def listen(path: Path, result: Localization | ImageError) -> None:
            if not isinstance(result, Exception):
                self.see(each.score for each in result.classes)
            on_result(path, result)

        return listen

    def see(self, scores: Iterable[float]) -> None:
        """Count the classes of an image, whose probabilities these are."""
        for score in scores:
            self.classes += 1
            self.left_out += score < self.min_score

    def tell(self, events: Events) -> None:
        """Say at the end of a run how many were left out.

        Args:
            events: told one line, or none
        """
        if self.left_out:
            events.say(
                f"{self.left_out} of {self.classes} predictions are without a box: their class is "
                f"less probable than {self.min_score:g}"
            )
