"""Curves as inline SVG: no script, the page's own colours, one scale for all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wsol.report.runs import Run

WIDTH, HEIGHT = 420.0, 270.0  # of a chart's plane, in units of its view box
_LEFT, _TOP = 44.0, 10.0
_MODES = {"largest": "one contour", "all": "all contours"}


@dataclass(frozen=True)
class Line:
    """One line of a chart.

    Args:
        name: in the legend
        series: which of the page's colours, from 1 to 6
        path: SVG path data
        dots: where a choice is marked, (x, y) in the chart's units
    """

    name: str
    series: int
    path: str
    dots: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Chart:
    """One chart.

    Args:
        title: above it
        across: name of the horizontal axis
        up: name of the vertical axis
        lines: in it
        marks: chosen thresholds, (x, series, text)
        ticks: along both axes, (x, text) and (y, text)
        summary: what it shows, in words
    """

    title: str
    across: str
    up: str
    lines: tuple[Line, ...]
    marks: tuple[tuple[float, int, str], ...]
    ticks: tuple[list[tuple[float, str]], list[tuple[float, str]]]
    summary: str
    left: float = _LEFT
    top: float = _TOP
    width: float = WIDTH
    height: float = HEIGHT


def draw_curves(runs: Sequence[Run]) -> list[Chart]:
    """Draw hits over thresholds: the overlaps in one chart, or the runs in one chart an overlap."""
    if not all(run.of_boxes for run in runs):
        return [_precision_recall(runs)]
    runs = [run for run in runs if run.scores["curves"] is not None]
    if not runs:
        return []  # of boxes that came without maps
    deltas = list(runs[0].scores["curves"]["largest"])
    charts = []
    for mode, said in _MODES.items():
        if len(runs) == 1:
            wanted = [(runs[0], delta, f"IoU ≥ {int(delta) / 100:g}") for delta in deltas]
            charts.append(_hits(said.capitalize(), mode, wanted))
            continue
        for delta in deltas:
            several = [(run, delta, run.name) for run in runs]
            charts.append(_hits(f"{said.capitalize()}, IoU ≥ {int(delta) / 100:g}", mode, several))
    return charts


def _hits(title: str, mode: str, wanted: Sequence[tuple[Run, str, str]]) -> Chart:
    lines, marks = [], {}
    for index, (run, delta, name) in enumerate(wanted):
        scores = run.scores
        share = [100 * count / scores["images"] for count in scores["curves"][mode][delta]]
        grid = [i * scores["interval"] for i in range(len(share))]
        chosen = scores["threshold"]["value"]
        at = min(range(len(grid)), key=lambda i: abs(grid[i] - chosen))
        dots = ((_x(chosen), _y(share[at])),)
        series = index % 6 + 1
        lines.append(Line(name, series, _path(grid, share), dots))
        one = len({id(run) for run, _, _ in wanted}) == 1
        marks[_x(chosen)] = (_x(chosen), 0 if one else series, f"{chosen:.3f}")
    best = max(lines, key=lambda line: -line.dots[0][1])
    summary = f"{title}: share of images that are hit over the threshold, best of {best.name}"
    percent = [(_y(v), str(v)) for v in range(0, 101, 20)]
    return Chart(title, "threshold", "images hit, %", tuple(lines), tuple(marks.values()),
                 (_tenths(), percent), summary)  # fmt: skip


def _precision_recall(runs: Sequence[Run]) -> Chart:
    lines = []
    for index, run in enumerate(runs):
        curve = run.scores["curve"]
        pairs = [(r, p) for r, p in zip(curve["recall"], curve["precision"], strict=True) if r > 0]
        points = [(_x(recall / 100), _y(precision)) for recall, precision in pairs]
        name = f"{run.name}, PxAP {run.scores['pxap']:.1f}"
        lines.append(Line(name, index % 6 + 1, _join(points), ()))
    percent = [(_y(v), str(v)) for v in range(0, 101, 20)]
    across = [(_x(v / 100), str(v)) for v in range(0, 101, 20)]
    title = "Precision over recall, pixels of all images"
    return Chart(title, "recall, %", "precision, %", tuple(lines), (), (across, percent), title)


def _tenths() -> list[tuple[float, str]]:
    return [(_x(v / 10), f"{v / 10:.1f}") for v in range(0, 11, 2)]


def _x(share: float) -> float:
    return round(_LEFT + WIDTH * share, 2)


def _y(percent: float) -> float:
    return round(_TOP + HEIGHT * (1 - percent / 100), 2)


def _path(grid: Sequence[float], share: Sequence[float]) -> str:
    """Draw a line through the values, without the points in the middle of level stretches."""
    last = len(share) - 1
    kept = [
        i
        for i in range(len(share))
        if i in (0, last) or share[i] != share[i - 1] or share[i] != share[i + 1]
    ]
    return _join([(_x(grid[i]), _y(share[i])) for i in kept])


def _join(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in points) if points else ""
