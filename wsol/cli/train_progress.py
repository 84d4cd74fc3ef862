"""What a training says while it runs: a bar with rate and time left, and a line an epoch."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from tdam.training.recipe import Recipe
    from tdam.training.run_folder import TrainState
    from wsol.training.data import TrainingData


class TrainProgress:
    """Writes to stderr: the bar on a terminal only, the lines anywhere.

    Args:
        epochs: of the training
        quiet: say nothing, as all processes but the first
    """

    def __init__(self, epochs: int, quiet: bool = False) -> None:
        self.epochs = epochs
        self.console = Console(
            stderr=True, highlight=False, markup=False, soft_wrap=True, quiet=quiet
        )
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeRemainingColumn(),
        )
        terminal = self.console.is_terminal and not quiet
        self._bar = Progress(*columns, console=self.console, transient=True, disable=not terminal)
        self._task = self._bar.add_task("train", total=None, note="")
        self._images = 0
        self._began = time.monotonic()
        self._trained = 0

    def __enter__(self) -> TrainProgress:
        self._bar.start()
        return self

    def __exit__(self, *error: Any) -> None:
        self._bar.stop()

    def say(self, text: str) -> None:
        """Write a line above the bar."""
        self.console.print(text)

    def on_data(self, data: TrainingData, recipe: Recipe) -> None:
        """Say what is trained on, and how the result will be chosen."""
        self._images = len(data.train)
        self.say(data.describe())
        attention = "" if recipe.attention == "none" else f" + {recipe.attention}"
        chosen = {
            "accuracy": "best validation accuracy (image labels only)",
            "localization": "best validation MaxBoxAccV2 (boxes)",
            "last": "the last epoch",
        }[recipe.select]
        self.say(
            f"{recipe.model}{attention}, {recipe.size} px, {recipe.precision}, recipe "
            f"{recipe.name}, seed {recipe.seed}; result: {chosen}"
        )
        total = len(data.whole) * recipe.packed + len(data.train) * (recipe.targets == "plain")
        self._bar.update(self._task, description="prepare", total=total or None)

    def on_packed(self, done: int) -> None:
        """Move the bar of what is done before the first epoch."""
        self._bar.advance(self._task, done)

    def on_batch(self, images: int, loss: float) -> None:
        """Move the bar of the epoch."""
        if self._bar.tasks[0].description == "prepare":  # the first batch after --resume
            total = self._images * self.epochs
            self._bar.update(self._task, description="train", total=total, completed=0)
        self._trained += images
        rate = self._trained / max(time.monotonic() - self._began, 1e-9)
        note = f"loss {loss:.3f}  {rate:.0f} images/s"
        self._bar.update(self._task, advance=images, note=note)

    def on_epoch(self, state: TrainState) -> None:
        """Say what the epoch's validation found, and begin the bar of the next one."""
        row = state.history[-1]
        words = [f"epoch {row['epoch']}/{self.epochs}"]
        if row["train_loss"] is not None:
            words.append(f"loss {row['train_loss']:.3f}")
        words.append(f"validation: accuracy {row['val_accuracy']:.1f}")
        words.append(f"loss {row['val_loss']:.3f}")
        if "val_max_box_acc" in row:
            words.append(f"MaxBoxAcc {row['val_max_box_acc']:.1f}")
        if len(state.history) > 1 and self._trained:  # of the epoch as a whole, cut off or not
            spent = row["seconds"] - state.history[-2]["seconds"]
            words.append(f"{self._images / max(spent, 0.01):.1f} images/s")
        if state.best is row:
            words.append("(best)")
        self.say("  ".join(words))
        self._began, self._trained = time.monotonic(), 0
        total = self._images * self.epochs
        name = f"train {row['epoch'] + 1}/{self.epochs}"
        done = self._images * row["epoch"]
        self._bar.update(self._task, description=name, total=total, completed=done)
