"""Training one run of an experiment, and keeping the estimate of the time left."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tdam.events import Events
from wsol.benchmarking import runs
from wsol.benchmarking.remaining import EPOCHS
from wsol.text import count_things
from wsol.training.train import train_localizer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from eval.manifest import DataSet
    from wsol.benchmarking.plan import Task
    from wsol.benchmarking.remaining import Remaining


class _TimedEvents(Events):
    """Tells a training's events on, and after every epoch how long all runs still take."""

    def __init__(self, events: Events, remaining: Remaining, cut_off: bool) -> None:
        self.begin, self.advance = events.begin, events.advance  # type: ignore[method-assign]
        self.end, self.say = events.end, events.say  # type: ignore[method-assign]
        self._remaining = remaining
        self._cut_off = cut_off  # whether the first epoch goes on in its middle
        self.counted = 0

    def epoch(self, history: Sequence[dict[str, Any]], best: dict[str, Any] | None) -> None:
        epoch = history[-1]["epoch"]
        if epoch > self.counted + 1:  # done before the run was cut off
            self._remaining.finish(EPOCHS, epoch - 1 - self.counted, free=True)
        if epoch > 0:
            # what is left of an epoch tells nothing
            self._remaining.finish(EPOCHS, free=self._cut_off)
            self.say(f"  {self._remaining.describe()}")
        self.counted, self._cut_off = epoch, False


def train_run(
    task: Task,
    data: DataSet,
    folder: Path,
    cache: Path,
    *,
    device: str,
    workers: int,
    remaining: Remaining,
    allow_overlap: bool,
    events: Events,
) -> None:
    """Train a run, or go on with it.

    Args:
        task: model and seed; its state is looked up once more, as another process may train it
        data: the data set
        folder: of the run
        cache: folder of packed images
        device: that the network runs on
        workers: processes that read images
        remaining: told of every epoch
        allow_overlap: train also where images are trained on and chosen by
        events: told of what is done

    Raises:
        TypeError: a model that is not trained
    """
    recipe = task.recipe
    if recipe is None:
        raise TypeError(f"Expected {task.name} to have a recipe but got None")
    task.state = runs.find_state(folder, recipe, data, device)
    if task.state == "finished":
        remaining.finish(EPOCHS, recipe.epochs, free=True)
        return
    remaining.start()
    timed = _TimedEvents(events, remaining, cut_off=task.state == "begun")
    try:
        trained = train_localizer(
            data,
            folder,
            recipe,
            resume=task.state == "begun",
            device=device,
            workers=workers,
            cache=cache,
            allow_overlap=allow_overlap,
            events=timed,
        )
    finally:
        remaining.finish(EPOCHS, recipe.epochs - timed.counted, free=True)
    for image_id, reason in trained.unreadable.items():
        events.say(f"{image_id}: {reason}")
    if trained.unreadable:
        count = count_things(len(trained.unreadable), "image")
        events.say(f"{task.name} was trained without {count} that could not be read")
