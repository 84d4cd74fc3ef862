"""What an experiment's networks are trained and scored on, and which outputs its labels are."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache as remember
from typing import TYPE_CHECKING

from wsol.benchmarking import sources
from wsol.label_matching import match_evaluated

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from eval.manifest import DataSet
    from eval.splits import Split
    from tdam.events import Events
    from wsol.benchmarking.experiment import Experiment


@dataclass(frozen=True)
class ScoredData:
    """What networks are trained and scored on.

    Args:
        data: the data set, its image root known
        scored: split that is reported
        find_classes: as `Images` has it
    """

    data: DataSet
    scored: Split
    find_classes: Callable[[tuple[str, ...]], Mapping[int, int] | None]


def open_scored(
    experiment: Experiment, data: Path, root: Path | None, out: Path, events: Events
) -> ScoredData:
    """Open what an experiment is trained and scored on.

    Args:
        experiment: names the split to report
        data: as the user named it
        root: image root, or None
        out: folder of the experiment
        events: told how labels and outputs were matched

    Raises:
        ManifestError: no data set, one with a fault, or one without boxes
    """
    opened = sources.open_data(data, root, out, events)
    scored = sources.load_scored(opened, experiment.scoring)
    return ScoredData(opened, scored, class_finder(scored, opened, None, events))


def class_finder(
    scored: Split, data: DataSet, classes: Path | None, events: Events
) -> Callable[[tuple[str, ...]], Mapping[int, int] | None]:
    """Make what tells, by the names of a network's outputs, which of them each label is.

    Args:
        scored: split that is scored
        data: the data set
        classes: table of classes that was named, or None
        events: told once what people should know of it
    """

    @remember
    def find_classes(names: tuple[str, ...]) -> Mapping[int, int] | None:
        outputs, note = match_evaluated(scored, names, classes=classes, data=data)
        if note:
            events.say(note)
        return outputs

    return find_classes
