"""The manifests that come with the project, and what each promises about its files."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.manifest import FILES, ManifestError, list_splits, load_split

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclass(frozen=True)
class DataSet:
    """A data set as its `manifest.toml` describes it.

    Args:
        name: of its folder
        description: one line
        licence: terms of its images
        splits: by name, the counts `images` and `boxes`, and `sha256` by file
        images: sha256 by image id, where the images are few
    """

    name: str
    description: str
    licence: str
    splits: dict[str, dict[str, Any]]
    images: dict[str, str]


def manifests_folder() -> Path:
    """Return the folder of the shipped manifests: beside the checkout, or inside the wheel."""
    package = Path(__file__).resolve().parent
    checkout = package.parent / "data_manifests"
    return checkout if checkout.is_dir() else package / "data_manifests"


def list_data_sets() -> list[DataSet]:
    """Describe every shipped data set."""
    found = sorted(manifests_folder().glob("*/manifest.toml"))
    return [read_data_set(path.parent) for path in found]


def read_data_set(folder: Path) -> DataSet:
    """Read a data set's `manifest.toml`.

    Raises:
        ManifestError: a missing or broken file
    """
    path = folder / "manifest.toml"
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content.get("splits"), dict):
            raise KeyError("splits")
        return DataSet(
            name=folder.name,
            description=content["description"],
            licence=content["licence"],
            splits=content["splits"],
            images=content.get("images", {}),
        )
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, KeyError) as error:
        raise ManifestError(f"{path}: expected a description of a data set ({error})") from error


def check_data(data: Path, root: Path | None = None) -> list[str]:
    """Check a data set: every line of every split, and what `manifest.toml` promises.

    Args:
        data: folder with one folder a split
        root: folder of the images; None leaves them unchecked

    Returns:
        one line a split, saying what is there

    Raises:
        ManifestError: the first fault, with file and line
    """
    names = list_splits(data)
    if not names:
        raise ManifestError(f"{data}: expected a folder with one folder a split")
    promised = read_data_set(data) if (data / "manifest.toml").is_file() else None
    for name in promised.splits if promised else ():
        if name not in names:
            raise ManifestError(f"{data}: expected split {name}, as manifest.toml has it")
    lines = []
    for name in names:
        split = load_split(data, name)
        boxes = sum(map(len, split.boxes or ()))
        if promised is not None:
            _compare(data, name, promised.splits.get(name, {}), len(split), boxes)
        if root is not None:
            for image_id in split.ids:
                _check_image(root / image_id, (promised.images if promised else {}).get(image_id))
        classes = len(set(split.labels.tolist()))
        lines.append(f"{name}: {len(split)} images, {classes} classes, {boxes} boxes")
    return lines


def _compare(data: Path, name: str, promise: dict[str, Any], images: int, boxes: int) -> None:
    for what, count in (("images", images), ("boxes", boxes)):
        if promise.get(what, count) != count:
            raise ManifestError(f"{data / name}: expected {promise[what]} {what} but got {count}")
    for file in FILES:
        wanted = promise.get("sha256", {}).get(file)
        if wanted is not None:
            _check_hash(data / name / file, wanted)


def _check_image(path: Path, wanted: str | None) -> None:
    if not path.is_file():
        raise ManifestError(f"{path}: expected an image but there is no such file")
    if wanted is not None:
        _check_hash(path, wanted)


def _check_hash(path: Path, wanted: str) -> None:
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != wanted:
        raise ManifestError(f"{path}: expected sha256 {wanted} but got {found}")
