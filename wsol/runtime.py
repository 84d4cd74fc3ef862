"""Where and in which mode a model runs, and what becomes of the memory it frees."""

from __future__ import annotations

import ctypes
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from tdam.precision import check_precision
from wsol.errors import about

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn


def find_device(name: str) -> torch.device:
    """Return the device that a name stands for.

    Args:
        name: `auto` for the GPU where there is one, else as torch names it

    Raises:
        ValueError: a device that this machine does not have
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=name).device
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


def keep_freed_memory() -> bool:
    """Let the C library keep what a network's step frees, for the next step to use.

    By default glibc hands large blocks back to the system and gets them anew, page by page, which
    can take as long as the arithmetic. It concerns the whole process, so that only programs call
    this, not a library.

    Returns:
        whether it took effect: on Linux with glibc it does
    """
    if sys.platform != "linux":
        return False
    try:
        set_option = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    most_mappings, trim_threshold = -4, -1  # names of options in malloc.h
    return bool(set_option(most_mappings, 0) and set_option(trim_threshold, -1))


def is_half_fast(device: torch.device) -> bool:
    """Tell whether bfloat16 is faster than float32 here."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and bool(torch.cpu._is_avx512_bf16_supported())


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Put a model into evaluation mode, and every part of it back into its own mode afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
