"""Files of labels, one an image, and the images that they are of.

A label file lies below `labels/` (VOC's below `Annotations/`) and its image at the same path below
`images/` (or `JPEGImages/`); or both lie side by side; or the images lie below a root of their own,
where as much of the label file's path counts as there is.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path, PurePath
from typing import TYPE_CHECKING
from unicodedata import normalize

import numpy as np

from eval.image_names import SUFFIXES, is_passed_over, walk_folders
from eval.image_paths import ImageFinder
from eval.parsing import refuse_folder
from eval.splits import ManifestError, Split
from eval.written_files import WrittenFiles, warn_of_written

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_PLACES = {"labels": ("images",), "Annotations": ("JPEGImages", "images")}


class SeveralClassesError(ManifestError):
    """An image has boxes of more than one class."""


class ImagePairs:
    """Finds the image of every label file, each of one file alone.

    Args:
        folder: of the label files, absolute
        root: where images lie that are not found by the rule above, absolute; they may lie in any
            folder below it if no other has their name
        data: the data set that the folder is a part of, absolute, whose images all lie below the
            root, at the places that the rule above has; None where it is none
    """

    def __init__(self, folder: Path, root: Path | None, data: Path | None = None) -> None:
        self._root, self._base = root, data or folder
        self._home = None if data is None else root
        self._images_of = cache(_list_images)
        self._owners: dict[Path, Path] = {}
        anywhere = root is not None and data is None
        self._finder = ImageFinder(root, anywhere=True) if root is not None and anywhere else None

    def find(self, path: Path, names: Sequence[str] = ()) -> Path | None:
        """Find the image of a label file.

        Args:
            path: of the label file, absolute
            names: that the file gives its image, the fullest path first
        """
        beside = [path.with_name(PurePath(name.replace("\\", "/")).name) for name in names[-1:]]
        for each in (*beside, path):
            for candidate in self._list_candidates(each):
                if self._home is None or candidate.is_relative_to(self._home):
                    image = self._find_image(candidate)
                    if image is not None:
                        return image
        if self._finder is None:
            return None
        found = next(filter(None, map(self._finder.find, names)), None)
        found = found or self._finder.find_stem(path.stem)
        return None if found is None else self._finder.root / found

    def tell_missing(self, path: Path, places: str, names: Sequence[str] = ()) -> str:
        """Say that a label file has no image, or that several may be its.

        Args:
            path: of the label file
            places: where its image is looked for beside it, in words
            names: as for `find`
        """
        several = ""
        if self._finder is not None:
            told = (self._finder.tell_several(name) for name in names)
            several = next(filter(None, told), self._finder.tell_several(path.stem, stem=True))
        return f"{path}: " + (
            several or f"expected its image beside it, or in {places}, or below --root"
        )

    def claim(self, image: Path, path: Path) -> None:
        """See to it that an image has one label file.

        Raises:
            ManifestError: it has another one too
        """
        if self._owners.setdefault(image, path) != path:
            raise ManifestError(
                f"{path}: expected an image of its own but {image} is that of "
                f"{self._owners[image]}; images below --root must lie in the same folders as "
                "their labels"
            )

    def _list_candidates(self, path: Path) -> list[Path]:
        """List where the image may lie, under any suffix, the likeliest first."""
        parts = path.parts
        candidates = [path]
        for place, others in _PLACES.items():
            if place in parts:
                last = len(parts) - 1 - parts[::-1].index(place)
                candidates += [Path(*parts[:last], each, *parts[last + 1 :]) for each in others]
        if self._root is not None:
            for each in [*candidates]:
                below = each.is_relative_to(self._base)
                inside = each.relative_to(self._base).parts if below else ()
                candidates += [self._root.joinpath(*inside[i:]) for i in range(len(inside))]
        return candidates

    def _find_image(self, candidate: Path) -> Path | None:
        """Find the image at a path, under any suffix."""
        image = self._images_of(candidate.parent).get(normalize("NFC", candidate.stem))
        alike = (candidate.with_name(f"{candidate.stem}{suffix}") for suffix in SUFFIXES)
        return image or next((path for path in alike if path.is_file()), None)  # as the disk has it


def list_label_files(folder: Path, suffix: str) -> Iterator[Path]:
    """List the files with a suffix at any depth, without those that wsol wrote below.

    Raises:
        ManifestError: a folder that cannot be read

    Warns:
        WrittenFilesWarning: wsol wrote some of them; it says where
    """
    told: list[Path] = []
    written = WrittenFiles(told.append, suffix)
    for current, names in walk_folders(folder, refuse_folder, written):
        yield from (current / name for name in names if name.endswith(suffix))
    warn_of_written(told)


def make_split(
    name: str,
    images: list[Path],
    labels: list[int],
    sizes: Sequence[tuple[int, int]] | None,
    edges: list[np.ndarray],
    home: Path | None,
) -> tuple[Split, Path]:
    """Put what label files say of images together.

    Args:
        name: of the split
        images: absolute
        labels: of the images
        sizes: width and height that the boxes of each are in pixels of; None where all are shares
            of the upright image
        edges: outer edges of the boxes of each, (k, 4)
        home: folder that ids are relative to; None: the deepest that holds all images

    Returns:
        the split, without names of classes, and the folder that its ids are relative to
    """
    if home is None:
        home = Path(os.path.commonpath([path.parent for path in images]))
    if sizes is None:
        from eval.headers import read_headers  # and what decodes images

        sizes = [header.upright for header in read_headers(images)]
        edges = [each * np.tile(size, 2) for each, size in zip(edges, sizes, strict=True)]
    boxes = tuple(_to_pixels(each, size) for each, size in zip(edges, sizes, strict=True))
    ids = tuple(path.relative_to(home).as_posix() for path in images)
    return Split(name, ids, np.array(labels, np.int64), np.array(sizes, np.int64), boxes), home


def _to_pixels(edges: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Turn outer edges into first and last pixel."""
    boxes = np.clip(edges, 0, np.tile(size, 2).astype(np.float64))
    return boxes - np.array([0, 0, 1, 1])


def _list_images(folder: Path) -> dict[str, Path]:
    """List the images of a folder by their stems; of two with one stem the commoner format."""
    order = {suffix: rank for rank, suffix in enumerate(SUFFIXES)}
    files = folder.iterdir() if folder.is_dir() else ()
    images = [p for p in files if p.suffix.lower() in order and not is_passed_over(p.name)]
    images.sort(key=lambda path: (-order[path.suffix.lower()], path.name))
    return {normalize("NFC", path.stem): path for path in images}
