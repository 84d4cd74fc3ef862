"""The standard evaluation's own metadata: its folders recognised, its loose list of boxes refused.

Its repository (https://github.com/clovaai/wsolevaluation) has `metadata/CUB`, `metadata/ILSVRC` and
`metadata/OpenImages`, each with one folder of four files a split, which are data as they are.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from eval.splits import ManifestError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from eval.splits import Split

_LOOSE = "image_id,x0,y0,x1,y1"  # head of the lists in the repository's `release/`
_LONGEST = 300  # characters of a first line
CUBV2_NOTE = (
    "release/CUBV2_boxes.txt holds x, y, width and height, although its head says corners; "
    "metadata/CUB/val/localization.txt has the corners of the same boxes"
)


@dataclass(frozen=True)
class Benchmark:
    """A data set of the standard evaluation.

    Args:
        name: as people call it
        ids: patterns of the ids by split; a group `label` is the label itself, a group `number`
            the label counted from 1
        images: how many each split has
        root: folder that the ids are relative to, in words
        val: where the photographs of `val` are from
    """

    name: str
    ids: Mapping[str, str]
    images: Mapping[str, int]
    root: str
    val: str


_BIRD = r"(?P<number>\d{3})\.\w[^/]*/[^/]+\.jpg"
BENCHMARKS = (
    Benchmark(
        "CUB",
        {"train": _BIRD, "val": _BIRD, "test": _BIRD},
        {"train": 5994, "val": 1000, "test": 5794},
        "the folder with 001.Black_footed_Albatross and so on, CUBV2's photographs among them",
        "CUBV2",
    ),
    Benchmark(
        "ILSVRC",
        {
            "train": r"train/n\d{8}/[^/]+\.JPEG",
            "val": r"val2/(?P<label>\d+)/\d+\.jpeg",
            "test": r"val/ILSVRC2012_val_\d{8}\.JPEG",
        },
        {"train": 1_281_167, "val": 10_000, "test": 50_000},
        "the folder with train, val2 (ImageNetV2) and val (flat)",
        "ImageNetV2",
    ),
    Benchmark(
        "OpenImages30k",
        {name: rf"{name}/\w+/[0-9a-f]{{16}}\.jpg" for name in ("train", "val", "test")},
        {"train": 29_819, "val": 2_500, "test": 5_000},
        "the folder with train, val and test, images and masks (--mask-root) alike",
        "OpenImages V5",
    ),
)


def find_benchmark(data: Path) -> Benchmark | None:
    """Tell which data set of the standard evaluation a folder describes.

    Args:
        data: folder with one folder a split, of which some may be missing; what a builder of ours
            wrote has a `manifest.toml` and is none

    Returns:
        the one whose splits all begin with an id of its kind, or None
    """
    if (data / "manifest.toml").is_file():
        return None
    firsts = {}
    for path in data.glob("*/image_ids.txt"):
        with path.open(encoding="utf-8", errors="replace") as file:
            firsts[path.parent.name] = file.readline(_LONGEST).strip()
    for benchmark in BENCHMARKS:
        ids = benchmark.ids
        if firsts and all(re.fullmatch(ids.get(k, "(?!)"), text) for k, text in firsts.items()):
            return benchmark
    return None


def check_ids(benchmark: Benchmark, split: Split) -> None:
    """Hold every id of a split against the layout, and its label where the id tells that too.

    Raises:
        ManifestError: it names the first id that is not as it should be
    """
    pattern = re.compile(benchmark.ids[split.name])
    for image_id, label in zip(split.ids, split.labels.tolist(), strict=True):
        match = pattern.fullmatch(image_id)
        if match is None:
            raise ManifestError(
                f"{split.name}/image_ids.txt: expected ids as {benchmark.name} of the standard "
                f"evaluation has them but got {image_id!r}"
            )
        told = match.groupdict()
        wanted = int(told["label"]) if "label" in told else int(told.get("number", label + 1)) - 1
        if wanted != label:
            raise ManifestError(
                f"{split.name}/class_labels.txt: expected label {wanted}, as {image_id!r} says, "
                f"but got {label}"
            )


def describe_benchmark(benchmark: Benchmark, splits: Mapping[str, Split]) -> list[str]:
    """Say what people should know of a metadata folder.

    Args:
        benchmark: of `find_benchmark`
        splits: by name

    Returns:
        a line each
    """
    lines = [
        f"{benchmark.name} of the standard evaluation (val: {benchmark.val}); DATA as it is, with "
        f"--root: {benchmark.root}"
    ]
    if benchmark.name == "CUB":
        lines.append(CUBV2_NOTE)
    for name, wanted in benchmark.images.items():
        if name not in splits:
            lines.append(f"{name} is missing, which has {wanted:,} images")
        elif len(splits[name]) != wanted:
            lines.append(f"{name} is a part: {len(splits[name]):,} of {wanted:,} images")
    return lines


def refuse_metadata(source: Path) -> None:
    """Say of splits of the standard evaluation that there is nothing to build from them.

    Raises:
        ManifestError: it says how they are used
    """
    benchmark = find_benchmark(source)
    if benchmark is not None:
        raise ManifestError(
            f"{source}: expected an official download but these are the splits of "
            f"{benchmark.name} of the standard evaluation: nothing has to be built, they are DATA "
            f"as they are, with --root: {benchmark.root}"
        )


def refuse_box_list(path: Path, first_line: str | None = None) -> None:
    """Refuse a loose list of boxes, whose columns need not be what its head says.

    Args:
        path: of a file
        first_line: of it; None to read it

    Raises:
        ManifestError: it is one; the message says what to take
    """
    if first_line is None:
        with path.open(encoding="utf-8", errors="replace") as file:
            first_line = file.readline(_LONGEST)
    if first_line.strip() == _LOOSE:
        raise ManifestError(
            f"{path}: expected a split in four files but this is one of the standard evaluation's "
            f"loose lists of boxes: {CUBV2_NOTE}, and metadata/ILSVRC those of ImageNetV2"
        )


def hint_at_sizes(box: tuple[int, int, int, int], size: tuple[int, int]) -> str:
    """Say of four numbers that are no corners that they may be x, y, width and height.

    Args:
        box: as it was read
        size: width and height of the image

    Returns:
        what a message can end in; empty where they are not that either
    """
    (x, y, width, height), (whole_width, whole_height) = box, size
    inside = min(x, y) >= 0 < min(width, height)
    inside &= x + width <= whole_width and y + height <= whole_height
    return f"; are these x, y, width and height? ({CUBV2_NOTE})" if inside else ""
