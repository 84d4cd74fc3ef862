"""A prediction that has been checked: told alone, into the files of a folder, or on a cluster."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tdam.events import working
from wsol.blank_maps import BlankMaps
from wsol.left_out import LeftOut

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from tdam.events import Events
    from wsol.draft_page import DraftPage
    from wsol.folder_classes import KnownClasses
    from wsol.images import ImageError
    from wsol.localizer import Localizer
    from wsol.results import Localization


@dataclass(frozen=True, eq=False)
class PredictionRun:
    """Images, what finds their boxes, and where the results go.

    Args:
        localizer: finds the boxes
        options: that it was made with
        paths: of the images
        states: of the images by their names, where an engine does them; else None
        known: names of all classes, and the class of each image where it is known
        folder: for files; None where none are asked for
        kinds: of formats: names, or classes of writers
        extras: further options of the formats, in plain values
        pictures: also draw every image
        sort: `given` or `uncertain`
        layers: `layer` and `fc_layer` as they were asked for
        device: as it was asked for
        on_result: as for `wsol.prediction.predict`
        page: of drafts, or None
        events: is told how far it is, and what people should know
    """

    localizer: Localizer
    options: dict[str, Any]
    paths: list[Path]
    states: dict[str, str] | None
    known: KnownClasses
    folder: Path | None
    kinds: Sequence[Any]
    extras: dict[str, Any]
    pictures: bool
    sort: str
    layers: dict[str, Any]
    device: str
    on_result: Callable[[Path, Localization | ImageError], object] | None
    page: DraftPage | None
    events: Events

    def do(self, resume: bool, force: bool) -> int:
        """Find the boxes and tell of them.

        Args:
            resume: go on with a run that was cut off
            force: write into a folder that has files already

        Returns:
            how many images could not be read
        """
        maps, left_out = BlankMaps(), LeftOut(self.localizer.min_score)
        tell = left_out.watch(maps.watch(self.on_result))
        labels, names = self.known.labels, self.known.names
        if self.folder is None:
            failed = self._tell(tell)
        elif self.states is None:
            from wsol.stored_prediction import StoredPrediction

            failed = StoredPrediction(
                self.folder, self.localizer, self.paths, labels, names, self.kinds,
                {**self.extras, "classes": self.known.listed}, self.pictures,
                self.sort == "uncertain", self.layers, tell, self.page, self.events,
            ).run(resume, force)  # fmt: skip
        else:
            from wsol.engines.prediction import ClusterPrediction

            failed = ClusterPrediction(
                self.folder, self.localizer, self.options, self.states, labels, names, self.kinds,
                self.device, self.layers, maps, left_out, self.events,
            ).run(resume, force)  # fmt: skip
        maps.tell(self.events)
        left_out.tell(self.events)
        return failed

    def _tell(self, tell: Callable[[Path, Localization | ImageError], object]) -> int:
        """Localize and tell, without files; gives how many images could not be read."""
        from wsol.images import ImageError

        failed = 0
        with working(self.events, "predict", len(self.paths)):
            for path, result in self._in_order():
                failed += isinstance(result, ImageError)
                tell(path, result)
                self.events.advance()
        return failed

    def _in_order(self) -> Iterable[tuple[Path, Localization | ImageError]]:
        results = self.localizer.stream(self.paths, self.known.labels)
        if self.sort == "given":
            return results
        return sorted(results, key=lambda pair: getattr(pair[1], "score", -1.0))
