"""The manifests that come with the project, and what each promises about its files."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eval.benchmark_metadata import check_ids, describe_benchmark, find_benchmark
from eval.headers import read_headers
from eval.manifest import FILES, ManifestError, list_splits, load_split
from eval.stored_sizes import StoredSizes, fits
from tdam.toml_records import read_toml

if TYPE_CHECKING:
    from eval.manifest import Split


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
    manifests = sorted(manifests_folder().glob("*/manifest.toml"))
    return [read_data_set(path.parent) for path in manifests]


def read_data_set(folder: Path) -> DataSet:
    """Read a data set's `manifest.toml`.

    Raises:
        ManifestError: a missing or broken file
    """
    path = folder / "manifest.toml"
    try:
        content, _ = read_toml(path, "a description of a data set")
        if not isinstance(content.get("splits"), dict):
            raise KeyError("splits")
        return DataSet(
            name=folder.name,
            description=content["description"],
            licence=content["licence"],
            splits=content["splits"],
            images=content.get("images", {}),
        )
    except KeyError as error:
        raise ManifestError(f"{path}: expected a description of a data set ({error})") from error
    except ValueError as error:
        raise ManifestError(str(error)) from error


def find_data_set(name: str) -> DataSet:
    """Look a shipped data set up.

    Raises:
        ValueError: no data set has this name; the message lists those there are
    """
    known = {each.name: each for each in list_data_sets()}
    if name not in known:
        raise ValueError(f"Expected name to be one of {', '.join(known)} but got {name!r}")
    return known[name]


def tell_absent(data: str | Path) -> str:
    """Say that a data set is not there; of a shipped manifest, where it is and what it lacks.

    Args:
        data: path at which there is nothing

    >>> tell_absent("nowhere")
    'nowhere: no such file or folder'
    """
    said, path = f"{data}: no such file or folder", Path(data)
    manifest = manifests_folder() / path.name
    if not path.name or path != Path(path.name) or not (manifest / "manifest.toml").is_file():
        return said
    return (
        f"{said}; the manifest of this name that comes along is {manifest}, and the folder of its "
        "images is needed as root"
    )


def check_data(data: Path, root: Path | None = None, against: DataSet | None = None) -> list[str]:
    """Check a data set: every line of every split, and what descriptions of it promise.

    Args:
        data: as for `eval.manifest.open_data_set`; what a `manifest.toml` in it promises must hold
        root: folder of the images; None leaves them unchecked
        against: one more description whose promises must hold

    Returns:
        one line a split, saying what is there, and further ones of the standard evaluation's
        metadata; images may be stored in another size than the
        manifest says, since boxes scale with them, and the line says how many are

    Raises:
        ManifestError: the first fault, with file and line
    """
    names = list_splits(data)
    if not names:
        raise ManifestError(
            f"{data}: expected a folder with one folder a split, a COCO file, a folder of COCO, "
            "YOLO or VOC files, or class folders"
        )
    promised: list[tuple[str, DataSet]] = []
    if (data / "manifest.toml").is_file():
        promised.append(("manifest.toml", read_data_set(data)))
    if against is not None:
        promised.append((f"data set {against.name}", against))
    for source, each in promised:
        for name in each.splits:
            if name not in names:
                raise ManifestError(f"{data}: expected split {name}, as {source} has it")
    hashes = {image: digest for _, each in promised for image, digest in each.images.items()}
    lines = []
    benchmark = find_benchmark(data)
    splits = {}
    for name in names:
        split = splits[name] = load_split(data, name)
        if benchmark is not None:
            check_ids(benchmark, split)
        for source, each in promised:
            _compare(data / name, each.splits.get(name, {}), split, source)
        note = "" if root is None else _check_images(split, root, hashes)
        lines.append(split.summary + note)
    return lines if benchmark is None else [*lines, *describe_benchmark(benchmark, splits)]


def _compare(folder: Path, promise: dict[str, Any], split: Split, source: str) -> None:
    for what, count in (("images", len(split)), ("boxes", sum(map(len, split.boxes or ())))):
        if promise.get(what, count) != count:
            raise ManifestError(
                f"{folder}: expected {promise[what]} {what}, as {source} has it, but got {count}"
            )
    for file in FILES:
        wanted = promise.get("sha256", {}).get(file)
        if wanted is not None:
            _check_hash(folder / file, wanted)


def _check_images(split: Split, root: Path, hashes: dict[str, str]) -> str:
    """Check that the images are there, and say how many differ in size from the split."""
    paths = [root / image_id for image_id in split.ids]
    for path, image_id in zip(paths, split.ids, strict=True):
        if not path.is_file():
            raise ManifestError(f"{path}: expected an image but there is no such file")
        if image_id in hashes:
            _check_hash(path, hashes[image_id])
    if split.sizes is None:
        return ""
    headers = read_headers(paths)
    sizes = [(width, height) for width, height in split.sizes.tolist()]
    stored = StoredSizes(paths, sizes)
    resized, turned = 0, []
    for path, size, header in zip(paths, sizes, headers, strict=True):
        if header.upright == size:
            continue
        reason = stored.explain(header.upright, size)
        if not reason:
            resized += 1
        elif header.turned and fits((header.width, header.height), size):
            turned.append(path)
        else:
            raise ManifestError(f"{path}: {reason}")
    note = f"; {resized} stored in another size, boxes scale with them" if resized else ""
    if turned:
        note += f"; {len(turned)} turned by EXIF but boxed as stored, such as {turned[0]}"
    return note


def _check_hash(path: Path, wanted: str) -> None:
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read ({error.strerror})") from error
    if digest != wanted:
        raise ManifestError(f"{path}: expected sha256 {wanted} but got {digest}")
