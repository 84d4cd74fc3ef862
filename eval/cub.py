"""The official CUB-200-2011 download: its tables read and checked, its splits built."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from eval.benchmark_metadata import refuse_metadata
from eval.building import (
    Built,
    BuiltImage,
    check_share,
    choose_val,
    clip_box,
    describe_val,
    find_folder,
    to_splits,
)  # fmt: skip
from eval.headers import read_headers
from eval.parsing import show
from eval.splits import ManifestError, is_text, leaves_root, tidy_path
from eval.tables import parse_float, read_lines, to_int
from eval.writing import check_free, write_data_set


def build_cub(
    source: str | Path,
    out: str | Path,
    *,
    val: float | None = None,
    seed: int = 0,
    force: bool = False,
) -> Built:
    """Write the splits of CUB-200-2011, all with boxes.

    Args:
        source: the official folder, or the one above it; a copy with fewer classes is valid
        out: folder to write
        val: share of every class's training images to move into a split `val`, to choose on;
            None for the official `train` and `test` alone
        seed: chooses which
        force: replace what an earlier run wrote

    Returns:
        the splits; a label is the rank of the class's number in `classes.txt`, sizes are those of
        the stored pixels, ids are relative to the folder `images`

    Raises:
        ManifestError: a faulty file or line, or something in the way
        ValueError: a share that is not between 0 and 1
    """
    check_share(val)
    check_free(out, force)
    refuse_metadata(Path(source))
    folder = find_folder(Path(source), "images.txt", "CUB_200_2011")
    names, images = read_cub(folder)
    headers = read_headers([folder / "images" / each.path for each in images])
    parts: dict[str, list[BuiltImage]] = {"train": [], "val": [], "test": []}
    for each, (width, height, _) in zip(images, headers, strict=True):
        box = clip_box(each.where, each.corners, (width, height))
        image = BuiltImage(each.path, each.label, (width, height), [box])
        parts["train" if each.train else "test"].append(image)
    chosen = choose_val(parts["train"], val, seed)
    parts["val"] = [image for image in parts["train"] if image.id in chosen]
    parts["train"] = [image for image in parts["train"] if image.id not in chosen]
    readable = [name.split(".", 1)[-1].replace("_", " ") for name in names]
    splits = to_splits(parts, readable)
    write_data_set(
        out,
        splits,
        description=f"CUB-200-2011, {len(names)} classes of birds{describe_val(val, seed)}",
        licence="CUB-200-2011: non-commercial research",
        classes=[{"label": label, "name": name} for label, name in enumerate(readable)],
        root=folder / "images",
        force=force,
    )
    return Built(folder / "images", splits)


@dataclass(frozen=True)
class CubImage:
    """One image of the download.

    Args:
        path: below the folder `images`
        label: rank of its class number among those of `classes.txt`
        train: it is in the official training set
        where: file and line of the box
        corners: x, y, x + width, y + height
    """

    path: str
    label: int
    train: bool
    where: str
    corners: tuple[float, float, float, float]


def read_cub(folder: Path) -> tuple[list[str], list[CubImage]]:
    """Read all tables; lines about images that `images.txt` does not list are passed over.

    Args:
        folder: with `images.txt`

    Returns:
        names by label, such as `001.Black_footed_Albatross`; images in the order of `images.txt`

    Raises:
        ManifestError: a missing file, or a line that breaks a rule
    """
    paths = _read_numbered(folder / "images.txt")
    names = _read_numbered(folder / "classes.txt")
    classes = _read_numbered(folder / "image_class_labels.txt")
    parts = _read_numbered(folder / "train_test_split.txt")
    boxes = _read_numbered(folder / "bounding_boxes.txt")
    labels = {number: label for label, number in enumerate(sorted(names))}
    images: dict[str, CubImage] = {}
    for number, (line, path) in paths.items():
        path = tidy_path(path)
        if not path or leaves_root(path) or not is_text(path):
            raise ManifestError(f"{line}: expected a path below images but got {path!r}")
        if path in images:
            raise ManifestError(f"{line}: expected every image once but got {path!r} again")
        for table, file in (
            (classes, "image_class_labels.txt"),
            (parts, "train_test_split.txt"),
            (boxes, "bounding_boxes.txt"),
        ):
            if number not in table:
                raise ManifestError(
                    f"{folder / file}: expected a line for every image but {number} ({path}) has "
                    "none"
                )
        line, text = classes[number]
        if to_int(text) not in names:
            raise ManifestError(f"{line}: expected a class of classes.txt but got {text!r}")
        if path.split("/")[0] != names[to_int(text)][1]:
            raise ManifestError(
                f"{line}: expected the class of {path!r} but got {names[to_int(text)][1]!r}"
            )
        where, part = parts[number]
        if part not in ("0", "1"):
            raise ManifestError(f"{where}: expected 1 (train) or 0 (test) but got {part!r}")
        where, box = boxes[number]
        images[path] = CubImage(
            path, labels[to_int(text)], part == "1", where, _corners(where, box)
        )
    return [names[number][1] for number in sorted(names)], list(images.values())


def _corners(where: str, text: str) -> tuple[float, float, float, float]:
    try:
        x, y, width, height = map(parse_float, text.split())
    except ValueError:
        x = y = width = height = math.nan
    good = all(abs(value) < 2**31 for value in (x, y, width, height))
    if not (good and width > 0 and height > 0):
        raise ManifestError(
            f"{where}: expected x y width height, with an area, but got {show(text)}"
        )
    return x, y, x + width, y + height


def _read_numbered(path: Path) -> dict[int, tuple[str, str]]:
    """Read lines `number rest`: (file and line, rest) by number."""
    rows: dict[int, tuple[str, str]] = {}
    for where, text in read_lines(path):
        number, _, rest = text.partition(" ")
        key = to_int(number)
        if key < 0 or not rest or key in rows:
            raise ManifestError(f"{where}: expected a new number and a value but got {show(text)}")
        rows[key] = where, rest.strip()
    return rows
