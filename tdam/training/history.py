"""The history of a run: one row per epoch, and which of them has the best weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tdam.training.errors import TrainingError

if TYPE_CHECKING:
    from tdam.training.run_folder import TrainState

SELECTED_BY = {"accuracy": "val_accuracy", "localization": "val_max_box_acc_v2"}


_ALWAYS = {"epoch", "step", "lr", "train_loss", "seconds", "val_loss", "val_accuracy"}
_UNTRAINED = {"lr", "train_loss"}  # that the row from before any training does not have


def check_columns(row: dict[str, Any], other: dict[str, Any], select: str = "last") -> None:
    """Check the columns of an epoch's row, which a file may have told.

    Args:
        row: the epoch's
        other: of another epoch, which has the same
        select: what decides which epoch is best, as in a recipe

    Raises:
        ValueError: a column that is missing, that not all epochs have, or without a number
    """
    for name in {*_ALWAYS, SELECTED_BY.get(select, "epoch"), *other} - set(row):
        raise ValueError(f"Expected every epoch to have {name[:60]} but one has none")
    for name in set(row) - set(other):
        raise ValueError(f"Expected every epoch to have {str(name)[:60]} but one has none")
    for name, value in row.items():
        if name not in _ALWAYS and not (isinstance(name, str) and name.startswith("val_")):
            raise ValueError(f"Expected columns of a training but an epoch has {name!r}"[:120])
        passed_over = name.startswith("val_") and not is_measured(row)
        if value is None and name not in _UNTRAINED and not passed_over:
            raise ValueError(f"Expected {name} to be a number but one epoch has none")


def is_measured(row: dict[str, Any]) -> bool:
    """Tell whether an epoch was measured; the columns of one that was not are None, all of them."""
    return any(value is not None for name, value in row.items() if str(name).startswith("val_"))


def add_row(
    state: TrainState, measured: dict[str, float] | None, select: str, rate: float | None = None
) -> bool:
    """Add what was measured after an epoch, and tell whether its weights are the best so far.

    Args:
        state: gets the row, and the best one
        measured: on the validation images; None after an epoch that is not measured, which can
            be the best only as the last
        select: what decides which is best, as in a recipe; the lower loss breaks ties
        rate: learning rate of the epoch's last step; None before any training, which is never best

    Raises:
        TrainingError: other columns than the epochs before have
    """
    row: dict[str, Any] = {
        "epoch": len(state.history),
        "step": state.step,
        "lr": rate,
        "train_loss": None if rate is None else state.loss_sum / max(state.seen, 1),
        "seconds": round(state.seconds, 2),
    }
    if measured is None:
        row |= {name: None for name in state.history[-1] if name.startswith("val_")}
    else:
        row |= {f"val_{name}": float(value) for name, value in measured.items()}
    if state.history and set(row) != set(state.history[-1]):
        odd = min(set(row) ^ set(state.history[-1]))
        raise TrainingError(
            f"Expected every epoch to have the same columns but {odd} is not of all: its "
            "checkpoint is of another training"
        )
    state.history.append(row)
    if rate is None or (measured is None and select != "last"):
        return False
    if select != "last" and state.best is not None:
        key = SELECTED_BY[select]
        then, now = ((each[key], -each.get("val_loss", 0.0)) for each in (state.best, row))
        if now < then:
            return False
    state.best = row
    return True
