"""YOLO labels in the layout of Ultralytics: `yolo/data.yaml`, `labels/train` and `images/train`.

With a share to validate on there are `labels/val` and `images/val` too. `classes.txt` has the names
once more, one a line, for tools that read no YAML.

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

from wsol.out_files import make_folder, write_file
from wsol.writers.base import ErrorTable, PathTable, clip_box, each_box
from wsol.writers.names import list_names
from wsol.writers.photographs import DataSetWriter
from wsol.writers.splits import TRAIN, VAL

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from wsol.results import Localization

DIGITS = 8  # 0.0002 pixels in an image that is 20,000 wide

# what YAML does not take as it is, even in quotes
_UNPRINTABLE = re.compile(
    "[^\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)


class YoloWriter(DataSetWriter):
    """Writes the folder `yolo`; images that could not be read are in `yolo/errors.csv`.

    The originals of upright copies are in `yolo/originals.csv`. `close` removes the trainer's cache
    of the labels.

    Args:
        folder: that the files go to; exists
        names: of all classes
        confidence: append the score to every line, which trainers refuse
        upright_copies: as for `DataSetWriter`, like the next one
        val: share of the images that is kept to validate on
    """

    options = DataSetWriter.options | {"confidence"}
    home: ClassVar[str] = "yolo"  # folder

    def __init__(
        self,
        folder: Path,
        names: tuple[str, ...],
        confidence: bool = False,
        upright_copies: bool = False,
        val: float = 0.0,
    ) -> None:
        super().__init__(folder, names, upright_copies, val)
        self._confidence = confidence
        self._home = folder / self.home
        for part in self._splits:
            make_folder(self._home / "labels" / part)
            make_folder(self._home / "images" / part)
        self._errors = ErrorTable(self._home / "errors.csv", self._files)
        self._originals = PathTable(self._home / "originals.csv", ("image", "file"), self._files)

    def add(self, localization: Localization) -> None:
        """Describe the labels of one image."""
        self._keep(localization, "".join(self._lines(localization)))

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
        """Write the labels, link to the images that are files, and write `data.yaml`."""
        counts = {TRAIN: 0, VAL: 0}
        for part, stem, path, text in self._parts():
            counts[part] += 1
            write_file(self._home / "labels" / part / f"{stem}.txt", text, sync=False)
            placed = self._place(path, self._home / "images" / part, stem)
            if placed is not None and placed.copied:
                self._originals.add(placed.path.relative_to(self._home).as_posix(), path)
        for part in counts:
            (self._home / "labels" / f"{part}.cache").unlink(missing_ok=True)
        validates = "val: images/train  # trainers ask for it: split the images, or add --val 0.1"
        if counts[VAL]:
            total = sum(counts.values())
            validates = f"val: images/val  # {counts[VAL]} of {total} images, of all classes alike"
        lines = [
            "# These labels are predictions. If you move this folder, change `path`.",
            f"path: {yaml_text(str(self._home.absolute()))}",
            "train: images/train",
            validates,
            "names:",
            *(f"  {index}: {yaml_text(name)}" for index, name in enumerate(self.names)),
        ]
        self._open(f"{self.home}/classes.txt").write(list_names(self.names))
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
