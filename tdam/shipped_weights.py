"""The weights that come along: their names and files, which need no torch."""

from __future__ import annotations

from pathlib import Path

SHIPPED = Path(__file__).parent / "shipped"  # weights of our own training, each with its card


def list_shipped() -> list[str]:
    """Name the weights that ship with the package."""
    return sorted(path.stem for path in SHIPPED.glob("*.safetensors"))


def shipped_path(name: str) -> Path:
    """Return the file of shipped weights, whatever lies in the current folder."""
    return SHIPPED / f"{name}.safetensors"
