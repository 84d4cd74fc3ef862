"""Wrong use of a public function: an error that knows which argument it is about."""

from __future__ import annotations

import errno
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class ArgumentError(ValueError):
    """An argument that cannot be used; the message stands alone.

    Args:
        argument: its name, as the function has it; the command line makes its flag of it
        message: what is wrong, and what to do
    """

    def __init__(self, argument: str, message: str) -> None:
        super().__init__(message)
        self.argument = argument


class EngineError(RuntimeError):
    """An engine or extra that is not installed, or that failed; the message says what to do."""


class OutputError(ValueError):
    """A file or folder that cannot be written, or that must not be overwritten."""


# What is wrong with a disk, rather than with the path that somebody chose.
_DISK = ("EDQUOT", "EFBIG", "EIO", "EMFILE", "ENFILE", "ENODEV", "ENOSPC", "ENOTCONN", "ENXIO",
         "EROFS", "ESTALE", "ETIMEDOUT")  # fmt: skip


def is_disk_fault(error: OSError) -> bool:
    """Tell whether a disk is full, read-only or gone, where no other name would help."""
    return errno.errorcode.get(error.errno or 0) in _DISK


@contextmanager
def about(argument: str) -> Iterator[None]:
    """Say of every ValueError of a block which argument it is about.

    Errors that know already, and those with a class of their own, pass as they are.

    Args:
        argument: name of it
    """
    try:
        yield
    except (ValueError, OutputError) as error:
        if isinstance(error, ArgumentError) or type(error) not in (ValueError, OutputError):
            raise
        raise ArgumentError(argument, str(error)) from error
