"""A prediction that loses nothing: results go to the disk as they come, files are made of them."""

from __future__ import annotations

import hashlib
import json
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from eval.image_files import get_max_pixels
from tdam.atomic import naming
from tdam.events import working
from wsol.errors import ArgumentError, about
from wsol.evaluation.network_maps import describe_arithmetic
from wsol.fingerprints import hash_code, hash_modules, hash_weights
from wsol.folder_lock import LOCK, has_files, hold_folder
from wsol.out_files import KEPT, FileList
from wsol.out_folders import free_folder
from wsol.prediction_journal import Journal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from tdam.events import Events
    from wsol.draft_page import DraftPage
    from wsol.images import ImageError
    from wsol.localizer import Localizer
    from wsol.results import Localization
    from wsol.writers import Writer

_PICTURES = "pictures"


@dataclass(frozen=True, eq=False)
class StoredPrediction:
    """Images whose results go into files of a folder.

    A run that was cut off, at whatever moment, goes on to the same files as one that was not: all
    of them are made of the journal, but for the pictures, which are drawn as results come.

    Args:
        folder: for the files
        localizer: finds the boxes
        paths: of the images
        labels: known class of each; None where the network chooses
        names: of all classes
        kinds: of formats
        options: for the formats that take them, in plain values
        pictures: also draw every image
        uncertain: the least certain images come first
        layers: `layer` and `fc_layer` as they were asked for
        on_result: as for `wsol.prediction.predict`
        page: of drafts, which results and other files do not depend on; or None
        events: is told how far it is
    """

    folder: Path
    localizer: Localizer
    paths: list[Path]
    labels: Sequence[int] | None
    names: tuple[str, ...]
    kinds: Sequence[str | type[Writer]]
    options: dict[str, Any]
    pictures: bool
    uncertain: bool
    layers: dict[str, Any]
    on_result: Callable[[Path, Localization | ImageError], object] | None
    page: DraftPage | None
    events: Events

    def run(self, resume: bool = False, force: bool = False) -> int:
        """Localize what has no result yet, and write the files.

        After an interruption the files hold what there was by then.

        Args:
            resume: go on with a run that was cut off
            force: begin anew, without the files of earlier runs

        Returns:
            how many images could not be read

        Raises:
            OutputError: the folder is not free, or holds a run of other images or settings
            wsol.folder_lock.FolderHeldError: another process works in it
            OSError: the disk is full or gone; what was finished stays, and can go on
        """
        self._check_page(resume, force)
        with ExitStack() as held:
            held.enter_context(hold_folder(self.folder))
            files = FileList(self.folder)
            journal = Journal(self.folder, self.paths, self._describe(), self.localizer.batch_size)
            ended = journal.enter(resume, force, self.events)
            held.enter_context(self._holding_page())
            if ended is not None:
                self._tell(journal, self.uncertain)
                self._write_page(journal)
                return ended
            try:
                failed = self._localize(journal)
            except OSError:  # of a disk that has no room for files either
                raise
            except BaseException:
                self._write(journal, files)
                self._write_page(journal)
                raise
            finally:
                journal.close()
            self._write(journal, files)
            self._write_page(journal)
            journal.finish(failed)
        return failed

    def _check_page(self, resume: bool, force: bool) -> None:
        """Refuse a page's folder that has files, before anything is begun."""
        folder = self._page_folder()
        if folder is None or force or not has_files(folder):
            return
        ours = {name.partition("/")[0] for name in FileList(folder).names()}
        if not (resume and {path.name for path in folder.iterdir()} <= {LOCK, *KEPT, *ours}):
            message = f"{folder} exists; choose another folder or add --force (force=True)"
            raise ArgumentError("page", message)

    @contextmanager
    def _holding_page(self) -> Iterator[None]:
        """Hold the page's folder, where that is another one, and make room in it."""
        folder = self._page_folder()
        if folder is None:
            yield
            return
        with about("page"), hold_folder(folder):
            free_folder(folder, force=True)
            yield

    def _page_folder(self) -> Path | None:
        """Name the page's folder, where there is a page and it is not in the run's folder."""
        if self.page is None or self.page.folder.resolve() == self.folder.resolve():
            return None
        return self.page.folder

    def _write_page(self, journal: Journal) -> None:
        """Write the page of drafts, if there is to be one, of the results that there are."""
        if self.page is not None and journal.done:
            from wsol.drafts import write_drafts

            results = ((path, result) for path, result, _ in journal.read(self.uncertain))
            counts = (journal.done, len(self.paths))
            where = write_drafts(self.page, results, *counts, self.localizer, self.events)
            self.events.say(f"page in {where}")

    def _describe(self) -> dict[str, Any]:
        """Name everything that results and files depend on, but for the images."""
        return {
            **describe_localizer(self.localizer, self.labels, self.names, self.layers),
            "formats": [kind if isinstance(kind, str) else _name(kind) for kind in self.kinds],
            **self.options,
            "pictures": self.pictures,
            "sort": "uncertain" if self.uncertain else "given",
        }

    def _tell(self, journal: Journal, uncertain: bool) -> None:
        """Tell of the results that the journal has."""
        if self.on_result is not None and journal.done:
            for path, result, _ in journal.read(uncertain):
                self.on_result(path, result)

    def _localize(self, journal: Journal) -> int:
        """Find what is missing, and tell of all; gives the number of failures."""
        from wsol.images import ImageError
        from wsol.writers.names import unique_stem

        tell = None if self.uncertain else self.on_result
        failed, taken, done = 0, set[str](), journal.done
        with working(self.events, "predict", len(self.paths), done):
            for path, result, fault in journal.read():
                failed += isinstance(result, ImageError) or fault is not None
                if not isinstance(result, ImageError):
                    unique_stem(path, taken)
                if tell is not None:
                    tell(path, result)
            labels = None if self.labels is None else self.labels[done:]
            found = self.localizer.stream(self.paths[done:], labels)
            for path, result, fault in self._with_pictures(found, taken):
                if fault is not None:
                    self.events.say(f"{path}: {fault}")
                journal.append(result, fault)
                failed += isinstance(result, ImageError) or fault is not None
                if tell is not None:
                    tell(path, result)
                self.events.advance()
        if self.uncertain:
            self._tell(journal, uncertain=True)
        return failed

    def _with_pictures(
        self, found: Iterable[tuple[Path, Localization | ImageError]], taken: set[str]
    ) -> Iterable[tuple[Path, Localization | ImageError, str | None]]:
        """Draw results where that is asked for; else there is nothing that can be missing."""
        if not self.pictures:
            return ((path, result, None) for path, result in found)
        from wsol.picture_files import draw_beside

        return draw_beside(found, self.folder / _PICTURES, taken)

    def _write(self, journal: Journal, files: FileList) -> None:
        """Make the files of all formats, one after the other: what one has, no other can lose."""
        from wsol.images import ImageError
        from wsol.writers import create_writer

        files.remove(keep=_PICTURES)
        problem: OSError | None = None
        for kind in self.kinds:
            try:
                with (
                    naming(self.folder),
                    create_writer(kind, self.folder, self.names, **self.options) as writer,
                ):
                    for path, result, _ in journal.read(self.uncertain):
                        if isinstance(result, ImageError):
                            writer.add_error(path, str(result).removeprefix(f"{path}: "))
                        else:
                            writer.add(result)
                for note in writer.notes:
                    self.events.say(note)
            except OSError as error:
                problem = problem or error
        if problem is not None:
            raise problem


def describe_localizer(
    localizer: Localizer,
    labels: Sequence[int] | None,
    names: tuple[str, ...],
    layers: dict[str, Any],
) -> dict[str, Any]:
    """Name everything that results depend on, but for the images, in plain values.

    Args:
        localizer: finds the boxes
        labels: known class of each image; None where the network chooses
        names: of all classes
        layers: `layer` and `fc_layer` as they were asked for
    """
    model, extractor = localizer.model, localizer.extractor
    return {
        "weights": hash_weights(model.state_dict()),
        "network": getattr(model, "settings", None) or _name(type(model)),
        "method": _name(type(extractor)),
        "code": f"{hash_modules(model)} {hash_code(type(extractor))}",
        **{name: value and str(value) for name, value in layers.items()},
        "preprocessing": repr(localizer.preprocessing),
        "threshold": localizer.threshold,
        "multi": localizer.contours != "largest",
        "topk": localizer.topk,
        "min_score": localizer.min_score,
        "class": _summarize(labels),
        "names": _summarize(names),
        "borrowed": _summarize(getattr(localizer, "borrowed", None)),
        "batch_size": localizer.batch_size,
        "device": localizer.device.type,
        "max_pixels": get_max_pixels(),
        **describe_arithmetic(extractor.precision, extractor.channels_last, extractor.smooth),
        "versions": {name: version(name) for name in ("wsol-tdam", "torch")},
    }


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _summarize(values: Sequence[int] | Sequence[str] | None) -> Any:
    """Name the only value there is, or hash several."""
    if values is None or len(set(values)) == 1:
        return values and values[0]
    return hashlib.sha256(json.dumps(list(values)).encode()).hexdigest()
