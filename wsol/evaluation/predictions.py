"""The classes that any program predicts of a split's images: a table of them, or logits."""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from eval.splits import MOST_CLASSES, ManifestError
from eval.tables import guard_cell, parse_float, parse_int, read_table
from wsol.evaluation.file_faults import OF_NO_IMAGE, OF_SEVERAL, FileFaults
from wsol.evaluation.id_paths import IdPaths
from wsol.evaluation.map_source import TOP
from wsol.evaluation.npy_files import read_array
from wsol.images import ImageError
from wsol.label_matching import find_label
from wsol.out_files import writing_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from eval.splits import Split

OTHER = -1  # a class that the data set does not have
_MOST_LOGITS = 1 << 32  # bytes; ImageNet's 50,000 images with 1000 float64 have a tenth
_COLUMNS = ("id", "label", "score", "rank")


@dataclass(frozen=True, eq=False)
class Predictions:
    """Predicted classes of every image of a split.

    Args:
        tops: by row of the split, as `FoundMap.top`: labels of the data, or `OTHER`; empty for an
            image without a prediction
        places: how many of an image's first classes are known: 5, or 1 where the file lists fewer
        notes: what people should know
    """

    tops: tuple[tuple[tuple[int, float], ...], ...]
    places: int
    notes: tuple[str, ...] = ()

    def rank(self, row: int, label: int) -> int:
        """Position of a class among an image's predictions, from 0; 5 where it is not listed."""
        labels = [each for each, _ in self.tops[row]]
        return labels.index(label) if label in labels else TOP

    def score(self, row: int, label: int) -> float:
        """Score of a class on an image; NaN where the file has none."""
        return dict(self.tops[row]).get(label, float("nan"))

    def predicted(self, row: int) -> int | None:
        """Most probable class of an image; None where it is none of the data's, or unknown."""
        first = next(iter(self.tops[row]), (OTHER, 0.0))[0]
        return None if first == OTHER else first

    def origin(self, split: Split) -> dict[str, list[str]]:
        """Tell which images have no usable prediction and count as misclassified, if any do."""
        missing = [each for each, top in zip(split.ids, self.tops, strict=True) if not top]
        return {"unpredicted": missing} if missing else {}

    @property
    def digest(self) -> str:
        """Hash of all of it, in hexadecimal."""
        return hashlib.sha256(repr((self.tops, self.places)).encode()).hexdigest()


def read_predictions(
    path: Path,
    split: Split,
    *,
    count: Callable[[int], int],
    table: Mapping[int, int] | None = None,
    named_table: Mapping[int, int] | None = None,
    others: Callable[[], Iterable[str]] = tuple,
    allow_missing: bool | None = False,
) -> Predictions:
    """Read predicted classes.

    Args:
        path: a table with the columns `id,label` and perhaps `score` and `rank` (from 1, the best),
            up to five rows an image, which without ranks are in the order of their scores, and
            without these in their own; or logits, `.npy`, (N, K), in the order of the split's ids
        split: whose images they are
        count: gives the number of the data set's classes, which can end once it has so many
        table: index among the outputs of a network by label, where the file numbers those; None
            where it has the data's labels, names or WordNet ids
        named_table: the same, for logits alone whose classes are not as many as the data's
        others: gives the ids of further images that the file may have; called where it has some
        allow_missing: count an image without a usable prediction as misclassified, and pass over
            what is of no image; None as for `FileFaults`

    Raises:
        ManifestError: a file that cannot be read, or one with faults that are not allowed
    """
    faults = FileFaults(path, len(split))
    if path.suffix == ".npy":
        tops, complete = _read_logits(path, split, count, table or named_table, faults)
    else:
        tops = _read_rows(path, split, count, table, others, faults)
        complete = TOP if table else min(count(TOP), TOP)
    notes = faults.settle(allow_missing, "counted as misclassified")
    unlisted = [
        len(top)
        for top, label in zip(tops, split.labels.tolist(), strict=True)
        if top and label not in [each for each, _ in top]
    ]
    return Predictions(tuple(tops), TOP if min(unlisted, default=TOP) >= complete else 1, notes)


def count_outputs(table: Mapping[int, int]) -> int:
    """Count the outputs of a network that a table of classes tells of, ImageNet's at least."""
    return max(1000, *(output + 1 for output in table.values()))


def _to_labels(table: Mapping[int, int] | None) -> dict[int, int] | None:
    return None if table is None else {output: label for label, output in table.items()}


def _read_rows(
    path: Path,
    split: Split,
    count: Callable[[int], int],
    table: Mapping[int, int] | None,
    others: Callable[[], Iterable[str]],
    faults: FileFaults,
) -> list[tuple[tuple[int, float], ...]]:
    """Read a table's rows, and put each image's in order."""
    rows_of: dict[str, list[tuple[int, float, int | None]]] = {each: [] for each in split.ids}
    known = IdPaths(split.ids, others)
    labels = _to_labels(table)
    outputs = 0 if table is None else count_outputs(table)

    @cache  # of a million rows most have a class that was met before
    def read_label(text: str) -> int:
        try:
            return parse_int(text)
        except ValueError:
            label = find_label(text, split) if table is None else None
            if label is None:
                raise
            return label

    for where, cells in read_table(path, ("id", "label")):
        image_id = known.find(cells["id"])
        if image_id is None:
            if not known.is_other(cells["id"]):
                several = known.tell_several(cells["id"])
                faults.add(OF_SEVERAL if several else OF_NO_IMAGE, cells["id"], several)
            continue
        try:
            text = cells["label"] if table is None else cells.get("output") or cells["label"]
            number = read_label(text) if text.strip() or table is not None else None
            score = parse_float(cells["score"]) if cells.get("score", "").strip() else float("nan")
            rank = parse_int(cells["rank"]) if cells.get("rank", "").strip() else None
        except ValueError as error:
            raise ManifestError(f"{where}: {error}") from error
        if number is not None and not 0 <= number < (outputs or count(number + 1)):
            last = (outputs or count(MOST_CLASSES)) - 1
            faults.add(f"with labels beyond 0 to {last}", image_id)
            number = None
        elif number is not None and labels is not None:
            number = labels.get(number)
        rows_of[image_id].append((OTHER if number is None else number, score, rank))
    return [_sort(image_id, rows, faults) for image_id, rows in rows_of.items()]


def _sort(
    image_id: str, rows: list[tuple[int, float, int | None]], faults: FileFaults
) -> tuple[tuple[int, float], ...]:
    """Put an image's rows in order, the best first; none of them where they cannot be."""
    ranks = [rank for _, _, rank in rows]
    labels = [label for label, _, _ in rows if label != OTHER]
    scored = [score == score for _, score, _ in rows]
    reason = ""
    if not rows:
        reason = "missing"
    elif len(set(labels)) < len(labels) or (None not in ranks and len(set(ranks)) < len(ranks)):
        reason = "doubled"
    elif len(rows) > TOP or any(rank is not None and not 1 <= rank <= TOP for rank in ranks):
        reason = f"with ranks beyond 1 to {TOP}"
    elif None in ranks and any(rank is not None for rank in ranks):
        reason = "with ranks in some of their rows alone"
    elif None not in ranks and sorted(map(int, filter(None, ranks))) != [*range(1, len(rows) + 1)]:
        reason = "with ranks left out"
    if reason or faults.has(image_id):
        if reason:
            faults.add(reason, image_id)
        return ()
    if None not in ranks:
        rows = sorted(rows, key=lambda row: row[2] or 0)
    elif all(scored):
        rows = sorted(rows, key=lambda row: -row[1])
    return tuple((label, score) for label, score, _ in rows)


def _read_logits(
    path: Path,
    split: Split,
    count: Callable[[int], int],
    table: Mapping[int, int] | None,
    faults: FileFaults,
) -> tuple[list[tuple[tuple[int, float], ...]], int]:
    """Read logits, of which scores are made by softmax."""
    try:
        logits = read_array(path, _MOST_LOGITS, "logits")
    except ImageError as error:
        raise ManifestError(str(error)) from error
    if logits.ndim != 2 or len(logits) != len(split):
        raise ManifestError(
            f"{path}: expected logits of shape (N, K) with a row for each of {len(split)} images "
            f"of {split.name}, in their order, but got {logits.shape}"
        )
    classes = logits.shape[1]
    known = count(classes)
    labels = _to_labels(table) if classes != known else None
    if classes != known and (labels is None or max(labels) >= classes):
        raise ManifestError(
            f"{path}: expected logits of the data's {known} classes but got {classes} columns; "
            "--classes says which of them a label is"
        )
    tops: list[tuple[tuple[int, float], ...]] = []
    for image_id, row in zip(split.ids, logits, strict=True):
        if not np.isfinite(row).all():
            faults.add("with values that are not finite", image_id)
            tops.append(())
            continue
        order = np.argsort(-row.astype(np.float64), kind="stable")[:TOP]
        shares = np.exp(row.astype(np.float64) - float(row.max()))
        shares /= shares.sum()
        numbers = [n if labels is None else labels.get(n, OTHER) for n in order.tolist()]
        tops.append(tuple(zip(numbers, shares[order].tolist(), strict=True)))
    return tops, min(classes, TOP)


def write_predictions(
    path: Path,
    ids: Sequence[str],
    tops: Iterable[tuple[int, Sequence[tuple[int, float]]]],
    classes: Mapping[int, int] | None,
) -> None:
    """Write predicted classes as `read_predictions` reads them.

    Args:
        path: of the file
        ids: of all images
        tops: rows of images, each with its most probable classes and their scores
        classes: index among the outputs by label, where the classes are outputs; a further column
            then has these numbers, and a label that the data lacks stays empty
    """
    labels = _to_labels(classes)
    header = _COLUMNS if labels is None else (*_COLUMNS, "output")
    with writing_file(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
        table = csv.writer(file)
        table.writerow(header)
        for row, top in tops:
            for rank, (number, score) in enumerate(top, start=1):
                told: Any = number if labels is None else labels.get(number)
                told = "" if told in (None, OTHER) else told
                cells = [ids[row], told, score if np.isfinite(score) else "", rank, number]
                table.writerow(map(guard_cell, cells[: len(header)]))
