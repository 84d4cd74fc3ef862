"""The official ILSVRC localization download: its parts found and matched, its splits built."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from eval.annotations import Annotation, read_solution, read_xml
from eval.benchmark_metadata import refuse_metadata
from eval.building import (
    Built,
    BuiltImage,
    check_share,
    choose_val,
    clip_box,
    describe_val,
    list_classes,
    to_splits,
)  # fmt: skip
from eval.folders import list_folders, list_images
from eval.headers import read_headers
from eval.parsing import show
from eval.splits import ManifestError
from eval.tables import read_lines
from eval.writing import check_free, write_data_set
from eval.written_files import WrittenFiles, warn_of_written

_TABLES = ("", "ILSVRC/", "../")  # where Kaggle's tables lie, seen from the source


def build_ilsvrc(
    source: str | Path,
    out: str | Path,
    *,
    val: float | None = None,
    seed: int = 0,
    force: bool = False,
) -> Built:
    """Write the splits of ILSVRC's localization task; `test` is the official validation set.

    Args:
        source: folder with `ILSVRC/` or `Data/`, or with `train/` and `val/`; the boxes come from
            `Annotations/CLS-LOC/val`, else from `LOC_val_solution.csv`
        out: folder to write
        val: share of every class's training images to move into a split `val`, to choose on,
            taken from those with boxes in `Annotations/CLS-LOC/train`; None for no such split
        seed: chooses which
        force: replace what an earlier run wrote

    Returns:
        the splits; a label is the rank of the wnid among those of `LOC_synset_mapping.txt`, or
        without it among those that occur; `train` has labels only; ids are relative to
        `Data/CLS-LOC`

    Raises:
        ManifestError: a faulty file or line, or something in the way
        ValueError: a share that is not between 0 and 1
    """
    check_share(val)
    check_free(out, force)
    refuse_metadata(Path(source))
    download = read_ilsvrc(Path(source))
    labels = {wnid: label for label, wnid in enumerate(download.names)}
    train = [BuiltImage(image_id, labels[wnid]) for image_id, wnid in download.train.items()]
    files = {i: path for i in download.train if val and (path := download.find_box_file(i))}
    chosen = choose_val(train, val, seed, files)
    if val is not None and not chosen:
        raise ManifestError(f"{source}: expected boxes for val in Annotations/CLS-LOC/train")
    parts = {
        "train": [image for image in train if image.id not in chosen],
        "val": _with_boxes(download.root, {i: read_xml(files[i]) for i in chosen}, labels),
        "test": _with_boxes(download.root, download.test, labels),
    }
    splits = to_splits(parts, list(download.names.values()))
    write_data_set(
        out,
        splits,
        description=f"ILSVRC 2012 localization, {len(labels)} classes; test is the official "
        f"validation set{describe_val(val, seed)}",
        licence="ImageNet: non-commercial research",
        # All of ImageNet's classes, sorted, are in the order of the networks that know them.
        classes=list_classes(download.names, labels if len(labels) == 1000 else {}),
        root=download.root,
        force=force,
    )
    return Built(download.root, splits)


def _with_boxes(
    root: Path, annotations: dict[str, Annotation], labels: dict[str, int]
) -> list[BuiltImage]:
    unknown = [image_id for image_id, each in annotations.items() if each.size is None]
    headers = read_headers([root / image_id for image_id in unknown])
    sizes = {i: (width, height) for i, (width, height, _) in zip(unknown, headers, strict=True)}
    images = []
    for image_id, each in annotations.items():
        size = each.size or sizes[image_id]
        boxes = [clip_box(where, box, size) for where, box in each.boxes]
        images.append(BuiltImage(image_id, labels[each.wnid], size, boxes))
    return images


@dataclass(frozen=True)
class Ilsvrc:
    """What a download holds.

    Args:
        root: folder that the ids are relative to
        names: by wnid, sorted by wnid, so that a class's label is its position
        train: wnid by id, class by class
        test: annotation by id of the official validation images, in the order of their names
        boxes: folder with the training images' annotations, or None
    """

    root: Path
    names: dict[str, str]
    train: dict[str, str]
    test: dict[str, Annotation]
    boxes: Path | None

    def find_box_file(self, image_id: str) -> Path | None:
        """Find the annotation of a training image; about half of them have one."""
        name = f"{PurePosixPath(image_id).stem}.xml"
        path = None if self.boxes is None else self.boxes / self.train[image_id] / name
        return path if path is not None and path.is_file() else None


def read_ilsvrc(source: Path) -> Ilsvrc:
    """Find the images and read the validation images' annotations.

    Args:
        source: folder with `ILSVRC/` or `Data/`, or with `train/` and `val/`

    Raises:
        ManifestError: a missing part, or a file that breaks a rule
    """
    data = _look_for(source, "ILSVRC/Data/CLS-LOC", "Data/CLS-LOC", "train", "val")
    if data is None:
        raise ManifestError(f"{source}: expected ILSVRC/Data/CLS-LOC, Data/CLS-LOC, train or val")
    root = data if data.name == "CLS-LOC" else source
    annotations = _look_for(source, "ILSVRC/Annotations/CLS-LOC", "Annotations/CLS-LOC")
    mapping = _look_for(source, *(f"{folder}LOC_synset_mapping.txt" for folder in _TABLES))
    train = _list_train(root)
    test = _read_test(root, source, annotations)
    if not train and not test:
        raise ManifestError(f"{root}: expected images in train or val but found none")
    source_of = {wnid: str(root / "train" / wnid) for wnid in train.values()}
    source_of |= {annotation.wnid: annotation.where for annotation in test.values()}
    names = {wnid: wnid for wnid in sorted(source_of)}
    if mapping is not None:
        names = read_synsets(mapping)
        for wnid, where in source_of.items():
            if wnid not in names:
                raise ManifestError(f"{where}: expected a class of {mapping} but got {wnid!r}")
    boxes = None if annotations is None else annotations / "train"
    return Ilsvrc(root, names, train, test, boxes)


def read_synsets(path: Path) -> dict[str, str]:
    """Read the names of all classes (`wnid name, other name, ...`).

    Returns:
        first name by wnid, sorted by wnid

    Raises:
        ManifestError: a line that breaks the rule, or a wnid twice
    """
    names: dict[str, str] = {}
    for where, line in read_lines(path):
        wnid, _, rest = line.partition(" ")
        if not rest or wnid in names:
            raise ManifestError(f"{where}: expected a new wnid and its names but got {show(line)}")
        names[wnid] = rest.split(",")[0].strip()
    return dict(sorted(names.items()))


def _look_for(source: Path, *candidates: str) -> Path | None:
    paths = (source / candidate for candidate in candidates)
    return next((path for path in paths if path.exists()), None)


def _list_train(root: Path) -> dict[str, str]:
    folder = root / "train"
    wnids: dict[str, str] = {}
    told: list[Path] = []
    written = WrittenFiles(told.append)
    for wnid in list_folders(folder, written) if folder.is_dir() else ():
        images = list_images(folder / wnid, written)
        if not images:
            raise ManifestError(f"{folder / wnid}: expected images but found none")
        wnids |= {f"train/{wnid}/{image}": wnid for image in images}
    warn_of_written(told)
    return wnids


def _read_test(root: Path, source: Path, annotations: Path | None) -> dict[str, Annotation]:
    folder = root / "val"
    told: list[Path] = []
    images = list_images(folder, WrittenFiles(told.append)) if folder.is_dir() else []
    warn_of_written(told)
    if not images:
        return {}
    solution = _look_for(source, *(f"{above}LOC_val_solution.csv" for above in _TABLES))
    xml = {} if annotations is None else {p.stem: p for p in (annotations / "val").rglob("*.xml")}
    if not xml and solution is None:
        raise ManifestError(
            f"{source}: expected the validation images' boxes in Annotations/CLS-LOC/val/*.xml or "
            "in LOC_val_solution.csv"
        )
    table = {} if xml or solution is None else read_solution(solution)
    boxes_from = annotations / "val" if xml and annotations else solution
    annotation_of: dict[str, Annotation] = {}
    seen: set[str] = set()
    for image in sorted(images, key=lambda image: PurePosixPath(image).name):
        stem = PurePosixPath(image).stem
        if stem not in (xml or table):
            raise ManifestError(
                f"{boxes_from}: expected boxes of {folder / image} but there are none"
            )
        if stem in seen:
            raise ManifestError(f"{folder / image}: expected every image once")
        seen.add(stem)
        each = read_xml(xml[stem]) if xml else table[stem]
        wnid = image.split("/")[0] if "/" in image else each.wnid  # sorted into classes, or flat
        if wnid != each.wnid:
            raise ManifestError(
                f"{each.where}: expected {wnid}, the folder of {image}, but got {each.wnid}"
            )
        annotation_of[f"val/{image}"] = each
    return annotation_of
