"""The official Tiny ImageNet download: 200 of ImageNet's classes at 64 pixels, with boxes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from eval.benchmark_metadata import refuse_metadata
from eval.building import Built, BuiltImage, clip_box, find_folder, list_classes, to_splits
from eval.headers import read_headers
from eval.image_names import is_image_name
from eval.imagenet import imagenet_outputs
from eval.parsing import show
from eval.splits import ManifestError, is_text
from eval.tables import read_lines, to_int
from eval.writing import check_free, write_data_set

CHOOSING = 5  # of every class's official validation images, the first ones: split `val`


def build_tiny_imagenet(
    source: str | Path,
    out: str | Path,
    *,
    val: float | None = None,
    seed: int = 0,
    force: bool = False,
) -> Built:
    """Write the splits of Tiny ImageNet, all with boxes.

    The official test images have no labels. Of the official validation images the first five of
    every class, by the numbers in their names, are `val`, to choose on; the others are `test`.

    Args:
        source: the official folder, with `wnids.txt`, or the one above it; a copy with fewer
            classes is valid
        out: folder to write
        val: None: `val` is not a share of the training images
        seed: not used
        force: replace what an earlier run wrote

    Returns:
        the splits; a label is the rank of the wnid among those of `wnids.txt`, ids are relative to
        the folder. In the tables both corners of a box are pixels inside it

    Raises:
        ManifestError: a faulty file or line, or something in the way
        ValueError: a share for `val`
    """
    if val is not None:
        raise ValueError(
            f"Expected no share for val but got {val:g}: the first {CHOOSING} official validation "
            "images of every class are Tiny ImageNet's val"
        )
    check_free(out, force)
    refuse_metadata(Path(source))
    folder = find_folder(Path(source), "wnids.txt", "tiny-imagenet-200")
    names = _read_names(folder)
    labels = {wnid: label for label, wnid in enumerate(names)}
    parts: dict[str, list[BuiltImage]] = {"train": [], "val": [], "test": []}
    for wnid, label in labels.items():
        place = f"train/{wnid}"
        rows = _read_boxes(folder / place / f"{wnid}_boxes.txt", {wnid}, wnid)
        parts["train"] += _build(folder, f"{place}/images", rows, {wnid: label})
    rows = _read_boxes(folder / "val" / "val_annotations.txt", set(names))
    seen: Counter[int] = Counter()
    for image in _build(folder, "val/images", rows, labels):
        parts["val" if seen[image.label] < CHOOSING else "test"].append(image)
        seen[image.label] += 1
    splits = to_splits(parts, list(names.values()))
    outputs = imagenet_outputs()
    write_data_set(
        out,
        splits,
        description=f"Tiny ImageNet, {len(names)} classes at 64 px; val is the first {CHOOSING} "
        "official validation images of every class, test the others",
        licence="ImageNet: non-commercial research",
        classes=list_classes(names, outputs if names.keys() <= outputs.keys() else {}),
        root=folder,
        force=force,
    )
    return Built(folder, splits)


def _read_names(folder: Path) -> dict[str, str]:
    """Read the first name of each class that the download has, by wnid, sorted by wnid.

    Raises:
        ManifestError: a missing file, a wnid twice, or one without a name
    """
    wnids: dict[str, str] = {}
    for where, wnid in read_lines(folder / "wnids.txt"):
        if wnid in wnids or not wnid.isalnum():
            raise ManifestError(f"{where}: expected a new wnid but got {show(wnid)}")
        wnids[wnid] = where
    words = {}
    for _, line in read_lines(folder / "words.txt"):
        wnid, _, rest = line.partition("\t")
        if wnid in wnids:
            words[wnid] = rest.split(",")[0].strip()
    for wnid, where in wnids.items():
        if not words.get(wnid):
            raise ManifestError(f"{where}: expected a name for {wnid} in {folder / 'words.txt'}")
    return {wnid: words[wnid] for wnid in sorted(wnids)}


def _read_boxes(
    path: Path, wnids: set[str], wnid: str = ""
) -> dict[str, tuple[str, str, list[list[int]]]]:
    """Read lines of a name, a wnid unless it is known, and the first and last pixel of a box.

    Args:
        path: of the table
        wnids: that there are
        wnid: of all lines; empty where each says its own

    Returns:
        by name, in the order of the numbers in it: file and line of the first box, wnid, boxes

    Raises:
        ManifestError: a line that breaks a rule
    """
    found: dict[str, tuple[str, str, list[list[int]]]] = {}
    for where, line in read_lines(path):
        name, *rest = line.split("\t")
        own = wnid or (rest.pop(0) if rest else "")
        corners = [to_int(text) for text in rest]
        if len(corners) != 4 or min(corners) < 0 or own not in wnids:
            raise ManifestError(
                f"{where}: expected a name{'' if wnid else ', a wnid'} and x0 y0 x1 y1 but got "
                f"{show(line)}"
            )
        if "/" in name or not is_image_name(name) or not is_text(name):
            raise ManifestError(f"{where}: expected the name of an image but got {show(name)}")
        first, other, boxes = found.setdefault(name, (where, own, []))
        if other != own:
            raise ManifestError(f"{where}: expected the class of {first} but got {own}")
        boxes.append(corners)
    return dict(sorted(found.items(), key=lambda item: (_number(item[0]), item[0])))


def _number(name: str) -> int:
    return to_int(Path(name).stem.rpartition("_")[2])


def _build(
    folder: Path,
    place: str,
    rows: dict[str, tuple[str, str, list[list[int]]]],
    labels: dict[str, int],
) -> list[BuiltImage]:
    headers = read_headers([folder / place / name for name in rows])
    images = []
    for (name, (where, wnid, corners)), header in zip(rows.items(), headers, strict=True):
        size = (header.width, header.height)
        boxes = [clip_box(where, box, size) for box in corners]
        images.append(BuiltImage(f"{place}/{name}", labels[wnid], size, boxes))
    return images
