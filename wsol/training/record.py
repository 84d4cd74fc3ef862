"""What a training run was made of: data, recipe, versions, machine, revision, and how it ended."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from eval.parsing import read_json
from eval.splits import ManifestError
from tdam.atomic import write_atomic
from tdam.job import find_ranks
from tdam.strict_json import dumps
from tdam.unfinished import RECORD

if TYPE_CHECKING:
    from wsol.training.data import TrainingData

_PACKAGES = ("wsol-tdam", "torch", "torchvision", "timm", "numpy", "pillow")


def describe_run(data: Path, training_data: TrainingData, seed: int, device: str) -> dict[str, Any]:
    """Describe a run before it begins.

    Args:
        data: as it was given
        training_data: read from it
        seed: of the recipe
        device: that the network runs on

    Returns:
        plain values
    """
    return {
        "schema": 1,
        "data": str(data.resolve()),
        "root": str(training_data.root.resolve()),
        "training_images": len(training_data.train),
        "validation_images": len(training_data.val),
        "held_out": training_data.held_out,
        "classes": list(training_data.class_names),
        "data_sha256": training_data.digest(),
        "seed": seed,
        **_describe_session(device),
    }


def _describe_session(device: str) -> dict[str, Any]:
    """Describe by what something is computed now."""
    return {
        "versions": {"python": platform.python_version(), **_versions()},
        "machine": {
            "device": device,
            "processor": platform.processor() or platform.machine(),
            "instructions": torch.backends.cpu.get_cpu_capability(),
            "threads": torch.get_num_threads(),
            **({} if (count := find_ranks().count) == 1 else {"processes": count}),
        },
        "revision": _revision(),
    }


def add_session(record: dict[str, Any], command: str, device: str, **what: Any) -> dict[str, Any]:
    """Add to a run's record by what it is begun, gone on with, or changed.

    Args:
        record: of the run; what it says of earlier sessions stays
        command: that does it, `train` or `calibrate`
        device: that the network runs on
        what: that it does, in plain values, such as the `step` that it goes on from

    Returns:
        the record with a list `sessions`, the first of which began the run
    """
    new = {"command": command, **what, **_describe_session(device)}
    return {**record, "sessions": [*list_sessions(record), new]}


def list_sessions(record: dict[str, Any]) -> list[Any]:
    """List by what a run was begun, gone on with and changed."""
    sessions = record.get("sessions")
    if isinstance(sessions, list):
        return sessions
    first = {key: record[key] for key in ("versions", "machine", "revision") if key in record}
    return [{"command": "train", "step": 0, **first}]


def is_calibrated(record: dict[str, Any]) -> bool:
    """Tell whether the threshold of a run's weights was changed after its training."""
    return any(
        isinstance(each, dict) and each.get("command") == "calibrate"
        for each in list_sessions(record)
    )


def write_record(folder: Path, record: dict[str, Any]) -> None:
    """Write what is known of a run."""
    text = dumps(record, indent=1, ensure_ascii=False) + "\n"
    write_atomic(folder / RECORD, text.encode("utf-8", "surrogateescape"))


def read_record(folder: Path) -> dict[str, Any]:
    """Read what is known of a run.

    Raises:
        ValueError: the folder holds no run
    """
    try:
        content = read_json(folder / RECORD)
    except ManifestError as error:
        raise ValueError(f"{folder}: expected a run's folder but {error}") from error
    result = content.get("result", {}) if isinstance(content, dict) else None
    if not isinstance(result, dict) or not isinstance(result.get("unreadable", {}), dict):
        raise ValueError(f"{folder}: expected a run's folder but {RECORD} is no record")
    return content


def _versions() -> dict[str, str | None]:
    versions: dict[str, str | None] = {}
    for name in _PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = None
    return versions


def _revision() -> str | None:
    """Name the revision of this project's checkout, if it is one."""
    folder = Path(__file__).resolve().parents[2]
    if not (folder / ".git").exists():
        return None
    try:
        command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None
