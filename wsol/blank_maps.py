"""Maps that show nothing: told once a run where not one of its images has another."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tdam.events import Events
    from wsol.images import ImageError
    from wsol.results import Localization


class BlankMaps:
    """Counts maps, and those of them that are constant."""

    def __init__(self) -> None:
        self.maps = 0
        self.blank = 0

    def watch(
        self, on_result: Callable[[Path, Localization | ImageError], object] | None
    ) -> Callable[[Path, Localization | ImageError], None]:
        """Give a listener that counts the map of every result, and tells another one of it."""

        def listen(path: Path, result: Localization | ImageError) -> None:
            if not isinstance(result, Exception):
                self.see(result)
            if on_result is not None:
                on_result(path, result)

        return listen

    def see(self, localization: Localization) -> None:
        """Count the map that an image's boxes come from."""
        from wsol.heatmap import varies

        last = localization.steps[-1]
        self.add(not varies(last.map if last.raw is None else last.raw))

    def add(self, blank: bool) -> None:
        """Count a map."""
        self.maps += 1
        self.blank += blank

    def tell(self, events: Events, whose: str = "") -> None:
        """Say at the end of a run where every map is constant.

        Args:
            events: told one line, or none
            whose: what the maps are of, for people, such as `test: `
        """
        if self.maps and self.blank == self.maps:
            count = "the only map is" if self.maps == 1 else f"all {self.maps} maps are"
            events.say(
                f"{whose}{count} constant, and so without a box: the weights or the layer are no "
                "good, unless the images are empty"
            )
