"""The course of a training: as a picture, and as events for TensorBoard."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from wsol.figures import save_figure
from wsol.palette import PREDICTED, TRUE

if TYPE_CHECKING:
    from pathlib import Path

CURVES = "curves.png"
EVENTS = "tensorboard"


def draw_curves(history: list[dict[str, Any]], best: dict[str, Any] | None) -> Figure:
    """Draw loss, accuracy and localization over the epochs.

    Args:
        history: rows of a run's log, at least one
        best: the row whose weights are the result, to be marked

    Returns:
        a figure, not shown anywhere
    """
    panels = [("loss", ("train_loss", "val_loss")), ("accuracy (%)", ("val_accuracy",))]
    if "val_max_box_acc" in history[0]:
        panels.append(("localization (%)", ("val_max_box_acc", "val_max_box_acc_v2")))
    figure = Figure(figsize=(4.2 * len(panels), 3.2), dpi=110)
    FigureCanvasAgg(figure)
    for axes, (title, keys) in zip(figure.subplots(1, len(panels)), panels, strict=True):
        for key, colour in zip(keys, (PREDICTED, TRUE), strict=False):
            points = [(row["epoch"], row[key]) for row in history if row[key] is not None]
            if points:
                axes.plot(*zip(*points, strict=True), "o-", color=colour, ms=3, label=_NAMES[key])
        if best is not None:
            axes.axvline(best["epoch"], color="grey", lw=1, ls=":", label="result")
        axes.set_title(title, fontsize=11, loc="left")
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.25)
        axes.legend(fontsize=8, frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    return figure


_NAMES = {
    "train_loss": "training",
    "val_loss": "validation",
    "val_accuracy": "validation",
    "val_max_box_acc": "MaxBoxAcc",
    "val_max_box_acc_v2": "MaxBoxAccV2",
}


class CurveWriter:
    """Keeps the picture and TensorBoard's events up to date.

    Args:
        folder: of the run
        done: epochs that are in the events already
    """

    def __init__(self, folder: Path, done: int) -> None:
        from torch.utils.tensorboard.writer import SummaryWriter

        self.folder = folder
        self._events = SummaryWriter(str(folder / EVENTS), purge_step=done)

    def add(self, history: list[dict[str, Any]], best: dict[str, Any] | None) -> None:
        """Add the last row of a history."""
        row = history[-1]
        for name, value in row.items():
            if name not in ("epoch", "step") and value is not None:
                self._events.add_scalar(name.replace("val_", "val/"), value, row["epoch"])
        self._events.flush()
        save_figure(draw_curves(history, best), self.folder / CURVES)

    def close(self) -> None:
        """Close the events' file."""
        self._events.close()
