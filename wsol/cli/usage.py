"""Errors of the library as one line: wrong use exits with 2, what failed with 1."""

from __future__ import annotations

import os
import sys
import traceback
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, NoReturn

import typer

from tdam.ranks import RanksError
from wsol.text import escape

if TYPE_CHECKING:
    from collections.abc import Iterator

debugging = ContextVar("debugging", default=False)  # whether errors show where they came from

_LONGEST = 4000  # characters of a message

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
    show_traceback()
    sys.stderr.write(f"Error: {_shorten(message)}\n")
    raise typer.Exit(1)


def refuse(message: str, hint: str | None = None) -> NoReturn:
    """Say in one line what was wrong to ask for, and exit with 2.

    Args:
        message: what is wrong
        hint: the flag or name that it is about
    """
    raise typer.BadParameter(_shorten(message), param_hint=hint)


def _shorten(message: str) -> str:
    """Escape a message, without the middle of one that quotes a whole file."""
    if len(message) > _LONGEST:
        message = f"{message[: _LONGEST // 2]} ... {message[-_LONGEST // 2 :]}"
    return escape(message)


def show_traceback() -> None:
    """Show where the error in hand came from, where `--debug` asks for it."""
    if debugging.get() and sys.exc_info()[0] is not None:
        traceback.print_exc()


def describe_error(error: Exception) -> str:
    """Say in one line what ended a command.

    Args:
        error: wrong use as typer tells it; what the system has against a file; or one that nobody
            expected, whose kind is named
    """
    told = getattr(error, "format_message", None)
    if told is not None:
        return escape(" ".join(told().split()))
    message = " ".join(str(error).split())
    if isinstance(error, RanksError):
        return escape(message)
    if isinstance(error, OSError) and error.strerror:
        names = [os.fsdecode(each) for each in (error.filename, error.filename2) if _is_path(each)]
        return escape(": ".join([*names, error.strerror]))
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return escape(f"out of memory ({message or 'no more to be had'}); --debug shows where")
    return escape(f"unexpected {type(error).__name__}: {message}; --debug shows where")


def _is_path(value: object) -> bool:
    return isinstance(value, (str, bytes, os.PathLike))


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
    from wsol.errors import ArgumentError, EngineError, OutputError
    from wsol.evaluation.comparison import ResultError
    from wsol.evaluation.map_source import MapError
    from wsol.evaluation.resume_file import ResumeError
    from wsol.folder_lock import FolderHeldError
    from wsol.images import SourceError

    if isinstance(error, ArgumentError):
        argument = error.argument
        flag = _NAMES.get(argument, f"--{argument.replace('_', '-')}")
        hint = names.get(argument, flag) or None
        refuse(str(error), hint)
    if isinstance(error, (OutputError, SourceError)):
        hint = "SOURCE" if isinstance(error, SourceError) else names.get("out", "--out")
        refuse(str(error), hint)
    if isinstance(error, ResumeError):
        refuse(f"{error}; --force begins anew", "--out")
    if isinstance(error, MapError):
        fail(f"{error.summary}. With --allow-missing those of images count as missed")
    failures = (
        EngineError,
        FolderHeldError,
        ManifestError,
        NothingScoredError,
        ResultError,
        TrainingError,
        WeightsError,
    )
    if isinstance(error, failures):
        fail(str(error))
    if type(error) is ValueError:
        refuse(str(error))
