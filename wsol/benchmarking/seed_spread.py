"""How much seeds vary, and how many of them a difference would need to show."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsol.evaluation.metric_names import name_score
from wsol.report.tables import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from eval.statistics import Spread
    from wsol.benchmarking.summary import Row
    from wsol.report.tables import Cell

_SCORE = "top1_loc"
_POINTS = (1.0, 2.0, 4.9)  # the last is what TDAM's paper claims
_NOTE = (
    "Standard deviations of the difference, in points: from seed to seed, and of the mean over "
    "other images. Seeds for a difference: how many trainings of each model would show it with a "
    "probability of 80 %, if they vary as these do; a dash where more than 1000 would, since it is "
    "images that are too few. Of three seeds the first deviation is itself known only to a factor "
    "of about two."
)


def seed_table(
    rows: Sequence[Row], named: Mapping[str, str], name: Callable[[Row], str]
) -> Table | None:
    """Tell how much a difference of Top-1 Loc varies, for every model, variant and rule.

    Args:
        rows: of the tables
        named: fields of a row that tell it from others, and their names in tables
        name: of a row's difference

    Returns:
        None where no difference has several seeds
    """
    found: list[tuple[Row, Spread]] = []
    for row in rows:
        value = row.values.get(_SCORE)
        if value is not None and value.spread is not None:
            found.append((row, value.spread))
    if not found:
        return None
    cells: list[tuple[Cell, ...]] = []
    for row, spread in found:
        needed = (spread.trainings_needed(points) for points in _POINTS)
        cells.append(
            (
                *(name(row), row.threshold, *(str(getattr(row, field)) for field in named)),
                *(f"{spread.trainings:.2f}", f"{spread.images:.2f}", spread.count, *needed),
            )
        )
    seeds = (f"seeds for {points:g}" for points in _POINTS)
    header = ("model", "threshold", *named.values(), "sd of seeds", "sd of images", "seeds", *seeds)
    title = f"Seeds that a difference in {name_score(_SCORE)} needs"
    return Table("seeds", title, header, cells, {}, (_NOTE,))
