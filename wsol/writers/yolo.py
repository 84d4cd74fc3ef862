"""YOLO labels in the layout of Ultralytics: `yolo/data.yaml`, `labels/train` and `images/train`.

A line is `class xc yc w h`, in shares of the image's width and height; with `confidence` the score
follows, which trainers refuse. The class is the network's own index, so `data.yaml` names all
classes. An image without a box has an empty file, which makes it a background. Beside the labels
lie links to the images, since trainers find `labels/train/x.txt` from `images/train/x.jpg`; they
pass over GIF files.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, ClassVar

from wsol.out_files import link_file, make_folder, write_file
from wsol.writers.base import ErrorTable, Writer, clip_box, each_box
from wsol.writers.names import plain_name, unique_stem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from wsol.results import Localization

DIGITS = 8  # 0.0002 pixels in an image that is 20,000 wide

# what YAML does not take as it is, even in quotes
_UNPRINTABLE = re.compile(
    "[^\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)


class YoloWriter(Writer):
    """Writes the folder `yolo`; images that could not be read are in `yolo/errors.csv`.

    `close` removes the trainer's cache of the labels.

    Args:
        folder: that the files go to; exists
        names: of all classes
        confidence: append the score to every line, which trainers refuse
    """

    options = frozenset({"confidence"})
    home: ClassVar[str] = "yolo"  # folder

    def __init__(self, folder: Path, names: tuple[str, ...], confidence: bool = False) -> None:
        super().__init__(folder, names)
        self._confidence = confidence
        self._home = folder / self.home
        self._labels = self._home / "labels" / "train"
        self._images = self._home / "images" / "train"
        for each in (self._labels, self._images):
            make_folder(each)
        self._errors = ErrorTable(self._home / "errors.csv", self._files)
        self._taken: set[str] = set()

    def add(self, localization: Localization) -> None:
        """Write the labels of one image, and link to it if it is a file."""
        stem = unique_stem(localization.path, self._taken)
        text = "".join(self._lines(localization))
        write_file(self._labels / f"{stem}.txt", text, sync=False)
        if localization.path is not None and localization.path.is_file():
            suffix = plain_name(localization.path.suffix)
            link_file(localization.path, self._images / (stem + suffix))

    def _lines(self, localization: Localization) -> Iterator[str]:
        for each, box, score in each_box(localization):
            yield self._line(each.label, box, score, localization)

    def _line(self, label: int, box: list[float], score: float, localization: Localization) -> str:
        x0, y0, x1, y1 = clip_box(box, localization.width, localization.height)
        xc, width = to_shares(x0, x1, localization.width)
        yc, height = to_shares(y0, y1, localization.height)
        shares = " ".join(f"{value:.{DIGITS}f}" for value in (xc, yc, width, height))
        return f"{label} {shares}" + (f" {score:.8g}\n" if self._confidence else "\n")

    def add_error(self, path: Path, reason: str) -> None:
        """Write that an image could not be read, and so is not in the data set."""
        self._errors.add(path, reason)

    def close(self) -> None:
        """Write `data.yaml`."""
        self._labels.with_suffix(".cache").unlink(missing_ok=True)
        lines = [
            "# These labels are predictions. If you move this folder, change `path`.",
            f"path: {yaml_text(str(self._home.absolute()))}",
            "train: images/train",
            "val: images/train  # trainers ask for it: split the images before you trust a score",
            "names:",
            *(f"  {index}: {yaml_text(name)}" for index, name in enumerate(self.names)),
        ]
        self._open(f"{self.home}/data.yaml").write("\n".join(lines) + "\n")
        super().close()


def to_shares(low: float, high: float, length: int) -> tuple[float, float]:
    """Turn the outer edges of a box into centre and size.

    Args:
        low: left or upper edge, in [0, length]
        high: right or lower edge, in [low, length]
        length: width or height of the image, in pixels

    Returns:
        centre and size in shares of the length, in [0, 1], rounded; centre - size / 2 and
        centre + size / 2 are in [0, 1] too

    >>> to_shares(30.0, 40.0, 40)
    (0.875, 0.25)
    """
    centre = round((low + high) / 2 / length, DIGITS)
    size = round((high - low) / length, DIGITS)
    return centre, round(min(size, 2 * centre, 2 * (1 - centre)), DIGITS)


def yaml_text(text: str) -> str:
    r"""Quote a text so that YAML reads it back whatever it holds.

    JSON's escapes are YAML's, but for characters beyond 16 bits, which stay as they are.

    >>> yaml_text('a "b": c'), yaml_text("\x7f")
    ('"a \\"b\\": c"', '"\\u007f"')
    """
    quoted = json.dumps(text, ensure_ascii=False)
    return _UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", quoted)
