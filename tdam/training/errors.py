"""What can go wrong in a training that is no fault of the caller's code."""

from __future__ import annotations


class TrainingError(RuntimeError):
    """A training that cannot go on; the message says where it stands and what to do."""


class UnreadableImageError(ValueError):
    """An image that cannot be read; the message is the reason, without the file's name."""
