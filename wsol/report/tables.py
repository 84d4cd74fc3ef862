"""The tables of a report: the same figures for the page, as CSV, and as Markdown."""

from __future__ import annotations

import csv
import html
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from eval.tables import guard_cell
from wsol.evaluation.metric_names import (
    ERROR_KINDS,
    OF_MAPS,
    list_scores,
    name_score,
)
from wsol.out_files import write_file, writing_file
from wsol.text import write_beside, write_gap

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from eval.statistics import Difference
    from wsol.report.runs import Run

Cell = str | int | float | tuple[float, float] | None

_WITHOUT_MAPS = (
    "The boxes of {} came without maps: at each overlap any of them counts, but no threshold was "
    "chosen for them as for maps, whose box accuracies therefore are not compared with theirs."
)
BOX_KINDS = {"hit": "overlaps a true box enough", **ERROR_KINDS}


@dataclass(frozen=True)
class Table:
    """A table of plain values.

    Args:
        key: name of its files
        title: in a line
        header: one text a column
        rows: cells; text, whole numbers, numbers, (low, high) intervals, or None
        digits: behind the point, by column; 1 where it says nothing
        notes: sentences below the table
    """

    key: str
    title: str
    header: tuple[str, ...]
    rows: list[tuple[Cell, ...]]
    digits: Mapping[int, int]
    notes: tuple[str, ...] = ()

    def texts(self) -> list[list[str]]:
        """Write every cell as people read it."""
        return [
            [_write(cell, self.digits.get(column, 1)) for column, cell in enumerate(row)]
            for row in self.rows
        ]

    def save(self, folder: Path, markdown: bool = True) -> None:
        """Write the table as `<key>.csv`, numbers in full, and, where wanted, as `<key>.md`."""
        ranged = {i for row in self.rows for i, cell in enumerate(row) if isinstance(cell, tuple)}
        path = folder / f"{self.key}.csv"
        with writing_file(path, encoding="utf-8", errors="backslashreplace", newline="") as file:
            table = csv.writer(file)
            header = _spread(self.header, ranged, lambda name: (f"{name} low", f"{name} high"))
            table.writerow(map(guard_cell, header))
            for row in self.rows:
                cells = _spread(row, ranged, lambda cell: cell or (None, None))
                table.writerow(map(guard_cell, cells))
        if markdown:
            path = folder / f"{self.key}.md"
            write_file(path, self.to_markdown().encode("utf-8", "backslashreplace"))

    def to_html(self) -> str:
        """Write the table for a notebook, which has a style of its own for tables."""
        left = ' style="text-align: left"'
        head = "".join(f"<th{left}>{html.escape(name)}</th>" for name in self.header)
        rows = [
            f"<th{left}>{html.escape(first)}</th>"
            + "".join(f"<td{left}>{html.escape(cell)}</td>" for cell in others)
            for first, *others in self.texts()
        ]
        lines = [
            f"<p><strong>{html.escape(self.title)}</strong></p>",
            f"<table><thead><tr>{head}</tr></thead>",
            f"<tbody>{''.join(f'<tr>{row}</tr>' for row in rows)}</tbody></table>",
        ]
        notes = "<br>\n".join(map(html.escape, self.notes))
        return "\n".join([*lines, f"<p>{notes}</p>"] if notes else lines) + "\n"

    def to_markdown(self) -> str:
        """Write the table under its title, with its notes below."""
        lines = [f"## {plain(self.title)}", ""]
        divider = ["---", *["---:"] * (len(self.header) - 1)]
        cells = [list(map(plain, row)) for row in (self.header, *self.texts())]
        lines += [f"| {' | '.join(row)} |" for row in (cells[0], divider, *cells[1:])]
        lines += ["", *self.notes] if self.notes else []
        return "\n".join(lines) + "\n"


def _spread(row: Sequence[Any], ranged: set[int], split: Any) -> list[Any]:
    """Give every interval its two columns."""
    cells: list[Any] = []
    for column, cell in enumerate(row):
        cells.extend(split(cell) if column in ranged else (cell,))
    return cells


def _write(cell: Cell, digits: int) -> str:
    if cell is None:
        return "–"  # noqa: RUF001
    if isinstance(cell, tuple):
        low, high = (write_beside(end, 0, digits) for end in cell)  # crossing zero is a verdict
        return f"{low} to {high}"
    return f"{cell:.{digits}f}" if isinstance(cell, float) else str(cell)


def plain(text: str) -> str:
    """Take from a text what Markdown would take for markup."""
    for sign in "\\`*_[]<>|#":
        if sign in text:
            text = text.replace(sign, f"\\{sign}")
    return " ".join(text.split())


def score_table(runs: Sequence[Run]) -> Table:
    """Tell all scores, in percent, with their 95 % intervals, the baselines last."""
    listed = [list_scores(run.scores) for run in runs]
    rows: list[tuple[Cell, ...]] = []
    given = [run.name for run in runs if run.given]
    alone = len(given) == len(runs)
    for name in dict.fromkeys(name for scores in listed for name in scores):
        if alone and name in OF_MAPS:
            continue
        cells: list[Cell] = [name_score(name, alone)]
        for run, scores in zip(runs, listed, strict=True):
            ends = (run.scores["intervals95"] or {}).get(name)
            cells += [scores.get(name), None if ends is None else (ends[0], ends[1])]
        rows.append(tuple(cells))
    header = ["score"]
    for run in runs:
        label = "percent" if len(runs) == 1 else run.name
        header += [label, "95 % interval" if len(runs) == 1 else f"{run.name}, 95 % interval"]
    notes = () if alone or not given else (_WITHOUT_MAPS.format(", ".join(given)),)
    return Table("scores", "Scores", tuple(header), rows, {}, notes)


def error_table(runs: Sequence[Run]) -> Table | None:
    """Count why boxes miss at the threshold, or None where masks were scored."""
    if not all(run.of_boxes for run in runs):
        return None
    rows: list[tuple[Cell, ...]] = []
    counted = [count_boxes(run) for run in runs]
    for kind, explanation in BOX_KINDS.items():
        cells: list[Cell] = [f"{kind}: {explanation}"]
        for run, counts in zip(runs, counted, strict=True):
            cells += [counts[kind], 100 * counts[kind] / run.scores["images"]]
        rows.append(tuple(cells))
    cells = ["misclassified, whatever the box"]
    for run in runs:
        count = run.scores["errors"]["misclassified"]
        cells += [count, None if count is None else 100 * count / run.scores["images"]]
    rows.append(tuple(cells))
    header = ["predicted box" if all(run.given for run in runs) else "box of the threshold"]
    for run in runs:
        header += ["images", "percent"] if len(runs) == 1 else [run.name, f"{run.name}, percent"]
    return Table("errors", "Errors", tuple(header), rows, {})


def count_boxes(run: Run) -> dict[str, int]:
    """Count the images whose box hits, and those where it misses in each way."""
    errors = {kind: run.scores["errors"][kind] for kind in ERROR_KINDS}
    return {"hit": run.scores["images"] - sum(errors.values()), **errors}


def class_table(runs: Sequence[Run]) -> Table:
    """Tell how each class fares."""
    first = runs[0]
    groups: dict[int, list[str]] = defaultdict(list)
    for image_id, row in first.rows.items():
        groups[row["label"]].append(image_id)
    columns = ["top-1", "box right", "mean best IoU"]
    if first.scores["class_map"] == "ground_truth":
        columns[1] = "GT-known"
    if not first.of_boxes:
        columns = ["top-1", "mean PxAP"]
    rows: list[tuple[Cell, ...]] = []
    for label in sorted(groups):
        cells: list[Cell] = [first.label_name(label), len(groups[label])]
        for run in runs:
            cells += _class_cells([run.rows[image_id] for image_id in groups[label]], run.of_boxes)
        rows.append(tuple(cells))
    header = ["class", "images"]
    for run in runs:
        header += columns if len(runs) == 1 else [f"{run.name}, {name}" for name in columns]
    wide = len(columns)
    digits = {1 + wide * (i + 1): 3 for i in range(len(runs))} if first.of_boxes else {}
    notes = (
        "Top-1 and boxes in percent, boxes at the threshold; the best IoU of an image is the one "
        "at the threshold that suits it best.",
    )
    of_maps = first.of_boxes and not all(run.given for run in runs)
    return Table("classes", "Classes", tuple(header), rows, digits, notes if of_maps else ())


def _class_cells(rows: list[dict[str, Any]], of_boxes: bool) -> list[Cell]:
    known = all(row["rank"] is not None or row["unreadable"] for row in rows)
    top1 = 100 * sum(row["rank"] == 0 for row in rows) / len(rows) if known else None
    if not of_boxes:
        known_pxap = [row["pxap"] for row in rows if row["pxap"] is not None]
        return [top1, sum(known_pxap) / len(known_pxap) if known_pxap else None]
    right = 100 * sum(row["error"] is None for row in rows) / len(rows)
    return [top1, right, sum(row["best_iou"] for row in rows) / len(rows)]


def difference_table(
    first: Run, second: Run, differences: Mapping[str, Difference], key: str = "differences"
) -> Table:
    """Tell by how much a run differs from another, image by image."""
    rows: list[tuple[Cell, ...]] = [
        (
            name_score(name),
            each.first,
            each.second,
            each.difference,
            (each.low, each.high),
            each.gained,
            each.lost,
            each.p_value,
        )
        for name, each in differences.items()
    ]
    header = (
        "score",
        first.name,
        second.name,
        "difference",
        "95 % interval",
        f"only {second.name} right",
        f"only {first.name} right",
        "McNemar p",
    )
    notes = ("Both runs meet the same resampled images; p is of McNemar's exact test.",)
    return Table(key, f"{second.name} minus {first.name}", header, rows, {7: 4}, notes)


def group_table(by: str, groups: Mapping[str, tuple[int, Mapping[str, Difference]]]) -> Table:
    """Tell by how much two runs differ on each group of images, in two scores.

    Args:
        by: what tells the groups apart
        groups: as `wsol.evaluation.groups.compare_groups` gives them
    """
    shown = ("gt_known_loc", "top1_loc")
    rows: list[tuple[Cell, ...]] = []
    for name, (count, gaps) in groups.items():
        cells: list[Cell] = [name, count]
        for gap in map(gaps.get, shown):
            if gap is None:
                cells += ["", ""]
                continue
            cells.append(f"{gap.first:.1f} to {gap.second:.1f}")
            cells.append(write_gap(gap.difference, gap.low, gap.high))
        rows.append(tuple(cells))
    heads = [head for score in shown for head in (name_score(score), "difference (95 %)")]
    return Table("groups", f"By {by}", (by, "images", *heads), rows, {})


def curve_table(runs: Sequence[Run]) -> Table:
    """Tell the curves, in percent of the images or, of masks, precision and recall."""
    grid = _grid(runs[0])
    columns: list[tuple[str, list[float]]] = [("threshold", grid)]
    for run in runs:
        before = "" if len(runs) == 1 else f"{run.name}, "
        if not run.of_boxes:
            columns += [(before + name, values) for name, values in run.scores["curve"].items()]
            continue
        for mode, by_delta in (run.scores["curves"] or {}).items():
            for delta, counts in by_delta.items():
                share = [100 * count / run.scores["images"] for count in counts]
                columns.append((f"{before}{mode} at {delta}", share))
    rows: list[tuple[Cell, ...]] = list(zip(*(values for _, values in columns), strict=True))
    header = tuple(name for name, _ in columns)
    return Table("curves", "Curves", header, rows, {0: 4})


def image_table(runs: Sequence[Run]) -> Table:
    """Tell what became of every image, boxes in original pixels."""
    columns = ("map class", "predicted", "rank", "score", "x0", "y0", "x1", "y1", "IoU", "error",
               "best threshold", "best IoU", "PxAP", "unreadable")  # fmt: skip
    rows: list[tuple[Cell, ...]] = []
    for image_id, row in runs[0].rows.items():
        cells: list[Cell] = [
            image_id, runs[0].label_name(row["label"]), row.get("width"), row.get("height")
        ]  # fmt: skip
        for run in runs:
            own = run.rows[image_id]
            cells += [run.output_name(own.get(name)) for name in ("map_class", "predicted")]
            cells += [own.get("rank"), own.get("score"), *(own.get("box") or [None] * 4)]
            cells += [
                own.get(name)
                for name in ("iou", "error", "best_threshold", "best_iou", "pxap", "unreadable")
            ]
        rows.append(tuple(cells))
    header = ["image", "class", "width", "height"]
    for run in runs:
        header += columns if len(runs) == 1 else [f"{run.name}, {name}" for name in columns]
    return Table("images", "Images", tuple(header), rows, {})


def _grid(run: Run) -> list[float]:
    from eval.protocols import Protocol

    grid: list[float] = Protocol(
        name="grid", source="", interval=run.scores["interval"]
    ).thresholds.tolist()
    return grid
