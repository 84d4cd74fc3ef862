"""Standard output and error of the command: whatever is written, a terminal only shows it."""

from __future__ import annotations

import errno
import io
import os
import sys
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout, suppress
from typing import TYPE_CHECKING, Any, TextIO

from wsol.text import RAW_BYTES, escape

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console


class _EscapedStream(io.TextIOBase):
    """Writes to another stream what `escape` makes of a text, lines and columns apart.

    Args:
        stream: that is written to
        name: of it, for people
        keep: further characters to leave as they are; None for all
    """

    def __init__(self, stream: TextIO, name: str, keep: str | None = "") -> None:
        self.stream = stream
        self.label = name
        self._keep = None if keep is None else f"\n\t{keep}"

    def write(self, text: str) -> int:
        """Write a text."""
        if not isinstance(text, str):
            raise TypeError(f"Expected text but got {type(text).__name__}")
        shown = text if self._keep is None else escape(text, self._keep)
        encoding = self.stream.encoding or "utf-8"
        if encoding.lower().replace("-", "") != "utf8":
            shown = "".join(char if _fits(char, encoding) else _write_out(char) for char in shown)
        with self._named():
            self.stream.write(shown)
        return len(text)

    def flush(self) -> None:
        """Flush the stream."""
        with self._named():
            self.stream.flush()

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Say of a full disk which file it is about."""
        try:
            yield
        except OSError as error:
            raise OSError(error.errno, error.strerror, self.label) from error

    def isatty(self) -> bool:
        """Tell whether the stream is a terminal."""
        return self.stream.isatty()

    def fileno(self) -> int:
        """Give the stream's number."""
        return self.stream.fileno()

    def writable(self) -> bool:
        """Tell that it can be written to."""
        return True

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """That of the stream."""
        return self.stream.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        """How the stream writes what it cannot encode."""
        return self.stream.errors


def _fits(char: str, encoding: str) -> bool:
    try:
        char.encode(encoding, "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True


def _write_out(char: str) -> str:
    return char.encode("ascii", "backslashreplace").decode()


class _NoStream(io.StringIO):
    """Stands for a standard output that whoever started us had closed: nothing can be printed."""

    encoding = "utf-8"

    def write(self, text: str) -> int:
        """Refuse a text, as the system does."""
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))


class _Whatever(_EscapedStream):
    """Writes what the other stream takes: a message that nobody can be told ends no work."""

    @contextmanager
    def _named(self) -> Iterator[None]:
        with suppress(OSError):
            yield


def unescaped(stream: Any) -> Any:
    """Give a stream without escapes, for what draws with a terminal's own commands."""
    if not isinstance(stream, _EscapedStream):
        return stream
    return type(stream)(stream.stream, stream.label, None)


@contextmanager
def lines_above(console: Console) -> Iterator[None]:
    """Put what is written on a terminal above the bar that is drawn there.

    Args:
        console: that draws the bar
    """
    from rich.file_proxy import FileProxy

    with ExitStack() as stack:
        for stream, redirect in ((sys.stdout, redirect_stdout), (sys.stderr, redirect_stderr)):
            if isinstance(stream, _EscapedStream) and stream.isatty():
                above: Any = FileProxy(console, stream.stream)
                stack.enter_context(redirect(type(stream)(above, stream.label)))
        yield


@contextmanager
def escaped_streams() -> Iterator[None]:
    """Escape what is written on standard output and error; neither ever fails to encode a text.

    Bytes that are no text, of names of files, are read from standard input as they are, and so
    they are written to standard output unless it is a terminal. To print where standard output is
    closed raises OSError; what standard error does not take is lost.
    """
    _occupy_standard_numbers()
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="surrogateescape")
    with ExitStack() as stack:
        out: Any = _NoStream() if sys.stdout is None else sys.stdout
        err: Any = io.StringIO() if sys.stderr is None else sys.stderr
        keep = "" if out.isatty() else RAW_BYTES
        stack.enter_context(redirect_stdout(_EscapedStream(out, "standard output", keep)))
        stack.enter_context(redirect_stderr(_Whatever(err, "standard error")))
        yield


def _occupy_standard_numbers() -> None:
    """Keep the numbers of closed standard streams from files, which others would write into."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(number)
