"""What a data set gives a training: images to learn from, images to choose by, names of classes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np

from eval.manifest import DataSet, ManifestError, open_data_set
from eval.splits import choose_share, join_splits, take_rows
from tdam.metadata import check_class_names
from tdam.reprs import brief_repr
from wsol.fingerprints import hash_files
from wsol.images import ImageError, read_image

if TYPE_CHECKING:
    from pathlib import Path

    from eval.splits import Split

_TRAIN = ("train", "training")
_VAL = ("val", "valid", "validation")
_READABLE: WeakKeyDictionary[DataSet, set[str]] = WeakKeyDictionary()  # ids that were read once


@dataclass(frozen=True, eq=False)
class TrainingData:
    """A data set, ready to train on.

    Args:
        source: the data set
        train: images to learn from
        val: images to choose by, in no case the test images
        held_out: whether `val` is a part of the data set's training images
        class_names: by label
        unused: names of classes of the data set that no image of either has, and that have no label
            here
    """

    source: DataSet
    train: Split
    val: Split
    held_out: bool
    class_names: tuple[str, ...]
    unused: tuple[str, ...] = ()

    __repr__ = brief_repr

    @property
    def root(self) -> Path:
        """Folder that the ids of both are relative to."""
        return self.source.image_root

    @property
    def whole(self) -> Split:
        """All training images, the held-out ones among them, in the order of their ids."""
        both = join_splits(self.train, self.val) if self.held_out else self.train
        order = sorted(range(len(both)), key=lambda row: both.ids[row])
        return take_rows(both, order, self.train.name)

    @property
    def count(self) -> int:
        """Number of all training images, the held-out ones among them."""
        return len(self.train) + (len(self.val) if self.held_out else 0)

    def list_files(self) -> list[Path]:
        """List the files of all images."""
        return [self.root / image_id for split in (self.train, self.val) for image_id in split.ids]

    def digest(self) -> str:
        """Hash ids, labels and file sizes of all images, in hexadecimal."""
        parts = [hash_files(split, self.root.joinpath) for split in (self.train, self.val)]
        return hashlib.sha256("".join(parts).encode()).hexdigest()

    def describe(self) -> str:
        """Say in a line what is learned from and what is chosen by."""
        if self.held_out:
            share = len(self.val) / self.count
            chosen_by = f"{len(self.val)} of them held out ({share:.0%} of every class)"
        else:
            chosen_by = f"{len(self.val)} images of split {self.val.name}"
        classes = len(self.class_names)
        return f"{self.count} training images of {classes} classes; validation: {chosen_by}"


def load_training_data(
    data: str | Path | DataSet,
    root: str | Path | None = None,
    val_share: float = 0.15,
    seed: int = 0,
    per_class: int = 0,
) -> TrainingData:
    """Find the images to train on and those to choose by.

    Args:
        data: as for `eval.manifest.open_data_set`; a split `train` and a split `val` are taken as
            such, an only split is all for training
        root: image root; None: as the data set has it
        val_share: part of every class held out of training where no split `val` exists
        seed: chooses that part
        per_class: training images of a class at most, the first ones in the split's order, so that
            they are always the same; what is held out is a part of them; 0 for all

    Raises:
        ManifestError: a fault in the data set, no training images, one class only, a class
            without an image that can be read or with a name that no file of weights can hold, or
            an image root that is not known
    """
    source = open_data_set(data, root)
    data, names = source.path, source.splits
    if not names:
        raise ManifestError(
            f"{data}: expected a folder of images for each class, a manifest or a COCO data set "
            "file but there is none"
        )
    _ = source.image_root
    train_name = next((name for name in names if name.lower() in _TRAIN), None)
    val_name = next((name for name in names if name.lower() in _VAL), None)
    if train_name is None and (len(names) != 1 or (data / names[0]).is_dir()):
        raise ManifestError(
            f"{data}: expected a split train but it has {', '.join(names) or 'none'}"
        )
    train = _take_first(source.load(train_name or names[0]), per_class)
    val = None if val_name is None else source.load(val_name)
    train, val, unused = _drop_unused(train, val)
    classes = _name_classes(data, train, val)
    _check_classes(data, train, val, classes)
    _check_readable(source, train, classes)
    if val is not None:
        return TrainingData(source, train, val, False, classes, unused)
    chosen = choose_share(train.ids, train.labels.tolist(), val_share, seed)
    rest = np.setdiff1d(np.arange(len(train)), chosen).tolist()
    if not chosen:
        raise ManifestError(f"{data}: expected a class with two images, to hold one out")
    held = take_rows(train, chosen, "held out")
    return TrainingData(source, take_rows(train, rest, train.name), held, True, classes, unused)


def _take_first(train: Split, per_class: int) -> Split:
    if per_class == 0:
        return train
    rows = [np.flatnonzero(train.labels == label)[:per_class] for label in np.unique(train.labels)]
    return take_rows(train, np.sort(np.concatenate(rows)).tolist(), train.name)


def _drop_unused(train: Split, val: Split | None) -> tuple[Split, Split | None, tuple[str, ...]]:
    """Leave out the classes that no image has, such as the root of a tree of classes.

    Classes without names stay, since only their numbers tell what they are.
    """
    splits = [train] if val is None else [train, val]
    names = train.class_names
    if names is None or any(each.class_names != names for each in splits):
        return train, val, ()
    used = np.unique(np.concatenate([each.labels for each in splits]))
    if len(used) == len(names):
        return train, val, ()
    kept = tuple(names[label] for label in used.tolist())
    renumbered = []
    for each in splits:
        wnids = dict(enumerate(each.wnids or ()))
        renumbered.append(
            replace(
                each,
                labels=np.searchsorted(used, each.labels),
                class_names=kept,
                wnids=each.wnids and tuple(wnids.get(label, "") for label in used.tolist()),
            )
        )
    unused = tuple(name for label, name in enumerate(names) if label not in used)
    return renumbered[0], None if val is None else renumbered[1], unused


def _name_classes(data: Path, train: Split, val: Split | None) -> tuple[str, ...]:
    names = train.class_names or (val.class_names if val is not None else None)
    if names is not None:
        return names
    last = int(max(split.labels.max() for split in (train, val) if split is not None))
    return tuple(f"class {label}" for label in range(last + 1))


def _check_classes(data: Path, train: Split, val: Split | None, names: tuple[str, ...]) -> None:
    try:
        check_class_names(names)  # which the weights are saved with, once the training has ended
    except ValueError as error:
        raise ManifestError(f"{data}: {error}; rename the class") from error
    counts = np.bincount(train.labels, minlength=len(names))
    if len(names) < 2 or (counts > 0).sum() < 2:
        raise ManifestError(
            f"{data}: expected at least two classes to train on but got {names[0]!r}"
        )
    if (counts == 0).any():
        missing = [names[label] for label in np.flatnonzero(counts == 0).tolist()]
        raise ManifestError(
            f"{data}: expected training images of every class but {len(missing)} of "
            f"{len(names)} have none, such as {missing[0]!r}"
        )
    if val is not None and val.labels.max() >= len(counts):
        raise ManifestError(
            f"{data}: expected split {val.name} to have the classes of {train.name}"
        )


def _check_readable(source: DataSet, train: Split, names: tuple[str, ...]) -> None:
    """See to it that every class has an image, which its label alone does not promise.

    An experiment asks for the same data set for every run: what was read stays known.
    """
    known = _READABLE.setdefault(source, set())
    for label, name in enumerate(names):
        reason = ""
        rows = np.flatnonzero(train.labels == label).tolist()
        if any(train.ids[row] in known for row in rows):
            continue
        for row in rows:
            path = source.image_root / train.ids[row]
            try:
                read_image(path)
                known.add(train.ids[row])
                break
            except ImageError as error:
                reason = f"{path}: {error}"
        else:
            raise ManifestError(
                f"class {name!r}: expected an image that can be read among its {len(rows)} but "
                f"got none; {reason}"
            )
