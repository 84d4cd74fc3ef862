"""What a split of a data set is, whichever form it was read from, and how two become one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


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
    """

    name: str
    ids: tuple[str, ...]
    labels: np.ndarray
    sizes: np.ndarray | None = None
    boxes: tuple[np.ndarray, ...] | None = None
    masks: tuple[MaskPaths, ...] | None = None
    class_names: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def without_box(self) -> int:
        """How many images have no true box."""
        return len(self) if self.boxes is None else sum(len(boxes) == 0 for boxes in self.boxes)

    @property
    def summary(self) -> str:
        """What it holds, in a line."""
        text = f"{self.name}: {len(self)} images, {len(set(self.labels.tolist()))} classes"
        if self.masks is not None:
            return f"{text}, {sum(len(each.instances) for each in self.masks)} masks"
        return f"{text}, {sum(map(len, self.boxes or ()))} boxes"


def join_splits(first: Split, second: Split) -> Split:
    """Put one split behind another.

    Raises:
        ManifestError: an image in both, or boxes or masks in one of them only
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
    )


def leaves_root(path: str) -> bool:
    """Tell whether a path is absolute or climbs above its root, here or on Windows."""
    absolute = path.startswith(("/", "\\")) or path[1:2] == ":"
    return absolute or ".." in path.replace("\\", "/").split("/")
