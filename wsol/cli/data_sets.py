"""What a command reads of a data set: the splits that the flags name, ids, the class table."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from wsol.cli.usage import fail
from wsol.text import count_things

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from eval.splits import Split

_SHOWN = 5  # of a list of faults or names


def load_splits(data: Path, split: str, with_val: bool) -> tuple[Split, Split | None]:
    """Read the split to score, and val where a threshold is chosen on it, or exit and say why not.

    Args:
        data: the data set
        split: to score
        with_val: whether val is wanted too; the two must not share an image
    """
    from eval.manifest import ManifestError, list_splits, load_split

    unknown = set(split.split("+")) - set(list_splits(data)) if data.is_dir() else set()
    if unknown:
        known = ", ".join(list_splits(data)) or "none"
        message = f"{data} has no split {min(unknown)!r}; it has {known}"
        raise typer.BadParameter(message, param_hint="--split")
    if with_val and "val" not in list_splits(data):
        raise typer.BadParameter(f"{data} has no split val", param_hint="--threshold")
    try:
        scored, chooser = load_split(data, split), load_split(data, "val") if with_val else None
    except ManifestError as error:
        fail(str(error))
    shared = set(scored.ids) & set(chooser.ids if chooser is not None else ())
    if shared:
        message = f"val has {min(shared)} too, which {split!r} scores"
        raise typer.BadParameter(message, param_hint="--threshold")
    return scored, chooser


def load_drawn_boxes(boxes: Path, name: str, root: Path | None = None) -> tuple[Split, Path]:
    """Read boxes that people drew or corrected, or exit and say why not.

    Images with boxes of several classes are left out and named on stderr, and so are those of a
    COCO file that have neither an annotation nor a label of their own.

    Args:
        boxes: a COCO data set file, or a folder of YOLO label files
        name: of the split
        root: of the images

    Returns:
        the boxes, and the folder that their ids are relative to
    """
    from eval.coco import load_coco
    from eval.manifest import ManifestError
    from eval.yolo import load_yolo

    skipped: list[str] = []
    try:
        if boxes.is_dir():
            split, home = load_yolo(boxes, name, root, skipped.append)
        else:
            split, home = load_coco(boxes, name, skipped.append), root or boxes.parent
    except ManifestError as error:
        _tell_skipped(skipped)
        fail(str(error))
    _tell_skipped(skipped)
    if split.boxes is None:
        raise typer.BadParameter(f"{boxes} holds no box", param_hint="--boxes")
    return split, home


def _tell_skipped(faults: list[str]) -> None:
    sys.stderr.writelines(f"{line}\n" for line in faults[:_SHOWN])
    if faults:
        dots = "..., " if len(faults) > _SHOWN else ""
        sys.stderr.write(f"{dots}{count_things(len(faults), 'image')} left out\n")


def check_root(split: Split, root: Path) -> None:
    """Exit with 2 where none of the split's images lies below the folder."""
    if split.ids and not any((root / image_id).is_file() for image_id in split.ids):
        message = f"none of {len(split.ids)} images lies below {root}, such as {split.ids[0]}"
        raise typer.BadParameter(message, param_hint="--root")


def list_ids(data: Path) -> set[str]:
    """List the ids of every split, whose maps may share a folder."""
    from eval.manifest import ManifestError, list_splits, load_split

    try:
        return {image_id for name in list_splits(data) for image_id in load_split(data, name).ids}
    except ManifestError as error:
        fail(str(error))


def find_classes(
    data: Path,
    scored: Split,
    root: Path | None,
    classes: Path | None,
    names: tuple[str, ...],
) -> dict[int, int] | None:
    """Tell which of a network's outputs each label means.

    The table that was named goes first; for 1000 outputs the first classes.csv near. Then names
    that data set and network share, and last numbers, where they share no name and both have as
    many classes.

    Args:
        data: the data set
        scored: the split of it to score
        root: of the images
        classes: the table that was named
        names: of the outputs

    Returns:
        index among the outputs by label, or None where labels and outputs do not fit

    Raises:
        ValueError: numbers would fit, but some of the names that occur are the network's and
            others are not
    """
    from eval.manifest import (
        ManifestError,
        find_class_table,
        load_classes,
    )
    from wsol.classes import class_names, match_classes

    if classes is None and len(names) == 1000:
        classes = find_class_table(data, data.absolute().parent, *([root] if root else []))
    if classes is None:
        table, missing = match_classes(scored.labels.tolist(), scored.class_names or (), names)
        if table is not None:
            return table
        by_number = _count_classes(data, scored, len(names)) == len(names)
        known = len(names) == 1000 or names != class_names(len(names))  # not `class 0` and so on
        strange = tell_strange(missing) if missing and known else ""
        if strange and by_number and len(missing) < len(set(scored.labels.tolist())):
            raise ValueError(f"{strange}; a class table may map them")  # numbers contradict names
        if strange:
            end = "; labels are taken for the numbers of its outputs" if by_number else ""
            sys.stderr.write(f"{strange}{end}\n")
        return {i: i for i in range(len(names))} if by_number else None
    try:
        table = load_classes(classes)
    except ManifestError as error:
        fail(str(error))
    typer.echo(f"labels mapped onto ImageNet's 1000 classes by {classes}", err=True)
    return table


def _count_classes(data: Path, scored: Split, most: int) -> int:
    """Count the classes of a data set; a split may lack the last ones, so all are asked."""
    from eval.manifest import ManifestError, list_splits, load_split

    count = max(int(scored.labels.max()) + 1, len(scored.class_names or ()))
    if count >= most:
        return count
    try:
        return max(int(load_split(data, name).labels.max()) + 1 for name in list_splits(data))
    except ManifestError as error:
        fail(str(error))


def tell_strange(names: Sequence[str]) -> str:
    """Name the classes of a data set that a network does not have."""
    few = ", ".join(map(repr, names[:_SHOWN])) + (", ..." if len(names) > _SHOWN else "")
    return f"classes that are none of the network's: {len(names)} ({few})"


def name_labels(
    scored: Split, table: Mapping[int, int] | None, names: Sequence[str]
) -> dict[int, str]:
    """Name the labels of a split as the data set does, or as the network's outputs are called.

    Args:
        scored: the split
        table: index among the outputs by label, or None where they do not fit
        names: of the outputs; empty without a network

    Returns:
        names by label, those that are known
    """
    named = {}
    for label in sorted(set(scored.labels.tolist())):
        index = label if table is None else table.get(label, -1)
        if scored.class_names is not None and label < len(scored.class_names):
            named[label] = scored.class_names[label]
        elif table is not None and 0 <= index < len(names):
            named[label] = names[index]
    return named
