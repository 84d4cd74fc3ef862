"""A run that failed: which one, and why."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FailedRun:
    """A run that gave no scores.

    Args:
        name: of the run
        model: that it is of
        seeds: its seed as text; empty where runs have none
        reason: in one line
        held: whether it failed only because another process works on it, whose scores may be good
        recorded: whether its scores were to be read from the experiment's record
    """

    name: str
    model: str
    seeds: str
    reason: str
    held: bool = False
    recorded: bool = False

    def describe(self) -> str:
        """Name the run, and say why it failed."""
        return f"{self.name}: {self.reason}"


def tell_reason(error: Exception) -> str:
    """Write an error in one line."""
    return " ".join(str(error).split())
