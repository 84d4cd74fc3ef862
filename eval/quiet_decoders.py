"""Decoders speak of broken files on stderr themselves; here they are silenced, for errors tell."""

from __future__ import annotations

import ctypes
import logging
import warnings
from contextlib import suppress
from functools import cache
from pathlib import Path

import PIL

_LIBRARIES = ("../pillow.libs/libtiff*", ".dylibs/libtiff*")  # where Pillow's wheels have it


def silence_decoders() -> None:
    """Silence PIL's warnings and libtiff's messages.

    Called before each image, since callers and tests put filters of their own in front.
    """
    warnings.filterwarnings("ignore", module=r"PIL\.")
    _silence_for_good()


@cache
def _silence_for_good() -> None:
    """Silence PIL's log, and libtiff's where it is found: elsewhere it goes on speaking."""
    logging.getLogger("PIL").addHandler(logging.NullHandler())  # else errors go to stderr
    home = Path(PIL.__file__).parent
    for path in (path for pattern in _LIBRARIES for path in home.glob(pattern)):
        with suppress(OSError, AttributeError):
            library = ctypes.CDLL(str(path.resolve()))
            library.TIFFSetErrorHandler(None)
            library.TIFFSetWarningHandler(None)
