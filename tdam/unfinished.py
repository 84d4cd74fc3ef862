"""Weights of a training that has not ended: not its result yet, and others once it goes on."""

from __future__ import annotations

import csv
import shlex
import tomllib
import warnings
from typing import TYPE_CHECKING, Any

from tdam.strict_json import loads

if TYPE_CHECKING:
    from pathlib import Path

RECORD = "run.json"  # of a run, in its folder; its key `result` says that the run has ended
RECIPE = "recipe.toml"
LOG = "log.csv"


class UnfinishedRunWarning(UserWarning):
    """Weights of a training that has not ended are taken as they are."""


def describe_unfinished(weights: str | Path) -> str:
    """Say how far a training is that has not ended, and how to finish it.

    Args:
        weights: folder of a run, or its file of weights; anything else is no training

    Returns:
        a line for people; nothing where the training has ended, or where there is none
    """
    from tdam.weights import RESULT, find_weights

    path = find_weights(weights).resolve()
    folder = path if path.is_dir() else path.parent
    if path not in (folder, folder / RESULT):
        return ""
    try:
        record: Any = loads((folder / RECORD).read_bytes())
    except (OSError, ValueError):
        return ""
    if not isinstance(record, dict) or "result" in record:
        return ""
    data = record.get("data")
    given = shlex.quote(data) if isinstance(data, str) else "DATA"
    return (
        f"{weights}: the training has not ended ({_count_epochs(folder)}), so that these are not "
        f"its final weights; finish it by wsol train {given} --out "
        f"{shlex.quote(str(folder))} --resume"
    )


def warn_unfinished(weights: str | Path) -> None:
    """Warn where weights are those of a training that has not ended."""
    if note := describe_unfinished(weights):
        warnings.warn(note, UnfinishedRunWarning, stacklevel=3)


def refuse_unfinished(weights: str | Path) -> None:
    """Refuse weights of a training that has not ended, where hours or published figures hang on it.

    Raises:
        ValueError: they are such weights
    """
    if note := describe_unfinished(weights):
        raise ValueError(f"Expected weights to be those of a training that has ended but {note}")


def _count_epochs(folder: Path) -> str:
    """Say how many epochs of a run are done, and of how many."""
    done, total = "0", ""
    try:
        with (folder / LOG).open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                done = row["epoch"]
    except (OSError, ValueError, KeyError, csv.Error):
        pass
    try:
        with (folder / RECIPE).open("rb") as file:
            total = f" of {int(tomllib.load(file)['epochs'])}"
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        pass
    return f"epoch {done}{total}"
