"""What became of every image, as JSON Lines and as a table, beside the scores of all."""

from __future__ import annotations

import csv
import json
import os
from typing import TYPE_CHECKING, Any

from wsol.work_file import DATA, HEADER, RUN

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

SCORES, LINES, TABLE = "scores.json", "images.jsonl", "images.csv"
_COLUMNS = (
    "id", "label", "map_class", "rank", "score", "width", "height", "x0", "y0", "x1", "y1", "iou",
    "error", "best_threshold", "best_iou", "true_boxes", "pxap", "unreadable",
)  # fmt: skip


def write_results(folder: Path, scores: dict[str, Any], rows: Iterable[dict[str, Any]]) -> None:
    """Write per-image results and then the scores, whose file says that the others are whole.

    Args:
        folder: created where it does not exist
        scores: the JSON output
        rows: one record an image
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SCORES).unlink(missing_ok=True)
    with (
        (folder / LINES).open("w", encoding="utf-8") as lines,
        (folder / TABLE).open("w", encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        table = csv.DictWriter(file, _COLUMNS, extrasaction="ignore")
        table.writeheader()
        for row in rows:
            lines.write(json.dumps(row) + "\n")
            box = dict(zip(("x0", "y0", "x1", "y1"), row.get("box") or (), strict=False))
            flat = {**row, **box}
            if "true_boxes" in row:
                flat["true_boxes"] = len(row["true_boxes"])
            table.writerow(flat)
    unfinished = folder / f"{SCORES}.part"
    unfinished.write_text(json.dumps(scores) + "\n", encoding="utf-8")
    os.replace(unfinished, folder / SCORES)  # noqa: PTH105, atomic


def discard_results(folder: Path) -> None:
    """Delete what evaluations left in a folder, under any number of protocols."""
    for place in (folder, *(path for path in folder.glob("*") if path.is_dir())):
        for name in (SCORES, LINES, TABLE, RUN, DATA, HEADER):
            if place == folder or (place / SCORES).is_file() or (place / HEADER).is_file():
                (place / name).unlink(missing_ok=True)
