"""The page of an experiment: verdicts, what was done, differences as a chart, and the tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wsol.benchmarking.tables import (
    difference_table,
    list_overlaps,
    name_compared,
    name_differences,
    score_table,
    write_difference,
)
from wsol.evaluation.metric_names import name_score
from wsol.out_files import make_folder
from wsol.pages import write_page

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from wsol.benchmarking.summary import Row

_CHARTED = ("top1_loc", "gt_known_loc")


def write_summary_page(
    folder: Path,
    rows: Sequence[Row],
    *,
    title: str,
    note: str = "",
    verdicts: Sequence[str] = (),
    facts: dict[str, str] | None = None,
    failures: Sequence[str] = (),
    departures: Sequence[str] = (),
    unreadable: Sequence[tuple[str, Sequence[str]]] = (),
    pictures: str | None = None,
) -> Path:
    """Write `index.html` and, beside it, its tables.

    Args:
        folder: created where it does not exist
        rows: of the tables
        title: of the page
        note: a sentence below it
        verdicts: a line a model
        facts: what was done, by a label for people
        failures: runs that are missing, with the reason
        departures: what tells it from the experiment as it stands
        unreadable: a sentence, and a line an image that could not be read
        pictures: link to the page with pictures

    Returns:
        the page
    """
    tables = [each for each in (score_table(rows), difference_table(rows)) if each is not None]
    make_folder(folder / "tables")
    for table in tables:
        table.save(folder / "tables")
    charts = [_draw(rows, score) for score in _CHARTED]
    page = folder / "index.html"
    write_page(
        page,
        "benchmark.html.j2",
        styles=["report.css"],
        title=title,
        note=note,
        verdicts=verdicts,
        facts=facts or {},
        failures=failures,
        departures=departures,
        overlaps=list_overlaps(rows),
        unreadable=unreadable,
        compared=name_differences([row for row in rows if row.compared]),
        charts=[chart for chart in charts if chart is not None],
        tables=tables,
        pictures=pictures,
    )
    return page


def _draw(rows: Sequence[Row], score: str) -> dict[str, Any] | None:
    """Place the differences of one score on a common scale, in percent of its length.

    None where there are none.
    """
    compared = [
        (row, value, value.difference)
        for row in rows
        if (value := row.values.get(score)) is not None and value.difference is not None
    ]
    if not compared:
        return None
    paired = [row for row, _, _ in compared]
    strides = len({row.output_stride for row in paired}) > 1
    methods = len({row.method for row in paired}) > 1
    ends = [0.0, *(end for _, value, _ in compared for end in (*value.ends, *value.differences))]
    low, high, step = _span(min(ends), max(ends))
    names = [
        f"{name_compared(row, paired)}"
        + (f", {row.protocol}" if row.protocol else "")
        + f", {row.threshold}"
        + (f", {row.method}" if methods else "")
        + (f", /{row.output_stride}" if strides else "")
        for row in paired
    ]

    def to_x(points: float) -> float:
        return round(100 * (points - low) / (high - low), 2)

    drawn = []
    for name, (_, value, gap) in zip(names, compared, strict=True):
        first, last = map(to_x, value.ends)
        drawn.append(
            {
                "name": name,
                "low": first,
                "high": last,
                "mean": to_x(gap.difference),
                "seeds": [to_x(each) for each in value.differences],
                "text": write_difference(value),
            }
        )
    count = round((high - low) / step)
    ticks = [low + step * i for i in range(count + 1)]
    return {
        "title": name_score(score),
        "summary": "; ".join(f"{each['name']}: {each['text']}" for each in drawn),
        "zero": to_x(0.0),
        "ticks": [(to_x(tick), f"{tick:g}") for tick in ticks],
        "rows": drawn,
    }


def _span(low: float, high: float) -> tuple[float, float, float]:
    """Choose round ends and a round step for a scale.

    >>> _span(-3.1, 8.2)
    (-5.0, 10.0, 5.0)
    """
    wide = max(high - low, 1.0)
    step = next(s for s in (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0) if wide / s <= 5 or s == 50.0)
    start = step * (low // step)
    return start, max(step * -(-high // step), start + step), step
