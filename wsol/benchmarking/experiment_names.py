"""The experiments that come along, by name, which needs no torch."""

from __future__ import annotations

from importlib import resources
from pathlib import Path


def list_experiments() -> list[str]:
    """Name the experiments that the package carries."""
    folder = resources.files("wsol") / "experiments"
    return sorted(Path(each.name).stem for each in folder.iterdir() if each.name.endswith(".toml"))
