"""The history of a run: one row per epoch, and which of them has the best weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tdam.training.run_folder import TrainState

SELECTED_BY = {"accuracy": "val_accuracy", "localization": "val_max_box_acc_v2"}


def add_row(
    state: TrainState, measured: dict[str, float], select: str, rate: float | None = None
) -> bool:
    """Add what was measured after an epoch, and tell whether its weights are the best so far.

    Args:
        state: gets the row, and the best one
        measured: on the validation images
        select: what decides which is best, as in a recipe; the lower loss breaks ties
        rate: learning rate of the epoch's last step; None before any training, which is never best
    """
    row: dict[str, Any] = {
        "epoch": len(state.history),
        "step": state.step,
        "lr": rate,
        "train_loss": None if rate is None else state.loss_sum / max(state.seen, 1),
        "seconds": round(state.seconds, 2),
        **{f"val_{name}": float(value) for name, value in measured.items()},
    }
    state.history.append(row)
    if rate is None:
        return False
    if select != "last" and state.best is not None:
        key = SELECTED_BY[select]
        then, now = ((each[key], -each.get("val_loss", 0.0)) for each in (state.best, row))
        if now < then:
            return False
    state.best = row
    return True
