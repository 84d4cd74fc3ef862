"""The boxes of an evaluation, out of its per-image results, for other tools and for COCOeval."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from eval.coco import coco_scores
from tdam.atomic import naming
from tdam.events import SILENT
from wsol.evaluation.comparison import read_results
from wsol.results import Localization
from wsol.writers import create_writer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from eval.splits import Split
    from tdam.events import Events


def export_boxes(
    folder: Path,
    formats: Sequence[str],
    names: Sequence[str],
    root: Path | None,
    options: Mapping[str, Any],
    events: Events = SILENT,
) -> None:
    """Write the boxes of an evaluation in the formats of `predict`, beside its results.

    Args:
        folder: of the results
        formats: names of writers
        names: of the classes whose maps were scored
        root: of the images, or None
        options: for the formats that take them
        events: told what people should know of the files
    """
    rows = read_results(folder).rows.values()
    last = max((row["map_class"] for row in rows if row["map_class"] is not None), default=0)
    every = (*names, *(f"class {i}" for i in range(len(names), last + 1)))
    for name in formats:
        with naming(folder), create_writer(name, folder, every, **options) as writer:
            for row in rows:
                path = Path(row["id"]) if root is None else root / row["id"]
                if row["unreadable"]:
                    writer.add_error(path, row["unreadable"])
                else:
                    writer.add(_localize(row, every, path))
        for note in writer.notes:
            events.say(note)


def _localize(row: dict[str, Any], names: Sequence[str], path: Path) -> Localization:
    boxes = np.array([row["box"]] if row["box"] else [], np.float64).reshape(-1, 4)
    return Localization(
        label=row["map_class"],
        name=names[row["map_class"]],
        score=row["score"] or 0.0,
        boxes=boxes,
        box_scores=np.full(len(boxes), row["score"] or 0.0),
        steps=(),
        width=row["width"],
        height=row["height"],
        path=path,
    )


def score_coco(
    folder: Path, split: Split, classes: Mapping[int, int] | None = None
) -> dict[str, float]:
    """Score the boxes of an evaluation as COCO scores detections.

    Args:
        folder: of the results
        split: with true boxes
        classes: class whose map was scored by label; None means that they are the same. A box of
            a class that the split lacks counts neither for nor against

    Returns:
        as `eval.coco.coco_scores`
    """
    rows = read_results(folder).rows
    labels = None if classes is None else {index: label for label, index in classes.items()}
    detections: tuple[list[Any], list[Any], list[Any]] = ([], [], [])
    known = set(split.labels.tolist())
    for image_id in split.ids:
        row = rows[image_id]
        label = row["map_class"] if labels is None else labels.get(row["map_class"])
        boxes = [row["box"]] if row["box"] and label in known else []
        for part, value in zip(detections, ([label], [row["score"] or 0.0], boxes), strict=True):
            part.append(value[: len(boxes)])
    return coco_scores(split, *detections)
