"""Photographs beside what a writer says of them: links to the originals, or upright copies."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from eval.image_errors import ImageError
from wsol.out_files import link_file, make_folder
from wsol.upright_copies import is_turned, save_upright
from wsol.writers.base import Records, Writer
from wsol.writers.names import plain_name, unique_stem
from wsol.writers.splits import TRAIN, VAL, check_val, choose_val

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wsol.results import Localization


class Placed(NamedTuple):
    """A photograph in a writer's folder.

    Args:
        path: of the link or copy
        copied: whether it is an upright copy, which nothing leads back from to the original
    """

    path: Path
    copied: bool


class PhotographWriter(Writer):
    """A writer that puts photographs beside its files.

    Args:
        folder: that the files go to; exists
        names: of all classes
        upright_copies: where EXIF says that a photograph is turned or mirrored, write an upright
            copy in place of a link to it
    """

    options = frozenset({"upright_copies"})
    of_steps = False
    hard_links: ClassVar[bool] = False  # whether links are second names, which lead back nowhere

    def __init__(self, folder: Path, names: tuple[str, ...], upright_copies: bool = False) -> None:
        super().__init__(folder, names)
        self._upright = upright_copies

    def _place(self, path: Path | None, folder: Path, name: str, suffix: str = "") -> Placed | None:
        """Put a photograph into a folder.

        Args:
            path: of the original, or None
            folder: that it goes to
            name: of it there, without its suffix
            suffix: of a link; "" for the original's

        Returns:
            where it lies; None where there is no such file
        """
        if path is None or not path.is_file():
            return None
        make_folder(folder)
        target = folder / (name + (suffix or plain_name(path.suffix)))
        own = not target.is_symlink() and target.resolve() == path.resolve()
        try:
            if self._upright and not own and is_turned(path):
                return Placed(save_upright(path, folder / name), copied=True)
        except ImageError as error:  # it has changed since it was looked at
            self.notes.append(f"{path}: no upright copy ({error})")
        link_file(path, target, self.hard_links)
        return Placed(target, copied=False)


class DataSetWriter(PhotographWriter):
    """A writer of a data set for trainers, part of which can be kept to validate on.

    What is written of an image is known when it is added, and where it goes when all are there.

    Args:
        folder: as for `PhotographWriter`, like the next two
        names: of all classes
        upright_copies: in place of links
        val: share of the images that is kept to validate on, in [0, 1)
    """

    options = PhotographWriter.options | {"val"}

    def __init__(
        self,
        folder: Path,
        names: tuple[str, ...],
        upright_copies: bool = False,
        val: float = 0.0,
    ) -> None:
        super().__init__(folder, names, upright_copies)
        self._val = check_val(val)
        self._splits = (TRAIN, VAL) if val else (TRAIN,)
        self._records = Records(folder)
        self._labels: list[int] = []  # of the images
        self._taken: set[str] = set()

    def _keep(self, localization: Localization, content: Any) -> None:
        """Keep what is to be written of an image, in values that `json` can write."""
        path = localization.path
        stem = unique_stem(self._called(path), self._taken)
        self._labels.append(localization.label)
        self._records.append([stem, None if path is None else str(path), content])

    def _called(self, path: Path | None) -> Path | None:
        """Give a path whose name can stand in the files."""
        return path

    def _parts(self) -> Iterator[tuple[str, str, Path | None, Any]]:
        """Go through the images again.

        Yields:
            part of the data set, name of the image's files without suffix, path of the original or
            None, and what was kept
        """
        chosen = choose_val(self._labels, self._val)
        for row, (stem, path, content) in enumerate(self._records):
            yield VAL if row in chosen else TRAIN, stem, path and Path(path), content

    def close(self) -> None:
        """Put the files in their places, and forget what was kept."""
        super().close()
        self.discard()

    def discard(self) -> None:
        """Drop what has not been put in its place."""
        super().discard()
        self._records.close()
