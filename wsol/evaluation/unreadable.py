"""Images that could not be read: named, with the runs that missed them, and counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsol.text import count_things

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from wsol.benchmarking.replicates import RunScores
    from wsol.report import Run

UNREADABLE, UNREADABLE_CHOSEN_ON = "unreadable", "unreadable_chosen_on"  # keys of the JSON output


def list_unreadable(scores: Sequence[RunScores]) -> dict[str, list[str]]:
    """Name the images that could not be read, each once.

    Args:
        scores: of every run

    Returns:
        under `unreadable` a line an image that was scored, under `unreadable_chosen_on` one an
        image that thresholds were chosen on; it ends in the runs, where others could read it
    """
    return {
        key: merge_lines(
            [(f"{each.model}-{each.seed}", getattr(each, key).values()) for each in scores]
        )
        for key in (UNREADABLE, UNREADABLE_CHOSEN_ON)
    }


def list_missed(runs: Sequence[Run]) -> dict[str, list[str]]:
    """Name the images that could not be read by evaluations, as `list_unreadable` does.

    Args:
        runs: of the same images; those of older versions do not tell what they were chosen on
    """
    return {
        key: merge_lines([(run.name, map(str, run.scores.get(key) or ())) for run in runs])
        for key in (UNREADABLE, UNREADABLE_CHOSEN_ON)
    }


def merge_lines(told: Sequence[tuple[str, Iterable[str]]]) -> list[str]:
    """Give what runs tell of images, each line once.

    Args:
        told: name of a run, which may come several times, and its lines

    Returns:
        the lines; one that not all runs have ends in those that have it

    >>> merge_lines([("one", ["a.png: the file is empty"]), ("two", [])])
    ['a.png: the file is empty (in one)']
    """
    every = {name for name, _ in told}
    runs: dict[str, dict[str, None]] = {}
    for name, lines in told:
        for line in lines:
            runs.setdefault(line, {})[name] = None
    return [
        line if len(own) == len(every) else f"{line} (in {', '.join(own)})"
        for line, own in runs.items()
    ]


def pair_unreadable(listed: Mapping[str, Sequence[str]]) -> list[tuple[str, Sequence[str]]]:
    """Say in sentences how many images could not be read, each with their lines.

    Args:
        listed: as `list_unreadable` gives it; other keys are ignored

    >>> pair_unreadable({"unreadable": ["a.png: the file is empty"], "unreadable_chosen_on": []})
    [('1 image could not be read: counted as missed', ['a.png: the file is empty'])]
    """
    further = {UNREADABLE: "", UNREADABLE_CHOSEN_ON: " to choose thresholds on"}
    return [
        (
            f"{count_things(len(listed[key]), 'image')}{what} could not be read: counted as missed",
            listed[key],
        )
        for key, what in further.items()
        if listed.get(key)
    ]
