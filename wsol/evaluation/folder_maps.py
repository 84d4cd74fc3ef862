"""Maps that any program wrote into a folder, as `<image id>.npy`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from wsol.evaluation.map_source import TOP, FoundMap, MapError
from wsol.evaluation.npy_files import read_array
from wsol.fingerprints import hash_files
from wsol.images import ImageError
from wsol.same_files import check_same_files

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence
    from pathlib import Path

    from eval.protocols import ClassMap
    from eval.protocols import Protocol as Rules
    from eval.splits import Split
    from wsol.evaluation.predictions import Predictions

_PREDICTED = "maps.csv"  # which wsol predict writes beside its maps
_MAX_BYTES = 1 << 28  # a hundred times a map in a protocol's square


@dataclass(frozen=True, eq=False)
class FolderMaps:
    """Maps that any program wrote: `<image id>.npy`, the id's suffix kept.

    Args:
        split: ids and labels
        folder: of the maps, each (S, S), in [0, 1], or uint8 with 255 for 1
        class_map: whose maps they are, for the record
        allow_missing: count maps that are missing or broken as missed, instead of an error
        others: gives the ids of other splits, whose maps may lie in the same folder; called where
            a map is of no image of this split
        overlaps: what the scores have to tell of images that are not only scored; None where that
            is not known
        predictions: the classes that a program predicted of the same images, or None
        workers: threads that read and score maps
    """

    split: Split
    folder: Path
    class_map: ClassMap = "ground_truth"
    allow_missing: bool = False
    others: Callable[[], Iterable[str]] = tuple
    overlaps: tuple[str, ...] | None = ()
    batch_size: int = 32
    image: str = "squash"  # files do not say what they show: the whole image
    predictions: Predictions | None = None
    workers: int = 2
    classes: None = None  # labels are those of the data

    @property
    def places(self) -> int:
        """How many of an image's first classes are known."""
        return TOP if self.predictions is None else self.predictions.places

    @property
    def origin(self) -> dict[str, Any]:
        """Files do not say what they were made of; which images have no prediction is known."""
        return {} if self.predictions is None else self.predictions.origin(self.split)

    def describe(self) -> dict[str, Any]:
        """Name the folder, and the size and time of change of every map."""
        return {
            "maps": str(self.folder.resolve()),
            "files": hash_files(self.split, self._path, times=True),
            "class_map": self.class_map,
            "image": self.image,
            "allow_missing": self.allow_missing,
            **({} if self.predictions is None else {"predictions": self.predictions.digest}),
        }

    def check(self) -> None:
        """Refuse a folder that does not fit the split.

        Raises:
            MapError: maps that are missing, or that belong to no image, unless these are allowed
            ManifestError: one that the processes of a job do not all see alike
        """
        faults = {}
        if not self.allow_missing:
            faults = {"missing": self.list_missing(), self._name_extra(): self.list_extra()}
        if any(faults.values()):
            raise MapError(faults)
        check_same_files(map(self._path, self.split.ids))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "others": tuple}  # a process that shares the maps only reads them

    def read(self, rows: Sequence[int]) -> Generator[FoundMap]:
        """Give the maps of some rows."""
        for row in rows:
            path = self._path(self.split.ids[row])
            heat = partial(_fit, cache(partial(read_map, path)), path)
            yield FoundMap(row, heat, **self._classify(row))

    def _classify(self, row: int) -> dict[str, Any]:
        """Tell whose map an image's is, and what is known of its predicted classes."""
        label = int(self.split.labels[row])
        known = self.predictions
        if known is None:
            return {"label": label}
        predicted = known.predicted(row)
        whose = label
        if self.class_map == "predicted":  # past the data's classes where it is none of them
            whose = self.split.count_classes() if predicted is None else predicted
        return {
            "label": whose,
            "rank": known.rank(row, label),
            "score": known.score(row, whose),
            "predicted": predicted,
            "top": known.tops[row],
        }

    def _path(self, image_id: str) -> Path:
        return map_path(self.folder, image_id)

    def _name_extra(self) -> str:
        """Say what maps of no image are, and where they come from if that can be seen."""
        homes = (self.folder, self.folder.parent)
        if not any((home / _PREDICTED).is_file() for home in homes):
            return "of no image"
        return (
            "of no image, as `wsol predict --format npy` names them (`wsol evaluate --save-maps` "
            "writes those that can be scored)"
        )

    def list_missing(self) -> list[str]:
        """Name the maps that are not there."""
        return [
            f"{path}: expected a map but there is no such file"
            for path in map(self._path, self.split.ids)
            if not path.is_file()
        ]

    def list_extra(self) -> list[str]:
        """Name the maps that belong to no image."""
        extra = set(self.folder.rglob("*.npy")) - {*map(self._path, self.split.ids)}
        if extra:
            extra -= {*map(self._path, self.others())}
        return [f"{path}: a map of no image" for path in sorted(extra)]


def map_path(folder: Path, image_id: str) -> Path:
    """Name the file of an image's map in a folder of maps."""
    return folder / f"{image_id}.npy"


def _fit(load: Callable[[], np.ndarray], path: Path, rules: Rules) -> np.ndarray:
    heat = load()
    if heat.shape != (rules.size, rules.size):
        stored = read_array(path, _MAX_BYTES, "a map").dtype  # what was read is float64 by now
        square = (rules.size, rules.size)
        raise ImageError(
            f"{path}: expected numbers of shape {square} but got {stored} {heat.shape}; "
            f"wsol.heatmap.to_heatmap(raw, {square}) makes a map of one of shape (h, w)"
        )
    return heat


def read_map(path: Path) -> np.ndarray:
    """Read a map that another program wrote.

    Args:
        path: of a `.npy` file, of numbers in [0, 1], or uint8 with 255 for 1

    Returns:
        float64 in [0, 1]; of any shape. The standard evaluation casts what it reads to float64
        before it quantises, and in a narrower type pixels next to a level would cross it

    Raises:
        ImageError: a file that is missing or broken, or one that is no map
    """
    heat = read_array(path, _MAX_BYTES, "a map")
    if heat.dtype == np.uint8:
        heat = heat / 255  # exact: k / 255 * 255 is k
    if not (heat.min() >= 0 and heat.max() <= 1):
        said = f"{path}: expected values in [0, 1] but got {heat.min()} to {heat.max()}"
        if np.isfinite(heat).all():
            said += "; wsol.heatmap.to_heatmap makes a map of it"
        raise ImageError(said)
    return heat.astype(np.float64, copy=False)
