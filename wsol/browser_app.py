"""What the app in the browser does: boxes, maps and steps of photographs, and files of boxes."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from threading import Lock
from typing import TYPE_CHECKING, Any

from PIL import Image

from wsol.attention_shift.trace import trace_shift
from wsol.classes import near_names
from wsol.demo import copy_photos
from wsol.images import ImageError, read_image
from wsol.palette import paper
from wsol.text import count_things, escape
from wsol.writers import create_writer
from wsol.writers.names import unique_stem

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from wsol.localizer import Localizer
    from wsol.results import Localization

MOST_PROBABLE = "the most probable"
_WITH_PHOTOGRAPH = ("yolo", "yolo-seg")  # formats that take it along


class BrowserApp:
    """What the page asks for. Calls from several threads wait for each other.

    Args:
        localizer: finds the boxes; the page chooses its threshold and contours
        names: of the classes
    """

    def __init__(self, localizer: Localizer, names: Sequence[str]) -> None:
        self.localizer = localizer
        self.names = tuple(names)
        self.choices = tell_apart(self.names)
        self.notes: Callable[[str], object] = lambda note: None
        self.start = localizer.threshold
        self._turn = Lock()
        self._files = TemporaryDirectory(prefix="wsol-app-", ignore_cleanup_errors=True)
        self.uploads = Path(self._files.name) / "uploads"

    def copy_examples(self) -> list[Path]:
        """Copy photographs to try, of installed packages, to where they go with the app."""
        return copy_photos(Path(self._files.name) / "examples")

    def find_classes(self, text: str, chosen: str) -> list[str]:
        """List classes that a text may mean, best first, behind what is chosen; all for no text.

        Args:
            text: as `near_names` takes it
            chosen: the class that is wanted so far
        """
        near = near_names(text, self.choices) if text.strip() else self.choices
        return list(dict.fromkeys([MOST_PROBABLE, chosen, *near]))

    def localize(
        self, path: str | None, class_name: str, threshold: float, every: bool, dark: bool = False
    ) -> tuple[Image.Image | None, Image.Image | None, list[list[Any]]]:
        """Find an object on a photograph.

        Args:
            path: of the photograph; None where there is none yet
            class_name: of the class that is wanted, or `MOST_PROBABLE`
            threshold: share of the map's maximum, in [0, 1]
            every: a box for every region, not only the largest
            dark: whether the pictures shall stand on a dark page

        Returns:
            the photograph with boxes and map; the steps, None for a network with one; and a row a
            box: class, probability, x0 y0 x1 y1 in pixels of the photograph

        Raises:
            ImageError: a file that cannot be read as an image
        """
        if path is None:
            return None, None, []
        image = read_image(Path(path))
        with self._turn, paper(dark):
            localization = self._localize(path, class_name, threshold, every)
            boxes = localization.boxes.round(1).tolist() or [["no box", None, None, None]]
            rows = [[localization.name, round(localization.score, 4), *box] for box in boxes]
            picture = localization.draw(image)
            if len(localization.steps) == 1:
                return picture, None, rows
            shift = trace_shift(localization, threshold, self.localizer.preprocessing)
            return picture, shift.draw(image), rows

    def export(
        self, path: str | None, class_name: str, threshold: float, every: bool, kind: str
    ) -> str | None:
        """Write the boxes of a photograph as another tool reads them.

        Args:
            path: as for `localize`, like the next three
            class_name: of the class that is wanted
            threshold: share of the map's maximum
            every: a box for every region
            kind: name of a format

        Returns:
            path of a zip archive, or None where there is no photograph yet

        Raises:
            ImageError: a file that cannot be read as an image
        """
        if path is None:
            return None
        archive, faults = self._pack([path], class_name, threshold, every, kind)
        if faults:
            raise faults[0][1]
        return archive

    def export_all(
        self,
        paths: Sequence[str],
        class_name: str,
        threshold: float,
        every: bool,
        kind: str,
        advance: Callable[[int], object] = lambda done: None,
    ) -> tuple[str | None, str]:
        """Write the boxes of many photographs as another tool reads them.

        Args:
            paths: of the photographs
            class_name: as for `localize`, like the next two
            threshold: share of the map's maximum
            every: a box for every region
            kind: name of a format
            advance: called with the number of photographs done

        Returns:
            path of a zip archive, None where no photograph could be read; and what became of them
        """
        if not paths:
            return None, "No photograph was given."
        archive, faults = self._pack(paths, class_name, threshold, every, kind, advance)
        told = f"Boxes of {count_things(len(paths) - len(faults), 'photograph')} are in the file."
        lines = [f"{escape(name)}: {describe_broken(error)}" for name, error in faults]
        if len(faults) == len(paths):
            return None, "\n".join(lines)
        return archive, "\n".join([told, *lines])

    def _pack(
        self,
        paths: Sequence[str],
        class_name: str,
        threshold: float,
        every: bool,
        kind: str,
        advance: Callable[[int], object] = lambda done: None,
    ) -> tuple[str, list[tuple[str, ImageError]]]:
        """Write an archive; gives its path, and name and error of what could not be read."""
        home = Path(mkdtemp(dir=self._files.name))
        (home / "boxes").mkdir()
        taken: set[str] = set()
        faults = []
        # No list of files is kept, as runs do: the folder is of one who unpacks it.
        with create_writer(kind, home / "boxes", self.names) as writer:
            for done, path in enumerate(paths, start=1):
                own = Path(path)
                plain = Path(f"{unique_stem(own, taken)}{own.suffix}")  # equal names get numbers
                try:
                    with self._turn:
                        found = self._localize(path, class_name, threshold, every)
                except ImageError as error:
                    faults.append((own.name, error))
                    writer.add_error(plain, describe_broken(error))
                else:
                    kept = kind in _WITH_PHOTOGRAPH
                    writer.add(found if kept else replace(found, path=plain))
                advance(done)
        for note in writer.notes:
            self.notes(note)
        if kind in _WITH_PHOTOGRAPH:  # readers then take the folder that the file lies in
            _drop_path(home / "boxes" / kind / "data.yaml")
        stem = unique_stem(Path(paths[0]), set()) if len(paths) == 1 else "boxes"
        archive = shutil.make_archive(str(home / f"{stem}-{kind}"), "zip", home / "boxes")
        shutil.rmtree(home / "boxes")
        return archive, faults

    def close(self) -> None:
        """Remove what was uploaded, and what was made of it."""
        self._files.cleanup()

    def _localize(self, path: str, class_name: str, threshold: float, every: bool) -> Localization:
        self.localizer.threshold = threshold
        self.localizer.contours = "outer" if every else "largest"
        label = None if class_name == MOST_PROBABLE else self.choices.index(class_name)
        localization = self.localizer(path, label)
        if isinstance(localization, list):
            raise TypeError("Expected one localization for one photograph but got a list")
        return localization


def tell_apart(names: Sequence[str]) -> tuple[str, ...]:
    """Name classes so that every one can be chosen: those of equal names get their number too.

    >>> tell_apart(["crane", "dog", "crane"])
    ('crane (0)', 'dog', 'crane (2)')
    """
    counts = Counter(name.strip() for name in (MOST_PROBABLE, *names))
    numbered = [f"{name} ({label})" for label, name in enumerate(names)]
    told = [
        long if counts[name.strip()] > 1 else name
        for name, long in zip(names, numbered, strict=True)
    ]
    return tuple(told if len(set(told)) == len(told) else numbered)


def _drop_path(file: Path) -> None:
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for line in lines if not line.startswith(("path:", "# "))]
    file.write_text("# These boxes are predictions.\n" + "".join(kept), encoding="utf-8")


def describe_broken(error: ImageError) -> str:
    """Say to who uploaded a file why nothing comes of it.

    >>> describe_broken(ImageError("/tmp/a.jpg: image file is truncated (3 bytes not processed)"))
    'This photograph is truncated: the end of its file is missing.'
    """
    if "truncated" in str(error):
        return "This photograph is truncated: the end of its file is missing."
    kinds = "JPEG, PNG, WebP, TIFF, BMP and GIF"
    return f"This file cannot be read as a photograph; {kinds} of up to 100 million pixels can."
