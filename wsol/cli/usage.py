"""Errors of the library as one line: wrong use exits with 2, what failed with 1."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

# Arguments of public functions whose flag or name on the command line is another one.
_NAMES = {
    "changes": "--set",
    "choose": "--threshold",
    "class_name": "--class",
    "data": "DATA",
    "experiment": "NAME",
    "formats": "--format",
    "methods": "--method",
    "output_strides": "--output-stride",
    "runs": "--run",
    "sources": "SOURCE",
    "step": "--at-step",
    "thresholds": "--threshold",
}


def fail(message: str) -> NoReturn:
    """Say in one line what went wrong, and exit with 1."""
    sys.stderr.write(f"Error: {' '.join(message.split())}\n")
    raise typer.Exit(1)


@contextmanager
def usage(**names: str) -> Iterator[None]:
    """Turn the errors of a public function into exits.

    Args:
        names: an argument's name on the command line, where it is neither its flag nor its name
            elsewhere; empty where the argument was not given
    """
    try:
        yield
    except (OSError, RuntimeError, ValueError) as error:
        _exit(error, names)
        raise


def _exit(error: OSError | RuntimeError | ValueError, names: dict[str, str]) -> None:
    """Exit for an error that tells a person enough; others are faults of ours and go on."""
    from eval.manifest import ManifestError
    from tdam.training.errors import TrainingError
    from tdam.weights import WeightsError
    from wsol.benchmarking.outcome import NothingScoredError
    from wsol.errors import ArgumentError, OutputError
    from wsol.evaluation.comparison import ResultError
    from wsol.evaluation.map_source import MapError
    from wsol.evaluation.resume_file import ResumeError
    from wsol.folder_lock import FolderHeldError
    from wsol.images import SourceError

    if isinstance(error, ArgumentError):
        argument = error.argument
        flag = _NAMES.get(argument, f"--{argument.replace('_', '-')}")
        hint = names.get(argument, flag) or None
        raise typer.BadParameter(str(error), param_hint=hint) from error
    if isinstance(error, (OutputError, SourceError)):
        hint = "SOURCE" if isinstance(error, SourceError) else "--out"
        raise typer.BadParameter(str(error), param_hint=hint) from error
    if isinstance(error, ResumeError):
        message = f"{error}; --force begins anew"
        raise typer.BadParameter(message, param_hint="--out") from error
    if isinstance(error, MapError):
        sys.stderr.writelines(f"{line}\n" for line in error.faults)
        fail(
            f"{len(error.faults)} maps are missing, broken or of no image; with --allow-missing "
            "those of images count as missed"
        )
    failures = (
        FolderHeldError,
        ManifestError,
        NothingScoredError,
        ResultError,
        TrainingError,
        WeightsError,
    )
    if isinstance(error, failures):
        fail(str(error))
    if isinstance(error, OSError) and error.filename is not None:
        fail(f"{error.filename}: {error.strerror}")
    if type(error) is ValueError:
        raise typer.BadParameter(str(error)) from error
