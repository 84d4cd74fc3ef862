"""Images that are trained on, chosen by and scored must not be the same: the one rule for it.

Two images are the same where their ids name one path, or where their files have the same bytes,
whatever they are called: copies, renamed ones, and links. The same picture in another encoding,
size or crop is another file, and is not noticed. An image that one set has twice is no fault.
"""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from eval.splits import ManifestError
from tdam.events import SILENT, Events
from wsol.fingerprints import NO_FILE, file_state
from wsol.text import count_things

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from eval.splits import Split

Use = Literal["training", "choosing", "scoring"]
USES: tuple[Use, ...] = ("training", "choosing", "scoring")
_SHOWN = 3  # shared images that a message names


class OverlapError(ManifestError):
    """Images that serve two purposes which must not share any."""


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images that serve one purpose.

    Args:
        name: in messages, such as `split test`
        use: what they serve for
        ids: paths below the image root
        root: folder that the ids are relative to; None where it is not known, so that ids alone
            tell images apart
        sizes: bytes of each file, -1 where there is none; None to ask the disk
        hashes: SHA-256 of each file's bytes, None where it could not be read; None in all to read
            the files that are in question
        past: whether all that they serve for is done, as in a run that was trained before: what a
            choice was made by then may be trained on later, but not scored
    """

    name: str
    use: Use
    ids: tuple[str, ...]
    root: Path | None
    sizes: tuple[int, ...] | None = None
    hashes: tuple[str | None, ...] | None = None
    past: bool = False

    @cached_property
    def paths(self) -> list[str]:
        """Where each image lies, spelled in one way."""
        root = "." if self.root is None else os.path.realpath(self.root)
        return [os.path.normpath(f"{root}/{image_id}") for image_id in self.ids]

    @cached_property
    def file_sizes(self) -> Sequence[int]:
        """Bytes of each file, -1 where there is none."""
        if self.sizes is not None:
            return self.sizes
        return [
            NO_FILE[0] if self.root is None else file_state(Path(path))[0] for path in self.paths
        ]

    def hash_rows(self, rows: Sequence[int]) -> list[str | None]:
        """Hash the bytes of some of the files; None for one that cannot be read."""
        if self.hashes is not None:
            return [self.hashes[row] for row in rows]
        with ThreadPoolExecutor(8) as pool:  # most of the time is spent waiting for the disk
            return list(pool.map(hash_file, [self.paths[row] for row in rows]))

    def read(self) -> ImageSet:
        """Give the same images with the sizes and hashes of all files."""
        rows = range(len(self.ids))
        hashes = tuple(self.hash_rows(rows))
        return ImageSet(self.name, self.use, self.ids, self.root, tuple(self.file_sizes), hashes)


def of_split(split: Split, use: Use, root: Path | None, name: str = "") -> ImageSet:
    """Say what the images of a split serve for; without a name they are called by its own."""
    return ImageSet(name or f"split {split.name}", use, split.ids, root)


def list_sets(scored: Split, chooser: Split | None, root: Path | None) -> list[ImageSet]:
    """Say what the images of a split to score and of one to choose thresholds on serve for."""
    sets = [of_split(scored, "scoring", root)]
    return sets if chooser is None else [*sets, of_split(chooser, "choosing", root)]


def check_apart(
    sets: Iterable[ImageSet],
    allow: bool = False,
    events: Events = SILENT,
    unknown: Sequence[str] = (),
) -> tuple[str, ...] | None:
    """Refuse images that serve two purposes, or tell of them where that is allowed.

    Args:
        sets: of images; those that serve the same purpose may share some
        allow: tell instead
        events: told then, and of what is not known
        unknown: weights whose images are not known, so that no set is of them

    Returns:
        a line for each two sets that share images, which whatever is made of them has to carry;
        None where there is none, but images are not known

    Raises:
        OverlapError: shared images, with the names of the first few and their number
    """
    lines = find_overlaps(sets)
    if lines and not allow:
        raise OverlapError(
            f"Expected images to train on, to choose by and to score to be apart but "
            f"{'; '.join(lines)}. Take them out of one, or allow it (--allow-overlap, "
            "allow_overlap=True): every result then says so"
        )
    told = tuple(lines) if lines or not unknown else None
    tell_overlaps([told], unknown, events)
    return told


def tell_overlaps(
    told: Iterable[tuple[str, ...] | None], unknown: Sequence[str], events: Events
) -> None:
    """Say once each what `check_apart` has allowed, and of which weights it knows no images.

    Args:
        told: what it gave for one run or several
        unknown: weights whose images are not known
        events: told
    """
    for line in join_overlaps(told) or ():
        events.say(f"allowed: {line}")
    for line in map(describe_unknown, dict.fromkeys(unknown)):
        events.say(line)


def describe_unknown(weights: str) -> str:
    """Say in a line that nobody knows what weights were trained on."""
    unknown = f"the images that {weights} was trained on are not known"
    return f"{unknown}, so that overlap was not looked for"


def join_overlaps(told: Iterable[tuple[str, ...] | None]) -> tuple[str, ...] | None:
    """Join what several results have to tell, each line once; None where some is not known."""
    told = list(told)
    lines = dict.fromkeys(line for each in told for line in each or ())
    return tuple(lines) if lines or None not in told else None


def find_overlaps(sets: Iterable[ImageSet]) -> list[str]:
    """Describe in a line which images every two sets share that serve different purposes.

    A file is asked for its size, and only read where another one has as many bytes.
    """
    lines = []
    for one, other in combinations(sorted(sets, key=lambda each: USES.index(each.use)), 2):
        pairs = [] if one.use == other.use or other.past else _list_shared(one, other)
        if pairs:
            shown = ", ".join(a if a == b else f"{a} (there {b})" for a, b in pairs[:_SHOWN])
            more = ", ..." if len(pairs) > _SHOWN else ""
            count = count_things(len(pairs), "image")
            lines.append(f"{other.name} and {one.name} share {count}: {shown}{more}")
    return list(dict.fromkeys(lines))


def _list_shared(one: ImageSet, other: ImageSet) -> list[tuple[str, str]]:
    """Pair each image of the second set that the first has too with one of these, by their ids."""
    at = dict(zip(one.paths, range(len(one.paths)), strict=True))
    found = {row: at[path] for row, path in enumerate(other.paths) if path in at}
    left = [row for row in range(len(other.ids)) if row not in found and other.file_sizes[row] > 0]
    common = {other.file_sizes[row] for row in left}.intersection(one.file_sizes)
    if common:
        rows = [row for row, size in enumerate(one.file_sizes) if size in common]
        known = dict(zip(one.hash_rows(rows), rows, strict=True))
        known.pop(None, None)
        left = [row for row in left if other.file_sizes[row] in common]
        hashed = zip(left, other.hash_rows(left), strict=True)
        found |= {row: known[digest] for row, digest in hashed if digest in known}
    return [(other.ids[row], one.ids[found[row]]) for row in sorted(found)]


def hash_file(path: str) -> str | None:
    """Hash the bytes of a file with SHA-256; None where it cannot be read."""
    size, time = file_state(Path(path))
    try:
        return None if size == NO_FILE[0] else _hash_content(path, size, time)
    except OSError:
        return None


@lru_cache(maxsize=2_000_000)  # an experiment asks for the same files, ImageNet's, with every run
def _hash_content(path: str, size: int, time: int) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
