"""The tables of a benchmark: means, differences, and one line a score with everything."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from tdam.atomic import write_atomic
from wsol.benchmarking.expected import SCORES
from wsol.report.tables import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from wsol.benchmarking.summary import Row, Value
    from wsol.report.tables import Cell

_HEADS = {
    "top1_loc": "Top-1 Loc",
    "top5_loc": "Top-5 Loc",
    "gt_known_loc": "GT-known",
    "max_box_acc": "MaxBoxAcc",
    "max_box_acc_v2": "MaxBoxAccV2",
    "top1_cls": "top-1 class",
}
_SPREAD = (
    "Percent: the mean over the seeds, and from the least to the greatest of them. MaxBoxAcc and "
    "MaxBoxAccV2 choose their thresholds on the scored images, and so does the rule oracle: they "
    "flatter."
)
_PAIRED = (
    "Points: the mean over the seeds that both have, taken image by image, less that of the model "
    "it is compared with, and its paired bootstrap 95 % interval over images. The interval tells "
    "what other images of the same kind would change, not what other seeds would, nor another "
    "threshold: under the rule val each seed's stays as it was chosen, and where that was on few "
    "images, its luck is in the difference."
)


def score_table(rows: Sequence[Row]) -> Table:
    """Tell the mean over the seeds and their spread."""
    return _make_table("scores", "Scores", rows, rows, _write_mean, _SPREAD)


def difference_table(rows: Sequence[Row]) -> Table | None:
    """Tell how every model differs from its reference, or None where there is no other."""
    paired = [row for row in rows if row.compared]
    if not paired:
        return None
    title = name_differences(paired)
    return _make_table("differences", title, rows, paired, _write_difference, _PAIRED)


def name_differences(rows: Sequence[Row]) -> str:
    """Name what rows are compared with, the rows' own texts saying the rest."""
    references = {row.reference for row in rows}
    return f"Differences from {references.pop()}" if len(references) == 1 else "Differences"


def name_compared(row: Row, rows: Sequence[Row]) -> str:
    """Name a row's model, and its reference where rows have several."""
    several = len({each.reference for each in rows}) > 1
    return f"{row.model} minus {row.reference}" if several else row.model


def _make_table(
    key: str,
    title: str,
    every: Sequence[Row],
    rows: Sequence[Row],
    write: Callable[[Value], str | None],
    note: str,
) -> Table:
    several = {
        "method": len({row.method for row in every}) > 1,
        "stride": len({row.output_stride for row in every}) > 1,
    }
    seeded = len({row.seeds for row in every}) > 1 or len(every[0].seeds) > 1
    header = ["model", *(["seeds"] if seeded else []), "threshold"]
    header += [name for name, wanted in several.items() if wanted]
    cells: list[tuple[Cell, ...]] = []
    for row in rows:
        seeds = row.seeds if key == "scores" else row.compared
        own: list[Cell] = [row.model if key == "scores" else name_compared(row, rows)]
        own += [", ".join(map(str, seeds))] if seeded else []
        own.append(_write_rule(row))
        own += [row.method] if several["method"] else []
        own += [str(row.output_stride)] if several["stride"] else []
        values = [row.values.get(name) for name in SCORES]
        own += [None if value is None else write(value) for value in values]
        cells.append(tuple(own))
    return Table(key, title, (*header, *_HEADS.values()), cells, {}, (note,))


def _write_rule(row: Row) -> str:
    low, high = min(row.levels), max(row.levels)
    if row.threshold == f"{low:g}" == f"{high:g}":
        return row.threshold
    span = f"{low:.3f}" if low == high else f"{low:.3f} to {high:.3f}"
    return f"{row.threshold} ({span})"


def _write_mean(value: Value) -> str:
    low, high = min(value.by_seed), max(value.by_seed)
    spread = f" ({low:.1f} to {high:.1f})" if len(value.by_seed) > 1 else ""
    return f"{value.mean:.1f}{spread}"


def _write_difference(value: Value) -> str | None:
    found = value.difference
    if found is None:
        return None
    return f"{found.difference:+.1f} ({found.low:+.1f} to {found.high:+.1f})"


def full_table(rows: Sequence[Row]) -> Table:
    """Tell everything in numbers, a line a model, way of scoring and score."""
    cells: list[tuple[Cell, ...]] = []
    for row in rows:
        for name in SCORES:
            value = row.values.get(name)
            if value is None:
                continue
            gap = value.difference
            points = None if gap is None else gap.difference
            ends = None if gap is None else (gap.low, gap.high)
            cells.append(
                (
                    *(row.model, row.method, row.output_stride, row.threshold),
                    *(" ".join(f"{level:g}" for level in row.levels),),
                    *(" ".join(map(str, row.seeds)), row.images, name, value.mean),
                    *((min(value.by_seed), max(value.by_seed)), value.interval95),
                    *(row.reference, " ".join(map(str, row.compared)), points, ends),
                )
            )
    header = (
        "model", "method", "output_stride", "threshold", "levels", "seeds", "images", "score",
        "mean", "spread", "interval95", "reference", "compared_seeds", "difference", "difference95",
    )  # fmt: skip
    return Table("table", "All values", header, cells, {})


def to_plain(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Turn rows into plain values for JSON."""
    found = []
    for row in rows:
        record = asdict(row)
        for name, value in row.values.items():
            gap = value.difference
            if gap is not None:
                record["values"][name]["difference"] = {
                    "points": gap.difference,
                    "interval95": [gap.low, gap.high],
                }
        del record["way"]
        found.append(record)
    return found


def write_tables(
    folder: Path, title: str, lines: Sequence[str], rows: Sequence[Row], record: dict[str, Any]
) -> None:
    """Write `table.md`, `table.csv` and `results.json`.

    Args:
        folder: exists
        title: of the Markdown
        lines: verdicts
        rows: of the tables
        record: what else the JSON says
    """
    parts = [f"# {title}", "\n".join(f"- {line}" for line in lines)]
    tables = [table for table in (score_table(rows), difference_table(rows)) if table is not None]
    parts += [table.to_markdown() for table in tables]
    text = "\n\n".join(part.strip() for part in parts if part) + "\n"
    write_atomic(folder / "table.md", text.encode("utf-8", "backslashreplace"))
    full_table(rows).save(folder, markdown=False)
    content = {"schema": 1, **record, "verdicts": list(lines), "rows": to_plain(rows)}
    write_atomic(folder / "results.json", (json.dumps(content, indent=1) + "\n").encode())
