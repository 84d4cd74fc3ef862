"""The job that this process belongs to: alone, or as one of those that torchrun started."""

from __future__ import annotations

import os
import sys
from datetime import timedelta
from typing import TYPE_CHECKING

from tdam.ranks import Ranks

if TYPE_CHECKING:
    import torch

_LEAD_ALONE = timedelta(hours=12)  # the others wait while the first packs images or writes a page
_STEP = timedelta(minutes=30)  # a training step's sums, which all processes come to at once

_NEEDED = ("RANK", "MASTER_ADDR", "MASTER_PORT")  # beside WORLD_SIZE

_ALONE = Ranks()
_joined: Ranks | None = None


def count_started() -> int:
    """Tell how many processes torchrun started; 1 without it.

    Raises:
        ValueError: WORLD_SIZE is no number of processes
    """
    return _read_number("WORLD_SIZE", "1", 1)


def check_started() -> None:
    """Refuse what only seems to be a process of several, before it waits for the others.

    Raises:
        ValueError: it names the variable of the environment that is missing, or wrong
    """
    count = count_started()
    if missing := [name for name in _NEEDED if not os.environ.get(name)]:
        raise ValueError(
            f"Expected {', '.join(_NEEDED)} in the environment, as WORLD_SIZE={count} says that "
            f"this is one of {count} processes, but there is no {', '.join(missing)}: start them "
            "through torchrun, or unset WORLD_SIZE"
        )
    _read_number("RANK", "", 0, count - 1)
    _read_number("LOCAL_RANK", "0", 0)
    _read_number("MASTER_PORT", "", 0, 65535)


def _read_number(name: str, default: str, least: int, most: int | None = None) -> int:
    """Read a whole number from the environment."""
    text = os.environ.get(name, default)
    number = int(text) if text.isascii() and text.isdigit() else -1
    if number < least or (most is not None and number > most):
        span = f"from {least} to {most}" if most is not None else f"of at least {least}"
        raise ValueError(
            f"Expected {name} in the environment, as torchrun sets it, to be a whole number {span} "
            f"but got {text!r}"
        )
    return number


def join_ranks() -> Ranks:
    """Join the processes that torchrun started, which all have to call this.

    Of processes that another program joined by torch.distributed, the groups stay as they are.

    Returns:
        this process among them; alone where there is one

    Raises:
        ValueError: as `check_started`
        RuntimeError: they do not meet
    """
    global _joined
    if _joined is None and (count_started() > 1 or _is_joined()):
        _joined = _join()
    return _joined or _ALONE


def find_ranks() -> Ranks:
    """Tell which process this is among those that `join_ranks` joined."""
    return _joined or _ALONE


def own_device(device: torch.device) -> torch.device:
    """Give a process of several the GPU that is its own; other devices stay.

    Raises:
        ValueError: this machine has more processes than GPUs
    """
    if device.type != "cuda" or find_ranks().count == 1:
        return device
    import torch

    number, there = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if number >= there:
        raise ValueError(
            f"Expected at most as many processes on a machine as it has GPUs but got process "
            f"{number + 1} for {there}"
        )
    torch.cuda.set_device(number)
    return torch.device("cuda", number)


def _is_joined() -> bool:
    torch = sys.modules.get("torch")
    distributed = getattr(torch, "distributed", None)
    return bool(distributed and distributed.is_available() and distributed.is_initialized())


def _join() -> Ranks:
    import torch
    from torch import distributed

    store = None
    if not _is_joined():
        check_started()
        store, rank, count = next(distributed.rendezvous("env://", timeout=_STEP))
        gpus = torch.cuda.is_available() and distributed.is_nccl_available()
        distributed.init_process_group(
            "cpu:gloo,cuda:nccl" if gpus else "gloo",
            store=store, rank=rank, world_size=count, timeout=_STEP,
        )  # fmt: skip
    rank, count = distributed.get_rank(), distributed.get_world_size()
    group = distributed.new_group(backend="gloo", timeout=_LEAD_ALONE) if count > 1 else None
    return Ranks(rank, count, group, store)
