"""Hugging Face's `imagefolder` with boxes: `huggingface/train/metadata.jsonl` beside the images.

A line an image has its `file_name`, `width`, `height` and `objects`: `bbox` (x, y, width, height in
original pixels), `categories` (the classes' own indices, whose names `huggingface/classes.txt` has,
one a line) and `scores`, lists of equal length. With a share to validate on there is `val` beside
`train`. The images are links, which `datasets` follows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tdam.strict_json import dumps
from wsol.out_files import make_folder
from wsol.writers.base import ErrorTable, PathTable, each_box
from wsol.writers.names import list_names, plain_name
from wsol.writers.photographs import DataSetWriter

if TYPE_CHECKING:
    from pathlib import Path

    from wsol.results import Localization


class HuggingFaceWriter(DataSetWriter):
    """Writes the folder `huggingface`.

    Images that could not be read are in `huggingface/errors.csv`, the originals of upright copies
    in `huggingface/originals.csv`.

    Args:
        folder: as for `DataSetWriter`, like the next three
        names: of all classes
        upright_copies: in place of links
        val: share of the images that is kept to validate on
    """

    def __init__(
        self,
        folder: Path,
        names: tuple[str, ...],
        upright_copies: bool = False,
        val: float = 0.0,
    ) -> None:
        super().__init__(folder, names, upright_copies, val)
        self._home = home = folder / "huggingface"
        for part in self._splits:
            make_folder(home / part)
        self._errors = ErrorTable(home / "errors.csv", self._files)
        self._originals = PathTable(home / "originals.csv", ("image", "file"), self._files)

    def add(self, localization: Localization) -> None:
        """Describe the boxes of one image."""
        objects: dict[str, list[Any]] = {"bbox": [], "categories": [], "scores": []}
        for each, (x0, y0, x1, y1), score in each_box(localization):
            values = ([x0, y0, x1 - x0, y1 - y0], each.label, score)
            for column, value in zip(objects.values(), values, strict=True):
                column.append(value)
        size = {"width": localization.width, "height": localization.height}
        self._keep(localization, {**size, "objects": objects})

    def add_error(self, path: Path, reason: str) -> None:
        """Write that an image could not be read, and so is not in the data set."""
        self._errors.add(path, reason)

    def close(self) -> None:
        """Write the metadata, and link to the images that are files."""
        self._open("huggingface/classes.txt").write(list_names(self.names))
        tables = {part: self._open(f"huggingface/{part}/metadata.jsonl") for part in self._splits}
        for part, stem, path, content in self._parts():
            placed = self._place(path, self._home / part, stem)
            name = stem + ("" if path is None else plain_name(path.suffix))
            if placed is not None:
                name = placed.path.name
                if placed.copied:
                    self._originals.add(f"{part}/{name}", path)
            tables[part].write(dumps({"file_name": name, **content}) + "\n")
        super().close()
