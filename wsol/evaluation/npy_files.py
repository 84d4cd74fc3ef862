"""Arrays of other programs, as `.npy` files, read such that every fault names its file."""

from __future__ import annotations

import stat
from io import BytesIO
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from wsol.images import ImageError

if TYPE_CHECKING:
    from pathlib import Path

_MAGIC = b"\x93NUMPY"  # what a .npy file begins with
_HEADERS = Lock()  # numpy parses them as Python, and CPython 3.11 fails where threads do so at once


def read_array(path: Path, most: int, what: str) -> np.ndarray:
    """Read an array of numbers.

    Args:
        path: of a `.npy` file
        most: bytes that it may have
        what: it should hold, for messages, such as `a map`

    Returns:
        real numbers of any kind and shape

    Raises:
        ImageError: a file that is missing, broken or larger, or one of something else
    """
    try:
        state = path.stat()
        if not stat.S_ISREG(state.st_mode):  # a pipe would keep us waiting
            raise ImageError(f"{path}: expected an array but this is no regular file")
        if state.st_size > most:
            raise ImageError(f"{path}: expected {what} but this file has {state.st_size:,} bytes")
        content = path.read_bytes()
        if not content.startswith(_MAGIC):  # or numpy would speak of pickles
            raise ImageError(f"{path}: expected an array but this is no .npy file")
        with _HEADERS:
            array = np.load(file := BytesIO(content), allow_pickle=False)
        if rest := len(content) - file.tell():
            raise ImageError(f"{path}: expected one array but {rest} bytes follow it")
    except ImageError:
        raise
    except FileNotFoundError:
        raise ImageError(f"{path}: expected {what} but there is no such file") from None
    except Exception as error:  # numpy raises anything on a broken file
        reason = " ".join((str(error) or type(error).__name__).split())[:200]
        raise ImageError(f"{path}: expected an array but {reason}") from error
    if not np.issubdtype(array.dtype, np.number) or np.iscomplexobj(array):
        raise ImageError(f"{path}: expected numbers but got {array.dtype} {array.shape}")
    if not array.size:
        raise ImageError(f"{path}: expected {what} but its shape is {array.shape}")
    return array
