"""The processes that train together: one alone, or those that torchrun started."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

if TYPE_CHECKING:
    from torch import nn

T = TypeVar("T")


@dataclass(frozen=True)
class Ranks:
    """This process among those that train the same network.

    Every process works on its part of each batch. Only the first reports and writes.

    Args:
        rank: of this process, from 0
        count: of processes
        device: that the network runs on
    """

    rank: int
    count: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this is the process that validates, writes and reports."""
        return self.rank == 0

    def wrap(self, model: nn.Module) -> nn.Module:
        """Make a network's gradients the mean over all processes."""
        if self.count == 1:
            return model
        return DistributedDataParallel(
            model, device_ids=[self.device] if self.device.type == "cuda" else None
        )

    def sum(self, *numbers: float) -> list[float]:
        """Add numbers up over all processes."""
        if self.count == 1:
            return list(numbers)
        total = torch.tensor(numbers, dtype=torch.float64, device=self.device)
        distributed.all_reduce(total)
        sums: list[float] = total.tolist()
        return sums

    def any(self, flag: bool) -> bool:
        """Tell whether any process says yes."""
        return self.sum(flag)[0] > 0

    def union(self, entries: dict[str, str]) -> dict[str, str]:
        """Merge the entries of all processes."""
        if self.count == 1:
            return entries
        parts: list[dict[str, str]] = [{}] * self.count
        distributed.all_gather_object(parts, entries)
        return {key: value for part in parts for key, value in part.items()}

    def agree(self, value: T) -> T:
        """Return the first process's value, once it has one."""
        if self.count == 1:
            return value
        values = [value]
        distributed.broadcast_object_list(values, src=0, device=self.device)
        return values[0]


def find_ranks(device: torch.device) -> Ranks:
    """Tell which process this is.

    Args:
        device: that the network runs on
    """
    if not distributed.is_available() or not distributed.is_initialized():
        return Ranks(0, 1, device)
    return Ranks(distributed.get_rank(), distributed.get_world_size(), device)


def is_first_rank() -> bool:
    """Tell whether this process reports: it is alone, or the first of those that train together."""
    return find_ranks(torch.device("cpu")).first


def join_ranks(device: torch.device) -> torch.device:
    """Join the processes that torchrun started; do nothing if there is one, or they are joined.

    Args:
        device: for the network to run on

    Returns:
        the device of this process: of several GPUs its own
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return device
    joined = distributed.is_available() and distributed.is_initialized()
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
    backend = "nccl" if device.type == "cuda" else "gloo"
    # The others wait while the first one packs images or validates.
    if not joined:
        distributed.init_process_group(backend, timeout=timedelta(hours=12))
    return device
