"""What became of every image, as JSON Lines and as a table, beside the scores of all."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

from eval.tables import guard_cell
from tdam.strict_json import dumps
from wsol.evaluation.resume_file import ALL_SETTINGS, DATA, HEADER, SETTINGS
from wsol.out_files import make_folder, write_file, writing_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

SCORES, LINES, TABLE = "scores.json", "images.jsonl", "images.csv"
PREDICTIONS = "top5.csv"  # the predicted classes, as `--predictions` reads them
CHOSEN = "chosen-on-val"  # folder of the results that a threshold was chosen by
NAMES = "names.json"
_COLUMNS = (
    "id", "label", "map_class", "predicted", "rank", "score", "width", "height", "x0", "y0",
    "x1", "y1", "iou", "error", "best_threshold", "best_iou", "true_boxes", "pxap", "unreadable",
)  # fmt: skip


def write_results(folder: Path, scores: dict[str, Any], rows: Iterable[dict[str, Any]]) -> None:
    """Write per-image results and then the scores, whose file says that the others are whole.

    Args:
        folder: created where it does not exist
        scores: the JSON output
        rows: one record an image
    """
    make_folder(folder)
    (folder / SCORES).unlink(missing_ok=True)
    with (
        writing_file(folder / LINES, encoding="utf-8") as lines,
        writing_file(
            folder / TABLE, encoding="utf-8", errors="surrogateescape", newline=""
        ) as file,
    ):
        table = csv.DictWriter(file, _COLUMNS, extrasaction="ignore")
        table.writeheader()
        for row in rows:
            lines.write(dumps(row) + "\n")
            box = dict(zip(("x0", "y0", "x1", "y1"), row.get("box") or (), strict=False))
            flat = {**row, **box}
            if "true_boxes" in row:
                flat["true_boxes"] = len(row["true_boxes"])
            table.writerow({key: guard_cell(value) for key, value in flat.items()})
    write_file(folder / SCORES, dumps(scores) + "\n")


def name_results(
    folder: Path,
    run: str,
    labels: dict[int, str],
    outputs: Sequence[str] | None,
    by_number: str = "",
    root: Path | None = None,
) -> None:
    """Write what people call a run and its classes beside its results.

    Args:
        folder: of the results, under any number of protocols
        run: what was scored
        labels: class names by label
        outputs: names of the network's outputs, or None for maps that came without one
        by_number: what to tell where labels are taken for the outputs' numbers
        root: of the images, for reports that are made later; None where it is not known
    """
    names = {
        "run": run,
        "labels": {str(label): name for label, name in labels.items()},
        "outputs": None if outputs is None else list(outputs),
        **({"by_number": by_number} if by_number else {}),
        **({} if root is None else {"root": str(root.resolve())}),
    }
    for home in _result_folders(folder):
        write_file(home / NAMES, dumps(names) + "\n")


def _result_folders(folder: Path) -> list[Path]:
    """Find where results lie: in the folder itself, or in one folder a protocol."""
    if (folder / SCORES).is_file():
        return [folder]
    return [path.parent for path in folder.glob(f"*/{SCORES}")]


def discard_results(folder: Path, keep_unfinished: bool = False) -> None:
    """Delete what evaluations left in a folder, under any number of protocols.

    Args:
        folder: of the results; those that a threshold was chosen by have a folder of their own
        keep_unfinished: whether the records of a run that has begun there stay
    """
    begun = () if keep_unfinished else (DATA, HEADER, ALL_SETTINGS)
    below = (path for path in folder.glob("*") if path.is_dir())
    inside = (path for path in below if not path.name.startswith(CHOSEN))
    for home in (folder, *inside):
        if home == folder or (home / SCORES).is_file() or (home / HEADER).is_file():
            # The settings first: without them nothing that is left is taken for a result.
            for name in (SETTINGS, SCORES, LINES, TABLE, PREDICTIONS, NAMES, *begun):
                (home / name).unlink(missing_ok=True)
