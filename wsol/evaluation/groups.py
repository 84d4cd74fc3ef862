"""Where two runs differ: their scores for small and large objects, for few and many, by class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from eval.statistics import Difference, image_columns, interval, mcnemar, to_percent
from wsol.evaluation.comparison import (
    COUNTED,
    ResultError,
    check_comparable,
    count_changes,
    find_right,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from wsol.evaluation.comparison import Results

_SHARES = (0.1, 0.25, 0.5)  # of the image's area, that the largest true box covers
_MOST_OBJECTS = 3


def _by_size(row: Mapping[str, Any]) -> tuple[int, str]:
    areas = [(x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in row["true_boxes"]]
    share = max(areas, default=0) / (row["width"] * row["height"])
    ends = (0.0, *_SHARES, 1.0)
    at = int(np.searchsorted(_SHARES, share, side="right"))
    return at, f"{100 * ends[at]:g} to {100 * ends[at + 1]:g} % of the image"


def _by_objects(row: Mapping[str, Any]) -> tuple[int, str]:
    count = min(len(row["true_boxes"]), _MOST_OBJECTS)
    more = " or more" if count == _MOST_OBJECTS else ""
    return count, f"{count}{more} true box{'' if count == 1 else 'es'}"


def _by_class(row: Mapping[str, Any]) -> tuple[int, str]:
    return row["label"], f"class {row['label']}"


# What images can be told apart by: the place of a row's group among them, and its name.
GROUPINGS: dict[str, Callable[[Mapping[str, Any]], tuple[int, str]]] = {
    "size": _by_size,
    "objects": _by_objects,
    "class": _by_class,
}


def compare_groups(
    first: Results, second: Results, by: str, names: Mapping[int, str] | None = None
) -> dict[str, tuple[int, dict[str, Difference]]]:
    """Compare two runs on each group of their images.

    Each run keeps its threshold, which was chosen on all images. Of many groups some differ by
    chance: of forty with 95 % intervals, two are to be expected.

    Args:
        first: the run to compare with
        second: the run in question
        by: `size`, the share of the image that the largest true box covers; `objects`, how many
            true boxes there are; or `class`
        names: of classes, by label

    Returns:
        by the name of a group, in their order: how many images it has, and the differences of the
        scores that count images, which both runs have

    Raises:
        ResultError: other images or rules, masks, or results from before rows told sizes
        ValueError: an unknown grouping
    """
    if by not in GROUPINGS:
        raise ValueError(f"Expected by to be one of {', '.join(GROUPINGS)} but got {by!r}")
    check_comparable(first, second)
    places: dict[tuple[int, str], list[str]] = {}
    for image_id, row in first.rows.items():
        try:
            at, name = GROUPINGS[by](row)
        except (KeyError, TypeError, ZeroDivisionError) as error:
            raise ResultError(
                f"{first.folder}: expected the true boxes and size of {image_id}"
            ) from error
        if by == "class" and names and names.get(at):
            alone = list(names.values()).count(names[at]) == 1
            name = names[at] if alone else f"{names[at]} ({at})"
        places.setdefault((at, name), []).append(image_id)
    scores = [
        score
        for score in COUNTED
        if all(run.scores.get(score) is not None for run in (first, second))
    ]
    return {
        name: (len(ids), {score: _compare(first, second, score, ids) for score in scores})
        for (_, name), ids in sorted(places.items(), key=lambda place: place[0])
    }


def _compare(first: Results, second: Results, score: str, ids: list[str]) -> Difference:
    """Compare a score that counts images on some of them."""
    columns = np.stack([image_columns(image_id) for image_id in ids])
    right = find_right(first, second, score, ids)
    before, after = to_percent(right @ columns, columns.sum(axis=0))
    low, high = interval(after[:-1] - before[:-1]) or (np.nan, np.nan)
    changes = count_changes(right)
    chance = mcnemar(*changes)
    return Difference(float(before[-1]), float(after[-1]), low, high, *changes, chance)
