"""The files of `wsol shift`: a picture and an animation an image, one page, and all numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tdam.atomic import naming
from tdam.strict_json import dumps
from wsol.attention_shift.figures import draw_frames, save_animation, save_strip
from wsol.attention_shift.page import make_card, write_shift_page
from wsol.images import ImageError, read_image
from wsol.out_files import open_file
from wsol.palette import MAP_COLOURS
from wsol.writers.names import unique_stem

if TYPE_CHECKING:
    from pathlib import Path

    from tdam.atomic import AtomicFile
    from wsol.attention_shift.trace import Shift

GALLERY = 500  # images that the page shows at most
_VIEW = 640  # pixels of the longer side of what pictures hold of a photograph


class ShiftWriter:
    """Writes image after image; the page, of the first 500 images, appears at the end.

    Args:
        folder: that exists
        about: network and threshold, in a line
        colours: `perceptual` or `jet`

    A context manager: what was written by an exception stays, and gets no page.
    """

    def __init__(self, folder: Path, about: str, colours: str = "perceptual") -> None:
        self.folder = folder
        self.page = folder / "shift.html"
        self.about = about
        self.colours = MAP_COLOURS[colours]
        self._taken: set[str] = {"shift"}
        self._cards: list[dict[str, Any]] = []
        self._count = 0
        self._numbers: AtomicFile | None = None

    def __enter__(self) -> ShiftWriter:
        self._numbers = open_file(self.folder / "shift.jsonl", encoding="utf-8")
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if self._numbers is None:
            return
        if isinstance(error, OSError):  # of a disk that has no room for more
            self._numbers.discard()
            return
        self._numbers.commit()
        if kind is None:
            write_shift_page(self.page, self._cards, self.about, self.colours, self._count)

    def add(self, shift: Shift) -> None:
        """Draw one image.

        Args:
            shift: of an image that lies on the disk

        Raises:
            ImageError: the image can be read no more
        """
        try:
            image = read_image(shift.path or "", at_least=_VIEW)
        except ImageError as error:
            raise ImageError(f"{shift.path}: {error}") from error
        stem = unique_stem(shift.path, self._taken)
        save_strip(image, shift, self.folder / f"{stem}.png", self.colours)
        frames = draw_frames(image, shift, self.colours)
        save_animation(frames, self.folder / f"{stem}.gif")
        if self._numbers is not None:
            with naming(self._numbers.path):
                self._numbers.file.write(dumps(shift.to_dict()) + "\n")
        self._count += 1
        if self._count <= GALLERY:
            self._cards.append(make_card(image, shift, self.colours))
