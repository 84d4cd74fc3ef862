"""COCO results with the images that they are of, and COCO data sets of predicted boxes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eval.coco import LABEL_STUDIO
from eval.parsing import read_json, show
from eval.records import Records
from eval.splits import ManifestError
from wsol.readers.found_boxes import Edges, FoundBox, FoundBoxes, FoundClass
from wsol.readers.json_values import is_number

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Its boxes are drawn on the upright photograph.
_STORED = " (Label Studio's COCO has sizes of the stored photographs: take its JSON export)"


def read_coco_boxes(path: Path, data: Path | None, content: Any) -> Iterator[FoundBoxes]:
    """Read results (a list), or a data set (`images`, `annotations`, `categories`).

    Images and categories of results are those of the file beside that is called alike, with
    `images` in place of `results` (`coco_images.json`); else those of the data set that is scored;
    else an `image_id` is the image's name and a `category_id` its label.

    Args:
        path: of the file
        data: file of a COCO data set that is scored, or None
        content: of the file

    Raises:
        ManifestError: something else, or a record that breaks a rule
    """
    if isinstance(content, dict):
        yield from _join(path, content, Records(path, content, "annotations"), path, content)
        return
    results = Records(path, {"results": content}, "results")
    beside = path.with_name(path.name.replace("results", "images"))
    truth = beside if beside != path and beside.is_file() else data
    if truth is None:
        yield from _by_name(path, results)
        return
    known = read_json(truth)
    if not isinstance(known, dict):
        raise ManifestError(f"{truth}: expected a COCO data set but got {show(known)}")
    images = _join(path, known, results, truth, known)
    yield from images if truth == beside else (each for each in images if each.boxes)


def _join(
    path: Path, known: dict[str, Any], results: Records, truth: Path, content: dict[str, Any]
) -> Iterator[FoundBoxes]:
    """Put results to the images that a file numbers."""
    categories = Records(truth, known, "categories")
    ids = [categories.whole(i, "id", least=0) for i in range(len(categories))]
    categories.once("id", ids)
    names = dict(zip(ids, categories.texts("name"), strict=True))
    kinds = {key: FoundClass(rank, names[key]) for rank, key in enumerate(sorted(ids))}
    info = known.get("info")
    studio = isinstance(info, dict) and info.get("contributor") == LABEL_STUDIO
    images = Records(truth, content, "images")
    keys = [images.key(i, "id") for i in range(len(images))]
    images.once("id", keys)
    found = {
        key: FoundBoxes(
            f"{truth}: images[{i}]",
            (*_list_original(images[i]), file),
            size=(images.whole(i, "width", least=1), images.whole(i, "height", least=1)),
            swapped=_STORED if studio else "",
        )
        for i, (key, file) in enumerate(zip(keys, images.texts("file_name"), strict=True))
    }
    rows = {key: row for row, key in enumerate(keys)}
    ranks = {key: rank for rank, key in enumerate(ids)}
    for i in range(len(results)):
        image = found[results.known(i, "image_id", rows)]
        kind = kinds[results.known(i, "category_id", ranks)]
        image.boxes.append(FoundBox(_read_edges(results, i), _read_score(results, i), kind))
    yield from found.values()


def _list_original(image: dict[str, Any]) -> Iterator[str]:
    """Give the name of what an image is an upright copy of, where its record tells."""
    if isinstance(name := image.get("original"), str) and name:
        yield name


def _by_name(path: Path, results: Records) -> Iterator[FoundBoxes]:
    """Take `image_id` for the image's name, as some programs write it."""
    found: dict[str, FoundBoxes] = {}
    for i in range(len(results)):
        name = results[i].get("image_id")
        if not isinstance(name, str):
            beside = path.with_name(path.name.replace("results", "images"))
            raise results.fault(
                i,
                f"expected image_id to be a file name but got {show(name)}: put the file of images "
                f"that has these numbers beside it as {beside.name}, or score the COCO file that "
                "they are of as DATA",
            )
        kind = None
        if results[i].get("category_id") is not None:
            kind = FoundClass(results.whole(i, "category_id", least=0))
        image = found.setdefault(name, FoundBoxes(f"{path}: results[{i}]", (name,)))
        image.boxes.append(FoundBox(_read_edges(results, i), _read_score(results, i), kind))
    yield from found.values()


def _read_edges(results: Records, i: int) -> Edges:
    box = results[i].get("bbox")
    if not (isinstance(box, list) and len(box) == 4 and all(map(is_number, box))):
        raise results.fault(i, f"expected bbox to be x,y,width,height but got {show(box)}")
    x, y, width, height = map(float, box)
    return x, y, x + width, y + height


def _read_score(results: Records, i: int) -> float | None:
    score = results[i].get("score")
    if score is not None and not is_number(score):
        raise results.fault(i, f"expected score to be a number but got {show(score)}")
    return None if score is None else float(score)
