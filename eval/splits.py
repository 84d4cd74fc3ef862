"""What a split of a data set is, whichever form it was read from, and how two become one."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence


class ManifestError(ValueError):
    """A fault in a manifest; the message names file and line."""


@dataclass(frozen=True)
class MaskPaths:
    """Where the true masks of one image lie, below a root that is given when they are read.

    Args:
        instances: one mask an object
        ignore: pixels that do not count, or None
    """

    instances: tuple[str, ...]
    ignore: str | None


@dataclass(frozen=True, eq=False)
class Split:
    """One split of a data set.

    Args:
        name: `test`, or `val+test` for joined splits
        ids: paths below the image root, in the order of evaluation
        labels: (N,), int64, from 0
        sizes: (N, 2), int64, width and height in original pixels, or None
        boxes: one (k, 4) array an image, x0 y0 x1 y1, first and last pixel in original pixels;
            int64, or float64 where the source has fractions of a pixel; k = 0 for an image
            without a true box; or None where no boxes are known
        masks: one record an image, or None where no masks are known
        class_names: by label, or None where they are not known
        repeated_boxes: true boxes that their image has twice or more often, and that `boxes` has
            only once
        wnids: WordNet ids by label, empty where one has none; None where they are not known
    """

    name: str
    ids: tuple[str, ...]
    labels: np.ndarray
    sizes: np.ndarray | None = None
    boxes: tuple[np.ndarray, ...] | None = None
    masks: tuple[MaskPaths, ...] | None = None
    class_names: tuple[str, ...] | None = None
    repeated_boxes: int = 0
    wnids: tuple[str, ...] | None = None

    def __repr__(self) -> str:
        return f"Split({self.summary})"

    def __len__(self) -> int:
        return len(self.ids)

    def size(self, row: int) -> tuple[int, int] | None:
        """Width and height of an image in original pixels, or None where they are not known."""
        if self.sizes is None:
            return None
        width, height = self.sizes[row].tolist()
        return width, height

    def count_classes(self) -> int:
        """Count the classes that labels and names tell of; data may have more of them."""
        return max(
            int(self.labels.max()) + 1, *map(len, (self.class_names or (), self.wnids or ()))
        )

    @property
    def summary(self) -> str:
        """What it holds, in a line."""
        text = f"{self.name}: {len(self)} images, {len(set(self.labels.tolist()))} classes"
        if self.masks is not None:
            return f"{text}, {sum(len(each.instances) for each in self.masks)} masks"
        text = f"{text}, {sum(map(len, self.boxes or ()))} boxes"
        return f"{text} ({self.repeated_boxes} listed again)" if self.repeated_boxes else text


def drop_repeated_boxes(split: Split) -> Split:
    """Keep every true box of an image once, since the same box twice is no second object."""
    if split.boxes is None:
        return split
    kept = tuple(map(_drop_repeats, split.boxes))
    dropped = sum(map(len, split.boxes)) - sum(map(len, kept))
    return replace(split, boxes=kept, repeated_boxes=dropped) if dropped else split


def _drop_repeats(boxes: np.ndarray) -> np.ndarray:
    if len(boxes) < 2:
        return boxes
    return boxes[np.sort(np.unique(boxes, axis=0, return_index=True)[1])]


def join_splits(first: Split, second: Split) -> Split:
    """Put one split behind another.

    Raises:
        ManifestError: both have the same image, or boxes or masks in one of them only
    """
    shared = set(first.ids) & set(second.ids)
    if shared:
        raise ManifestError(
            f"expected splits {first.name} and {second.name} to share no image but both have "
            f"{min(shared)}"
        )
    for what in ("boxes", "masks"):
        if (getattr(first, what) is None) != (getattr(second, what) is None):
            raise ManifestError(
                f"expected {what} in both or none of the splits {first.name} and {second.name}"
            )
    sizes = None
    if first.sizes is not None and second.sizes is not None:
        sizes = np.concatenate([first.sizes, second.sizes])
    return Split(
        f"{first.name}+{second.name}",
        first.ids + second.ids,
        np.concatenate([first.labels, second.labels]),
        sizes,
        None if first.boxes is None or second.boxes is None else first.boxes + second.boxes,
        None if first.masks is None or second.masks is None else first.masks + second.masks,
        first.class_names,
        first.repeated_boxes + second.repeated_boxes,
        first.wnids,
    )


def take_rows(split: Split, rows: Sequence[int], name: str) -> Split:
    """Make a split of some images of another.

    Args:
        split: to take from
        rows: of the images, in the new order
        name: of the new split
    """
    return replace(
        split,
        name=name,
        ids=tuple(split.ids[row] for row in rows),
        labels=split.labels[list(rows)],
        sizes=None if split.sizes is None else split.sizes[list(rows)],
        boxes=None if split.boxes is None else tuple(split.boxes[row] for row in rows),
        masks=None if split.masks is None else tuple(split.masks[row] for row in rows),
        repeated_boxes=0,
    )


def choose_share(
    ids: Sequence[str],
    labels: Sequence[int],
    share: float,
    seed: int,
    usable: Collection[str] | None = None,
) -> list[int]:
    """Choose the same share of every class: at least one image, never all.

    The choice depends on ids and seed alone, on every machine and with every version of a library.

    Args:
        ids: of all images
        labels: class of each
        share: of every class's images, from 0 to 1
        seed: chooses which
        usable: ids to choose among; all by default

    Returns:
        rows of the chosen images, rising
    """
    classes: dict[int, list[int]] = {}
    for row, label in enumerate(labels):
        classes.setdefault(label, []).append(row)
    chosen: list[int] = []
    for rows in classes.values():
        wanted = min(max(round(share * len(rows)), 1), len(rows) - 1)
        among = [row for row in rows if usable is None or ids[row] in usable]
        chosen += sorted(among, key=lambda row: _hash(f"{seed} {ids[row]}"))[:wanted]
    return sorted(chosen)


def spread_rows(split: Split, most: int) -> Split:
    """Take so many images at most, of every class as large a share as of the others.

    Args:
        split: to take from
        most: images; 0 for all

    Returns:
        the split itself where it has no more; else every k-th image, k with fractions, of those
        sorted by class, in the split's order

    >>> labels = np.array([0, 1, 0, 1, 0, 1, 0, 0])
    >>> spread_rows(Split("val", tuple("abcdefgh"), labels), 4).ids
    ('b', 'c', 'f', 'g')
    """
    if most == 0 or most >= len(split):
        return split
    by_class = np.argsort(split.labels, kind="stable")
    middles = (np.arange(most) * 2 + 1) * len(split) // (2 * most)
    return take_rows(split, np.sort(by_class[middles]).tolist(), split.name)


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()


MOST_CLASSES = 1_000_000  # a label beyond is a mistake, and lists of all classes would be endless


def is_text(text: str) -> bool:
    """Tell whether a name can be written to a file, and be the name of one."""
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # half a character
        return False
    return "\0" not in text


def tidy_path(path: str) -> str:
    """Spell a path below a root in one way, so that one image has one id.

    What leaves the root stays as it is, for `leaves_root` to tell.

    >>> [tidy_path(path) for path in ("a/b.jpg", "./a/b.jpg", "a//./b.jpg", "/a.jpg")]
    ['a/b.jpg', 'a/b.jpg', 'a/b.jpg', '/a.jpg']
    """
    if path.startswith("/"):
        return path
    return "/".join(part for part in path.split("/") if part not in ("", "."))


def leaves_root(path: str) -> bool:
    """Tell whether a path is absolute or climbs above its root, here or on Windows."""
    absolute = path.startswith(("/", "\\")) or path[1:2] == ":"
    return absolute or ".." in path.replace("\\", "/").split("/")
