"""The official ILSVRC localization download: where its parts lie, and which belong together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from eval.annotations import Annotation, read_solution, read_xml
from eval.folders import list_folders, list_images
from eval.splits import ManifestError
from eval.tables import read_lines

_TABLES = ("", "ILSVRC/", "../")  # where Kaggle's tables lie, seen from the source


@dataclass(frozen=True)
class Ilsvrc:
    """What a download holds.

    Args:
        root: folder that the ids are relative to
        names: by wnid, sorted by wnid, so that a class's label is its place
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
    mapping = _look_for(source, *(f"{place}LOC_synset_mapping.txt" for place in _TABLES))
    train = _list_train(root)
    test = _read_test(root, source, annotations)
    if not train and not test:
        raise ManifestError(f"{root}: expected images in train or val but found none")
    found = {wnid: str(root / "train" / wnid) for wnid in train.values()}
    found |= {annotation.wnid: annotation.where for annotation in test.values()}
    names = {wnid: wnid for wnid in sorted(found)}
    if mapping is not None:
        names = read_synsets(mapping)
        for wnid, where in found.items():
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
            raise ManifestError(f"{where}: expected a new wnid and its names but got {line!r}")
        names[wnid] = rest.split(",")[0].strip()
    return dict(sorted(names.items()))


def _look_for(source: Path, *places: str) -> Path | None:
    return next((source / place for place in places if (source / place).exists()), None)


def _list_train(root: Path) -> dict[str, str]:
    folder = root / "train"
    found: dict[str, str] = {}
    for wnid in list_folders(folder) if folder.is_dir() else ():
        images = list_images(folder / wnid)
        if not images:
            raise ManifestError(f"{folder / wnid}: expected images but found none")
        found |= {f"train/{wnid}/{image}": wnid for image in images}
    return found


def _read_test(root: Path, source: Path, annotations: Path | None) -> dict[str, Annotation]:
    folder = root / "val"
    images = list_images(folder) if folder.is_dir() else []
    if not images:
        return {}
    solution = _look_for(source, *(f"{place}LOC_val_solution.csv" for place in _TABLES))
    xml = {} if annotations is None else {p.stem: p for p in (annotations / "val").rglob("*.xml")}
    if not xml and solution is None:
        raise ManifestError(
            f"{source}: expected the validation images' boxes in Annotations/CLS-LOC/val/*.xml or "
            "in LOC_val_solution.csv"
        )
    table = {} if xml or solution is None else read_solution(solution)
    place = annotations / "val" if xml and annotations else solution
    found: dict[str, Annotation] = {}
    seen: set[str] = set()
    for image in sorted(images, key=lambda image: PurePosixPath(image).name):
        stem = PurePosixPath(image).stem
        if stem not in (xml or table):
            raise ManifestError(f"{place}: expected boxes of {folder / image} but there are none")
        if stem in seen:
            raise ManifestError(f"{folder / image}: expected every image once")
        seen.add(stem)
        each = read_xml(xml[stem]) if xml else table[stem]
        wnid = image.split("/")[0] if "/" in image else each.wnid  # sorted into classes, or flat
        if wnid != each.wnid:
            raise ManifestError(
                f"{each.where}: expected {wnid}, the folder of {image}, but got {each.wnid}"
            )
        found[f"val/{image}"] = each
    return found
