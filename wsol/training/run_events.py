"""What a training tells of itself: before it begins, and after every epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tdam.events import Events
from tdam.training.history import is_measured
from wsol.evaluation.threshold_rules import ENOUGH
from wsol.text import count_things, list_few
from wsol.training.curves import CurveWriter

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tdam.training.recipe import Recipe
    from wsol.training.data import TrainingData


class RunEvents(Events):
    """Keeps curves of a training, and says in a line how each epoch went."""

    def __init__(self, out: Path, epochs: int, images: int, events: Events) -> None:
        self._out, self._epochs, self._images = out, epochs, images
        self._events = events
        self._curves: CurveWriter | None = None
        self.begin, self.advance = events.begin, events.advance  # type: ignore[method-assign]
        self.end, self.say = events.end, events.say  # type: ignore[method-assign]

    def epoch(self, history: Sequence[dict[str, Any]], best: dict[str, Any] | None) -> None:
        """Add the last epoch to the curves, and say how it went."""
        rows = list(history)
        self._curves = self._curves or CurveWriter(self._out, len(rows) - 1)
        self._curves.add(rows, best)
        self.say(describe_epoch(rows, best, self._epochs, self._images))
        self._events.epoch(history, best)

    def __enter__(self) -> RunEvents:
        return self

    def __exit__(self, *error: object) -> None:
        self.end()
        if self._curves is not None:
            self._curves.close()


def describe_epoch(
    history: Sequence[dict[str, Any]], best: dict[str, Any] | None, epochs: int, images: int
) -> str:
    """Say in a line how the last epoch's validation went.

    Args:
        history: a row an epoch
        best: the row whose weights are the result so far
        epochs: of the training
        images: that every epoch sees
    """
    row = history[-1]
    words = [f"epoch {row['epoch']}/{epochs}"]
    if row["train_loss"] is not None:
        words.append(f"loss {row['train_loss']:.3f}")
    if is_measured(row):
        words.append(f"validation: accuracy {row['val_accuracy']:.1f}")
        words.append(f"loss {row['val_loss']:.3f}")
        if "val_max_box_acc" in row:
            words.append(f"MaxBoxAcc {row['val_max_box_acc']:.1f}")
    else:
        words.append("not validated")
    if len(history) > 1:  # of the epoch as a whole, cut off or not
        spent = row["seconds"] - history[-2]["seconds"]
        words.append(f"{images / max(spent, 0.01):.1f} images/s")
    if best is row:
        words.append("(best)")
    return "  ".join(words)


def announce(training_data: TrainingData, recipe: Recipe, events: Events) -> None:
    """Say what is trained on and how the result will be chosen, and begin to prepare."""
    events.say(training_data.describe())
    if training_data.unused:
        classes = count_things(len(training_data.unused), "class", "classes")
        named = list_few([*map(repr, training_data.unused)])
        events.say(f"passed over, since no image has it: {classes}, {named}")
    count = len(training_data.val)
    if recipe.val_every > 1 or 0 < recipe.val_limit < count:
        often = "epoch" if recipe.val_every == 1 else f"{recipe.val_every} epochs"
        measured = min(recipe.val_limit or count, count)
        events.say(f"every {often} validates on {measured} of the {count} validation images")
    attention = "" if recipe.attention == "none" else f" + {recipe.attention}"
    chosen = {
        "accuracy": "best validation accuracy (image labels only)",
        "localization": "best validation MaxBoxAccV2 (boxes)",
        "last": "the last epoch",
    }[recipe.select]
    events.say(
        f"{recipe.model}{attention}, {recipe.size} px, {recipe.precision}, recipe {recipe.name}, "
        f"seed {recipe.seed}; result: {chosen}"
    )
    if recipe.pick_threshold == "unlabelled" and len(training_data.train) < ENOUGH:
        rest = f"of {training_data.count}, {len(training_data.val)} of them held out"
        left = f"{len(training_data.train)}{f' {rest}' if training_data.held_out else ''}"
        events.say(
            f"no threshold will be stored: pick_threshold {recipe.pick_threshold} needs at least "
            f"{ENOUGH} training images but there are {left}"
        )
    total = len(training_data.whole) if recipe.packed else 0
    if recipe.targets == "plain" or recipe.learns == "classifier":
        total += len(training_data.train)
    if recipe.learns == "classifier":
        total += min(recipe.val_limit or count, count)
    if total:
        events.begin("prepare", total)
