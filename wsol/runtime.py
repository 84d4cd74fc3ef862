"""Where and in which mode a model runs, and what becomes of the memory it frees."""

from __future__ import annotations

import ctypes
import os
import sys
from typing import TYPE_CHECKING

import torch

from tdam.job import own_device
from tdam.precision import check_precision
from wsol.errors import about

if TYPE_CHECKING:
    from torch import nn

_keeps: bool | None = None  # whether freed memory is kept; None while nobody has said
_REFUSALS = ("0", "no", "false", "off")  # values of WSOL_KEEP_MEMORY


def find_device(name: str) -> torch.device:
    """Return the device that a name stands for; of several processes each has a GPU of its own.

    Args:
        name: `auto` for the GPU where there is one, else as torch names it

    Raises:
        ValueError: a device that this machine does not have
    """
    if name == "auto":
        return own_device(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    try:
        return torch.empty(0, device=own_device(torch.device(name))).device
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"Expected a device of this machine but got {name!r}") from error


def settle_device(name: str, precision: str) -> torch.device:
    """Return the device that a name stands for, if it computes in a precision.

    Args:
        name: as for `find_device`
        precision: one of `tdam.precision.PRECISIONS`

    Raises:
        wsol.errors.ArgumentError: a `device` or a `precision` that this machine does not have
    """
    with about("device"):
        device = find_device(name)
    with about("precision"):
        check_precision(precision, device)
    return device


def keep_freed_memory(keep: bool = True) -> bool:
    """Let the C library keep what a network's step frees, for the next step to use.

    By default glibc hands large blocks back to the system and gets them anew, page by page, which
    can take as long as the arithmetic, and longer. What is kept is at most what was in use at
    once, rounded up by how it is cut: twice as much memory in large batches. It concerns the whole
    process; whatever runs a network here, `Localizer`, `evaluate` and the commands, asks for it
    the first time, unless this was called before or the environment has `WSOL_KEEP_MEMORY=0`.

    Args:
        keep: False for what the C library does by itself, whoever asks for it later

    Returns:
        whether freed memory is kept: on Linux with glibc it can be
    """
    global _keeps
    if keep:
        _keeps = _set_malloc(0, -1)
    else:
        if _keeps:
            _set_malloc(65_536, 128 * 1024)  # as they are when nobody has set them
        _keeps = False
    return _keeps


def ask_for_memory() -> None:
    """Keep freed memory from now on, unless somebody said otherwise."""
    if _keeps is None:
        keep_freed_memory(os.environ.get("WSOL_KEEP_MEMORY", "").lower() not in _REFUSALS)


def _set_malloc(most_mappings: int, trim_threshold: int) -> bool:
    if sys.platform != "linux":
        return False
    try:
        set_option = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    m_mmap_max, m_trim_threshold = -4, -1  # options of malloc.h
    return bool(
        set_option(m_mmap_max, most_mappings) and set_option(m_trim_threshold, trim_threshold)
    )


def settle_layout(model: nn.Module, device: torch.device, asked: bool | None = None) -> bool:
    """Tell whether a network shall compute on channels_last.

    Every registered network with convolutions is faster so on x86 processors, by 1.1 to 1.35 times,
    and those of layers normed per pixel or token give the same bits in the same time. A network of
    somebody else's may take for granted how its tensors lie, and keeps what it was written for.

    Args:
        model: any network
        device: that it computes on
        asked: what somebody asked for; None where nobody did
    """
    if asked is not None:
        return asked
    registered = getattr(model, "spec", None) is not None
    return registered and device.type == "cpu" and torch.backends.mkldnn.is_available()


def is_half_fast(device: torch.device) -> bool:
    """Tell whether bfloat16 is faster than float32 here."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and bool(torch.cpu._is_avx512_bf16_supported())
