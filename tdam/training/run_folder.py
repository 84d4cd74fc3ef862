"""The folder of a run: checkpoints to go on from, the weights that are the result, the log."""

from __future__ import annotations

import csv
import io
import os
import shutil
from dataclasses import asdict, dataclass, field
from math import inf
from pickle import UnpicklingError
from types import NoneType
from typing import TYPE_CHECKING, Any, cast

import torch

from tdam.atomic import write_atomic
from tdam.checkpoints import save_checkpoint
from tdam.training.errors import TrainingError
from tdam.training.history import check_columns, is_measured
from tdam.unfinished import LOG
from tdam.weights import RESULT, WeightsError, fill, read_state_dict

if TYPE_CHECKING:
    from pathlib import Path

    from torch.amp import GradScaler
    from torch.optim import Optimizer
    from torch.optim.swa_utils import AveragedModel

    from tdam.backbones.base import Backbone

CHECKPOINTS = "checkpoints"
_KEPT = 2
_FAULTS = (
    *(OSError, RuntimeError, UnpicklingError, EOFError, WeightsError),  # of the file
    *(AttributeError, LookupError, TypeError, ValueError),  # of what it holds
)


@dataclass
class TrainState:
    """Where a run stands, apart from weights and optimizer.

    Args:
        step: batches done, over all epochs
        history: what was measured after each epoch, the first before any training
        best: the row of the epoch whose weights are the result
        unreadable: reason by id of every image that could not be read
        loss_sum: loss of all images of this epoch
        seen: how many they are
        seconds: duration of the training so far, validation aside
    """

    step: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, Any] | None = None
    unreadable: dict[str, str] = field(default_factory=dict)
    loss_sum: float = 0.0
    seen: int = 0
    seconds: float = 0.0


class RunFolder:
    """Writes what a run leaves behind, each file as a whole or not at all.

    Args:
        path: made if it is not there
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = path / CHECKPOINTS

    def list_checkpoints(self) -> list[Path]:
        """List the complete checkpoints, the last one first."""
        return sorted(self.checkpoints.glob("step-*"), reverse=True)

    def save(
        self,
        state: TrainState,
        model: Backbone,
        average: AveragedModel | None,
        optimizer: Optimizer,
        scaler: GradScaler,
    ) -> None:
        """Write a checkpoint, and of those before it keep the last.

        Raises:
            TrainingError: the disk is full; what was written before is unchanged
        """
        unfinished = self.checkpoints / ".unfinished"
        try:
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir(parents=True)
            save_checkpoint(model, unfinished / RESULT)
            count = 0
            if average is not None:
                save_checkpoint(
                    cast("Backbone", average.module), unfinished / "average.safetensors"
                )
                count = int(average.n_averaged)
            rest = io.BytesIO()
            content = {"state": asdict(state), "optimizer": optimizer.state_dict(), "count": count}
            if scaler.is_enabled():
                content["scaler"] = scaler.state_dict()
            torch.save(content, rest)
            write_atomic(unfinished / "state.pt", rest.getvalue())
            _put_in_place(unfinished, self.checkpoints / f"step-{state.step:09d}")
            for old in self.list_checkpoints()[_KEPT:]:
                shutil.rmtree(old)
        except OSError as error:
            shutil.rmtree(unfinished, ignore_errors=True)
            what = f"{self.checkpoints}: no checkpoint could be written after step {state.step}"
            raise self._unwritten(what, error) from error

    def load(
        self,
        model: Backbone,
        average: AveragedModel | None,
        optimizer: Optimizer,
        scaler: GradScaler,
        select: str = "last",
    ) -> TrainState:
        """Fill everything from the last checkpoint that can be read.

        Args:
            model: of the run
            average: of its weights, or None
            optimizer: of the run
            scaler: of its losses, if the run is in float16
            select: what decides which epoch is best, as in a recipe

        Returns:
            where the run stands; its beginning where there is no checkpoint

        Raises:
            TrainingError: there are checkpoints but none can be read
        """
        faults = []
        for path in self.list_checkpoints():
            try:
                content = torch.load(path / "state.pt", map_location="cpu", weights_only=True)
                weights = read_state_dict(path / RESULT)
                averaged = None
                if average is not None:
                    averaged = read_state_dict(path / "average.safetensors")
                state = _read_state(content, select)
                scaling = _read_scaling(content, scaler)
                optimizer.load_state_dict(content["optimizer"])
            except _FAULTS as error:
                faults.append(f"{path}: {' '.join(str(error).split())[:200]}")
                continue
            if scaling is not None:
                scaler.load_state_dict(scaling)
            fill(model, weights)
            if average is not None and averaged is not None:
                fill(average.module, averaged)
                average.n_averaged.fill_(content["count"])
            return state
        if faults:
            raise TrainingError(f"no checkpoint can be read: {'; '.join(faults)}")
        return TrainState()

    def save_result(self, model: Backbone) -> None:
        """Write the weights that are the run's result so far.

        Raises:
            TrainingError: the disk is full; what was written before is unchanged
        """
        try:
            save_checkpoint(model, self.path / RESULT)
        except OSError as error:
            raise self._unwritten(f"{self.path / RESULT} could not be written", error) from error

    def write_log(self, history: list[dict[str, Any]]) -> None:
        """Write a table with one line per epoch."""
        text = io.StringIO(newline="")
        table = csv.DictWriter(text, list(history[-1]), restval="", lineterminator="\n")
        table.writeheader()
        table.writerows(history)
        try:
            write_atomic(self.path / LOG, text.getvalue().encode())
        except OSError as error:
            raise self._unwritten(f"{self.path / LOG} could not be written", error) from error

    def _unwritten(self, what: str, error: OSError) -> TrainingError:
        return TrainingError(f"{what} ({error.strerror or error}); {self.last_good()}")

    def last_good(self) -> str:
        """Say in half a sentence what a run can go on from."""
        checkpoints = self.list_checkpoints()
        if not checkpoints:
            return "there is no checkpoint yet"
        return f"the last good weights are in {checkpoints[0]}, and --resume goes on from them"


def _read_state(content: Any, select: str) -> TrainState:
    """Check what a checkpoint tells of where the run stands.

    Args:
        content: of its file
        select: what decides which epoch is best, as in a recipe

    Raises:
        ValueError: something is missing, or of another kind
    """
    keys = {"state", "optimizer", "count"}
    if not isinstance(content, dict) or set(content) - {"scaler"} != keys:
        raise ValueError("state.pt is no state of a training")
    state = TrainState(**content["state"])
    rows = [*state.history, *([] if state.best is None else [state.best])]
    good = (
        all(
            type(count) is int and count >= 0
            for count in (state.step, state.seen, content["count"])
        )
        and all(isinstance(part, (int, float)) for part in (state.loss_sum, state.seconds))
        and isinstance(state.history, list)
        and isinstance(state.unreadable, dict)
        and all(isinstance(row, dict) for row in rows)
        and all(isinstance(v, (int, float, NoneType)) for row in rows for v in row.values())
    )
    if not good:
        raise ValueError("state.pt is no state of a training")
    for row in rows:
        try:
            check_columns(row, rows[0], select)
        except ValueError as error:
            raise ValueError(f"state.pt is no state of a training: {error}") from error
    measured = [*state.history[:1], *([] if state.best is None or select == "last" else rows[-1:])]
    if not all(map(is_measured, measured)):
        raise ValueError("state.pt is no state of a training: nothing was measured")
    return state


def _read_scaling(content: dict[str, Any], scaler: GradScaler) -> dict[str, Any] | None:
    """Check what a checkpoint tells of the scale of losses; None where the run has none.

    Raises:
        ValueError: something is missing, or of another kind
    """
    scaling: Any = content.get("scaler")
    if not scaler.is_enabled() and scaling is None:
        return None
    good = (
        scaler.is_enabled()
        and isinstance(scaling, dict)
        and set(scaling) == set(scaler.state_dict())
        and all(type(value) in (int, float) and 0 <= value < inf for value in scaling.values())
        and scaling["scale"] > 0
    )
    if not good:
        raise ValueError("state.pt is no state of a training with scaled losses")
    return cast("dict[str, Any]", scaling)


def _put_in_place(unfinished: Path, path: Path) -> None:
    """Give a finished folder its name, and flush the name to the disk."""
    if path.exists():  # a resumed run writes the same step again, with the same content
        shutil.rmtree(path)
    unfinished.rename(path)
    if hasattr(os, "O_DIRECTORY"):
        handle = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
