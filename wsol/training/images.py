"""Images to train on: decoded every time, or decoded and reduced once into one file."""

from __future__ import annotations

import hashlib
from math import ceil, sqrt
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image

from eval.image_files import get_max_pixels, set_max_pixels
from eval.parsing import read_json
from tdam.atomic import AtomicFile, naming, write_atomic
from tdam.events import SILENT, Events
from tdam.strict_json import dumps, loads
from tdam.training.errors import TrainingError, UnreadableImageError
from wsol.fingerprints import RULES, hash_files
from wsol.folder_lock import hold_file
from wsol.images import ImageError, read_image
from wsol.loading import read_ahead

if TYPE_CHECKING:
    from torch import Tensor

    from eval.splits import Split
    from tdam.training.batches import TrainingImages
    from tdam.training.recipe import Recipe
    from wsol.training.data import TrainingData

_READ_AT_ONCE = 64


class SplitImages:
    """The images of a split, read from their files.

    Args:
        split: ids and labels
        root: folder that the ids are relative to
        at_least: pixels of the shorter side that are enough
    """

    def __init__(self, split: Split, root: Path, at_least: int | None = None) -> None:
        self.ids, self.labels = split.ids, split.labels
        self.root, self.at_least = root, at_least
        self.max_pixels = get_max_pixels()

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        set_max_pixels(self.max_pixels)  # in a process that reads for another

    def read(self, index: int) -> Tensor:
        """Read an image, uint8 (3, H, W).

        Raises:
            UnreadableImageError: it cannot be read
        """
        try:
            image = read_image(self.root / self.ids[index], self.at_least)
        except ImageError as error:
            raise UnreadableImageError(str(error)) from error
        return _to_tensor(np.array(image))


class PackedImages:
    """The images of a split, from the file that `pack_images` wrote.

    Args:
        split: ids and labels; its images are among those of the file
        path: of the file
    """

    def __init__(self, split: Split, path: Path) -> None:
        self.ids, self.labels = split.ids, split.labels
        self.path = path
        try:
            content = read_json(path.with_suffix(".json"))
            self.faults: dict[str, str] = dict(content["faults"])
            sizes = np.array(content["sizes"], np.int64).reshape(-1, 2)
            ends = np.cumsum(3 * sizes.prod(axis=1))
            rows = {image_id: row for row, image_id in enumerate(content["ids"])}
            chosen = [rows[image_id] for image_id in split.ids]
            if len(rows) != len(sizes) or ends[-1] != path.stat().st_size or sizes.min() < 0:
                raise ValueError("sizes that are not those of the images")
        except (ArithmeticError, LookupError, OSError, TypeError, ValueError) as error:
            raise TrainingError(
                f"{path}: expected packed images but {error}; remove the file to pack them anew"
            ) from error
        self.sizes, self.ends = sizes[chosen], ends[chosen]
        self._pixels: np.ndarray | None = None

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_pixels": None}  # each process maps the file itself

    def read(self, index: int) -> Tensor:
        """Read an image, uint8 (3, H, W).

        Raises:
            UnreadableImageError: it could not be read when the file was written
        """
        if self.ids[index] in self.faults:
            raise UnreadableImageError(self.faults[self.ids[index]])
        if self._pixels is None:
            self._pixels = np.memmap(self.path, np.uint8, mode="r")
        height, width = self.sizes[index].tolist()
        end = int(self.ends[index])
        pixels = self._pixels[end - 3 * height * width : end]
        return _to_tensor(np.array(pixels).reshape(height, width, 3))


def side_needed(size: int, min_scale: float) -> int:
    """Tell how long an image's shorter side must be for the smallest crop not to be enlarged.

    Args:
        size: side of the input, in pixels
        min_scale: least share of the image's area in a crop, whose aspect ratio goes down to 3 : 4
    """
    return ceil(size / sqrt(min_scale * 0.75)) if min_scale < 1 else size


def packed_side(size: int) -> int:
    """Tell which shorter side images are reduced to when they are packed, in pixels."""
    return ceil(size * 8 / 7)


def pack_images(
    split: Split,
    root: Path,
    side: int,
    path: Path,
    workers: int = 2,
    events: Events = SILENT,
) -> PackedImages:
    """Decode and reduce every image once.

    Args:
        split: ids and labels
        root: folder that the ids are relative to
        side: that a longer shorter side is reduced to, in pixels
        path: of the file to write, and beside it `.json` with ids, sizes and faults
        workers: threads that decode
        events: told of every image within a task that the caller has begun

    Raises:
        OSError: a disk that takes no more
    """

    def read(image_id: str) -> np.ndarray:
        image = read_image(root / image_id, side)
        share = side / min(image.size)
        if share < 1:
            width, height = (max(round(share * length), side) for length in image.size)
            image = image.resize((width, height), Image.Resampling.BILINEAR)
        return np.asarray(image)

    path.parent.mkdir(parents=True, exist_ok=True)
    faults: dict[str, str] = {}
    sizes: list[tuple[int, int]] = []
    unfinished = AtomicFile(path, mode="wb")  # others may pack the same
    try:
        with naming(path):
            for batch in read_ahead(split.ids, read, _READ_AT_ONCE, workers):
                for image_id, outcome in batch:
                    if isinstance(outcome, ImageError):
                        faults[image_id] = str(outcome)
                        sizes.append((0, 0))
                    else:
                        sizes.append(outcome.shape[:2])
                        unfinished.file.write(outcome.tobytes())
                events.advance(len(batch))
        content = {"ids": split.ids, "sizes": sizes, "faults": faults}
        write_atomic(path.with_suffix(".json"), dumps(content).encode())
        unfinished.commit()
    finally:
        unfinished.discard()
    return PackedImages(split, path)


def is_packed(split: Split, path: Path) -> bool:
    """Tell whether a file that `pack_images` wrote is whole and holds these images.

    Args:
        split: ids of the images
        path: of the file
    """
    try:
        content = loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        pixels = sum(height * width for height, width in content["sizes"])
        same = content["ids"] == list(split.ids) and len(content["sizes"]) == len(split)
        return same and path.stat().st_size == 3 * pixels
    except (OSError, ValueError, KeyError, TypeError):
        return False


def open_images(
    recipe: Recipe,
    training_data: TrainingData,
    folder: Path,
    workers: int,
    events: Events,
) -> TrainingImages:
    """Open the training images, packed into one file of a folder where the recipe says so."""
    if not recipe.packed:
        least = recipe.resize or side_needed(recipe.size, recipe.min_scale)
        return SplitImages(training_data.train, training_data.root, least)
    side = max(packed_side(recipe.size), recipe.resize)
    packed = _packed_file(training_data, side, folder)
    if not is_packed(training_data.whole, packed):
        with hold_file(packed, patient=True, tell=events.say):  # runs may share it
            if not is_packed(training_data.whole, packed):
                pack_images(training_data.whole, training_data.root, side, packed, workers, events)
    return PackedImages(training_data.train, packed)


def _packed_file(training_data: TrainingData, side: int, folder: Path) -> Path:
    """Name the file of all training images, the held-out ones too, which runs may share."""
    states = hash_files(training_data.whole, training_data.root.joinpath, times=True)
    key = hashlib.sha256(f"{RULES} {states}".encode()).hexdigest()[:16]
    return folder / f"{key}-{side}.u8"


def _to_tensor(pixels: np.ndarray) -> Tensor:
    return torch.from_numpy(pixels).permute(2, 0, 1)
