"""Pascal VOC: a folder with one XML file an image, pixels counted from 1, both ends included.

Numbers with a decimal point throughout, as CVAT and Datumaro write them, are outer edges instead,
and so are those of Label Studio, whose fractions are cut off. A file that has the element
`zero_based` counts from 0 up to the far edge.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from eval.annotations import CORNERS, read_objects
from eval.box_edges import check_box
from eval.label_files import ImagePairs, SeveralClassesError, list_label_files, make_split
from eval.splits import ManifestError, Split, is_text
from eval.tables import parse_float

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

Edges = tuple[float, float, float, float]


@dataclass(frozen=True)
class VocObject:
    """One object of an image.

    Args:
        where: file and line
        name: of its class; empty where it has none
        edges: x0 y0 x1 y1, outer edges in pixels of the file's size
        score: larger is more certain; None where the file has none
    """

    where: str
    name: str
    edges: Edges
    score: float | None


@dataclass(frozen=True)
class VocFile:
    """What a file says of its image.

    Args:
        names: of the image, the fullest path first; the file's own stem is the last one
        size: width and height; None where they are not told
        objects: in the order of the file
    """

    names: tuple[str, ...]
    size: tuple[int, int] | None
    objects: tuple[VocObject, ...]


def load_voc(
    folder: Path,
    name: str,
    root: Path | None = None,
    skip: Callable[[str], object] | None = None,
    data: Path | None = None,
    listed: Collection[str] | None = None,
) -> tuple[Split, Path]:
    """Read a folder of XML files.

    Args:
        folder: holds `.xml` files at any depth
        name: of the split
        root: where images lie that are not found beside the files
        skip: is told of every image with objects of several classes, and leaves it out; default:
            such an image is a fault
        data: as for `eval.label_files.ImagePairs`; ids are relative to the root then
        listed: paths of files relative to the folder, without suffix, that are read; None for all

    Returns:
        a split with boxes as first and last pixel, float64, whose classes are the names that
        occur, sorted; an image without an object is left out, since nothing tells its class; and
        the folder that its ids are relative to

    Raises:
        ManifestError: a file that breaks a rule, an image with objects of two classes, no image
            for a file, one image for two files, or no object at all
    """
    from eval.headers import read_header  # and what decodes images

    folder = folder.absolute()
    root = None if root is None else root.absolute()
    pairs = ImagePairs(folder, root, data)
    names: list[str] = []
    images: list[Path] = []
    sizes: list[tuple[int, int]] = []
    edges: list[np.ndarray] = []
    paths = sorted(list_label_files(folder, ".xml"))
    for path in paths:
        if listed is not None and path.relative_to(folder).with_suffix("").as_posix() not in listed:
            continue
        file = read_voc(path)
        kinds = sorted({each.name for each in file.objects})
        if not kinds:
            continue
        if len(kinds) > 1 or not kinds[0] or not is_text(kinds[0]):
            message = f"{path}: expected objects of one class, its label, but got {kinds}"
            if skip is None:
                raise SeveralClassesError(message)
            skip(message)
            continue
        image = pairs.find(path, file.names[:-1])
        if image is None:
            raise ManifestError(pairs.tell_missing(path, "JPEGImages/", file.names[:-1]))
        pairs.claim(image, path)
        names += kinds
        images.append(image)
        sizes.append(file.size or read_header(image).upright)
        for each in file.objects:
            check_box(each.edges, sizes[-1], each.where)
        edges.append(np.array([each.edges for each in file.objects]))
    if not images:
        raise ManifestError(
            f"{folder}: expected objects of one class an image but none of {len(paths)} XML files "
            "has any"
        )
    classes = tuple(sorted(set(names)))
    labels = [classes.index(each) for each in names]
    home = None if data is None else root
    split, home = make_split(name, images, labels, sizes, edges, home)
    return replace(split, class_names=classes), home


def list_voc_names(folder: Path) -> set[str]:
    """List the names of classes that occur in the XML files of a folder, at any depth."""
    paths = list_label_files(folder.absolute(), ".xml")
    return {each.name for path in paths for each in read_voc(path).objects}


def read_voc(path: Path) -> VocFile:
    """Read the file of one image; an object may have a `score`.

    Raises:
        ManifestError: no XML, or an object without the four corners of a `bndbox`
    """
    image, size, objects = read_objects(path)
    texts = [[fields.get(corner, "") for corner in CORNERS] for _, fields in objects]
    if image.get("owner/name") == "Label Studio":
        # of an edge that was cut off, the middle; and of the other, a sum of two of them
        shift = (0.5, 0.5, 1.0, 1.0)
    elif image.get("zero_based") == "1" or (
        texts and all("." in text for each in texts for text in each)
    ):
        shift = (0.0, 0.0, 0.0, 0.0)
    else:
        shift = (-1.0, -1.0, 0.0, 0.0)
    found = []
    for (line, fields), corners in zip(objects, texts, strict=True):
        where = f"{path}:{line}"
        score = fields.get("score") or fields.get("confidence")
        try:
            x0, y0, x1, y1 = (
                parse_float(text) + by for text, by in zip(corners, shift, strict=True)
            )
            certain = None if score is None else parse_float(score)
        except ValueError as error:
            raise ManifestError(f"{where}: expected xmin, ymin, xmax, ymax: {error}") from error
        found.append(VocObject(where, fields.get("name", ""), (x0, y0, x1, y1), certain))
    file, home = image.get("filename", ""), image.get("folder", "")
    inside = f"{home}/{file}" if home and file else ""
    # The original of an upright copy comes first: the data have no other name for it.
    names = (image.get("original", ""), image.get("path", ""), inside, file, path.stem)
    return VocFile(tuple(filter(None, names)), size, tuple(found))
