"""What an evaluation reads: the data set, its splits, and the files that they name."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from eval.manifest import DataSet, ManifestError, Split, load_classes, open_data_set
from wsol.errors import ArgumentError
from wsol.evaluation.folder_maps import map_path
from wsol.evaluation.label_scorer import has_labels_only
from wsol.evaluation.pass_header import list_masks
from wsol.evaluation.predictions import read_predictions
from wsol.evaluation.threshold_rules import VAL
from wsol.same_files import check_same_files
from wsol.shipped import tell_absent
from wsol.workflows.any_step_job import check_levels
from wsol.workflows.evaluation_options import Wanted, check_labels_only

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from eval.protocols import Protocol
    from tdam.events import Events
    from wsol.evaluation.given_boxes import GivenBoxes
    from wsol.evaluation.predictions import Predictions

G = TypeVar("G", bound="GivenBoxes | Predictions")


def open_data(
    data: Split | DataSet | str | Path, root: str | Path | None, of_maps: bool
) -> tuple[DataSet | None, Path | None]:
    """Open the data set, and settle where its images are, if they are asked for."""
    home = None if root is None else Path(root)
    if isinstance(data, Split):
        if home is None and not of_maps:
            raise ArgumentError("root", "needed to find the images")
        return None, home
    if not isinstance(data, DataSet) and not Path(data).exists():
        raise ArgumentError("data", tell_absent(data))
    try:
        opened = open_data_set(data, home)
    except ManifestError as error:
        raise ArgumentError("data", str(error)) from error
    if not opened.splits:
        raise ArgumentError(
            "data",
            f"{opened.path} holds no truth: expected a folder with manifests of splits (or with "
            "images and manifest/) or a COCO data set file",
        )
    beside = opened.path.is_file() or opened.path != (
        data.path if isinstance(data, DataSet) else Path(data)
    )
    if home is None and (not of_maps or beside):
        home = opened.root
    if home is None and not of_maps:
        raise ArgumentError("root", "needed to find the images")
    return opened, home


def load_truth(
    data: Split | DataSet | str | Path,
    choose: str | Split,
    wanted: Wanted,
    protocols: tuple[Protocol, ...],
) -> tuple[Split, Split | None]:
    """Read the splits, and refuse what their truth is not enough for."""
    scored, _ = _load_splits(data, choose, replace(wanted, threshold=None))
    what = f"split {scored.name}" if isinstance(data, Split) else str(open_data_set(data).path)
    if has_labels_only(scored):
        check_labels_only(wanted, protocols, what)
    needs = {"formats": wanted.formats, "coco": wanted.coco, "steps_rule": wanted.any_step}
    for argument, asked in needs.items():
        if asked and scored.boxes is None:
            raise ArgumentError(argument, f"needs boxes but {what} has none")
    if wanted.any_step:
        check_levels(wanted, protocols)
    return _load_splits(data, choose, wanted)


def _load_splits(
    data: Split | DataSet | str | Path, choose: str | Split, wanted: Wanted
) -> tuple[Split, Split | None]:
    """Read the split to score, and the one to choose on where the rule asks for it."""
    chooses = wanted.threshold == VAL
    if isinstance(data, Split):
        if chooses and not isinstance(choose, Split):
            raise ArgumentError("threshold", "needs the split to choose on (choose)")
        return data, choose if chooses and isinstance(choose, Split) else None
    opened = open_data_set(data)
    return load_splits(opened, wanted.split, choose if chooses else None)


def load_splits(
    data: DataSet, split: str, choose: str | Split | None
) -> tuple[Split, Split | None]:
    """Read a split to score and one to choose thresholds on.

    Args:
        data: the data set
        split: name of the split to score
        choose: the other one, or its name; None where nothing is chosen

    Raises:
        ArgumentError: a split that is not there
        ManifestError: a fault in one of them
    """
    split = _check_split("split", data, split)
    if isinstance(choose, str):
        choose = _check_split("threshold", data, choose)
        if set(choose.split("+")) & set(split.split("+")):
            said = f"{choose} cannot be chosen on while {split!r} scores it"
            raise ArgumentError("threshold", said)
    return data.load(split), data.load(choose) if isinstance(choose, str) else choose


def _check_split(argument: str, data: DataSet, name: str) -> str:
    """Settle the name of a split, and name the argument that asks for one that is not there."""
    try:
        return data.check_name(name)
    except ManifestError as error:
        raise ArgumentError(argument, str(error)) from error


def find_masks(wanted: Wanted, root: Path | None, data: DataSet | None) -> str | Path | None:
    """Settle which folder mask paths are relative to."""
    return wanted.mask_root or root or (None if data is None else data.path)


def open_predictions(
    path: str | Path,
    split: Split,
    data: DataSet | None,
    classes: Mapping[int, int] | str | Path | None,
    others: Callable[[], Iterable[str]],
    allow_missing: bool | None,
    events: Events,
    near: Path | None = None,
) -> Predictions:
    """Read the classes that a program predicted of the images of a split.

    Args:
        path: of the file
        split: that is scored
        data: the data set of the split, or None
        classes: index among a network's outputs by label, or the path of such a table
        others: gives the ids of further images that the file may have
        allow_missing: pass over what cannot be used; None where nobody can ask for it
        events: told of it
        near: as for `find_tables`

    Raises:
        ArgumentError: a file that cannot be used
    """
    table, beside = find_tables(classes, data, near)
    read = partial(
        read_predictions, Path(path), split, table=table, named_table=beside, others=others,
        allow_missing=allow_missing,
    )  # fmt: skip
    return read_given("predictions", read, split, data, events)


def read_given(
    argument: str,
    read: Callable[..., G],
    split: Split,
    data: DataSet | None,
    events: Events,
) -> G:
    """Read what a program says of the images of a split, and tell what people should know of it.

    Args:
        argument: that names the file
        read: takes the number of classes as `read_predictions` does
        split: that is scored
        data: the data set of the split, or None
        events: told the notes

    Raises:
        ArgumentError: a file that cannot be used
    """
    try:
        given = read(count=partial(count_classes, split, data))
    except ManifestError as error:
        raise ArgumentError(argument, str(error)) from error
    for note in given.notes:
        events.say(note)
    return given


def find_tables(
    classes: Mapping[int, int] | str | Path | None, data: DataSet | None, near: Path | None = None
) -> tuple[Mapping[int, int] | None, Mapping[int, int] | None]:
    """Read the class table that was given, and without one that near the data.

    Args:
        classes: the table, or its path; None for none
        data: the data set, or None
        near: path of a table that stands for the one near the data

    Raises:
        ArgumentError: a file that is no such table
    """
    if near is None and classes is None and data is not None:
        near = data.class_table
    try:
        table = load_classes(classes) if isinstance(classes, (str, Path)) else classes
        return table, None if near is None else load_classes(near)
    except ManifestError as error:
        raise ArgumentError("classes", str(error)) from error


def list_other_ids(
    splits: Iterable[Split], data: DataSet | None, others: Iterable[str]
) -> frozenset[str]:
    """List the ids of images that a file of many splits may have.

    Args:
        splits: that are read anyway
        data: the data set, or None
        others: further ones
    """
    beside = [image_id for each in splits for image_id in each.ids]
    return frozenset([*others, *beside, *(() if data is None else data.ids)])


def count_classes(split: Split, data: DataSet | None, most: int) -> int:
    """Count the classes of a data set; that of a split alone tells of no others."""
    return split.count_classes() if data is None else data.count_classes(split, most)


def check_seen(
    splits: Iterable[Split | None],
    root: Path | None,
    maps: Path | None,
    mask_root: str | Path | None,
) -> None:
    """Refuse images, or maps, and masks that the processes of a job do not all see alike."""
    paths: list[Path] = []
    for split in splits:
        if split is None:
            continue
        if maps is not None:
            paths += [map_path(maps, image_id) for image_id in split.ids]
        elif root is not None:
            paths += [root / image_id for image_id in split.ids]
        paths += list_masks(split.masks or (), mask_root)
    check_same_files(paths)
