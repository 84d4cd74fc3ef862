"""The class of every image by its folder, whether the network knows a class of this name or not."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from eval.folders import list_split_folders
from eval.manifest import ManifestError
from wsol.classes import look_up_class

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@dataclass(frozen=True)
class KnownClasses:
    """What is known of the classes of images before a network sees them.

    Args:
        names: of all classes that a label may be
        labels: one an image; None where the network chooses
        listed: classes that people expect in lists, whether an image shows them or not
        outputs: for each name the network's class, None for one that it does not know; None where
            the names are the network's own
    """

    names: tuple[str, ...]
    labels: list[int] | None
    listed: tuple[int, ...] = ()
    outputs: tuple[int | None, ...] | None = None

    @property
    def strangers(self) -> list[int]:
        """The classes that the network does not know."""
        return [i for i, output in enumerate(self.outputs or ()) if output is None]


def classify_folders(
    paths: Sequence[Path], sources: Iterable[str | Path], names: tuple[str, ...]
) -> KnownClasses:
    """Tell every image's class by its folder.

    It is the folder that the image lies in where the network knows a class of this name; else the
    first folder below the source, as a training has it, which may be new to the network. Where one
    of them is, the classes are those of the folders and no others.

    Args:
        paths: of the images
        sources: that they come from
        names: of the network's classes

    Raises:
        ValueError: a name that is that of several classes, or an image that lies in no folder

    >>> paths = [Path("in/cat/a.jpg"), Path("in/emu/b.jpg")]
    >>> known = classify_folders(paths, ["in"], ("dog", "cat"))
    >>> known.names, known.labels, known.outputs
    (('cat', 'emu'), [0, 1], (1, None))
    """
    homes = [_Home(source) for source in map(Path, sources)]
    folders = [path.parent for path in paths]
    chosen: dict[Path, tuple[str, int | None]] = {}
    for folder in dict.fromkeys(folders):
        chosen[folder] = _choose(folder, homes, names)
    if all(output is not None for _, output in chosen.values()):
        labels = [output for _, output in map(chosen.__getitem__, folders) if output is not None]
        return KnownClasses(names, labels, tuple(sorted(set(labels))))
    outputs = {
        name if output is None else names[output]: output for name, output in chosen.values()
    }
    called = tuple(sorted(outputs))
    labels = [
        called.index(name if output is None else names[output])
        for name, output in map(chosen.__getitem__, folders)
    ]
    every = tuple(range(len(called)))
    return KnownClasses(called, labels, every, tuple(outputs[name] for name in called))


class _Home:
    """A source, and the folders directly in it that are splits and no classes."""

    def __init__(self, source: Path) -> None:
        self.source = source
        self.splits: frozenset[str] = frozenset()
        if source.is_dir():
            with suppress(ManifestError, OSError):  # what cannot be read is told elsewhere
                self.splits = frozenset(list_split_folders(source))

    def class_of(self, folder: Path) -> str | None:
        """Name the class folder that a folder is, or lies in; None where it is not below."""
        if not folder.is_relative_to(self.source):
            return None
        parts = folder.relative_to(self.source).parts
        if len(parts) > 1 and parts[0] in self.splits:
            parts = parts[1:]
        return parts[0] if parts else None


def _choose(folder: Path, homes: Sequence[_Home], names: tuple[str, ...]) -> tuple[str, int | None]:
    """Name the class of a folder's images, and find the network's class of this name."""
    own = folder.absolute().name
    top = next(filter(None, (home.class_of(folder) for home in homes)), own)
    if not top:
        raise ValueError("Expected images in folders of their classes but one lies in none")
    if own != top and (output := look_up_class(own, names, by_number=False)) is not None:
        return own, output
    return top, look_up_class(top, names)
