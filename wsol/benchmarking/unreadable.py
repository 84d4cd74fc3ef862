"""Images that could not be read: named, with the runs that missed them, and counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsol.text import count_things

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from wsol.benchmarking.replicates import RunScores

UNREADABLE, UNREADABLE_CHOSEN_ON = "unreadable", "unreadable_chosen_on"  # keys of the JSON output


def list_unreadable(scores: Sequence[RunScores]) -> dict[str, list[str]]:
    """Name the images that could not be read, each once.

    Args:
        scores: of every run

    Returns:
        under `unreadable` a line an image that was scored, under `unreadable_chosen_on` one an
        image that thresholds were chosen on; it ends in the runs, where others could read it
    """
    every = {_name_run(each) for each in scores}
    listed = {}
    for key in (UNREADABLE, UNREADABLE_CHOSEN_ON):
        runs: dict[str, dict[str, None]] = {}
        for each in scores:
            for line in getattr(each, key).values():
                runs.setdefault(line, {})[_name_run(each)] = None
        listed[key] = [
            line if len(own) == len(every) else f"{line} (in {', '.join(own)})"
            for line, own in runs.items()
        ]
    return listed


def _name_run(scores: RunScores) -> str:
    return f"{scores.model}-{scores.seed}"


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
