"""Ratios of time and memory within one run, where the machine's own drift cancels."""

from __future__ import annotations

import gc
import platform
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Ratio:
    """One cost in units of another, both measured in turn in the same run.

    Args:
        name: what is compared with what
        target: that the median should not exceed, or should reach; None: no target
        median: over the repetitions
        low: the smallest
        high: the largest
        at_least: whether the target is to be reached
    """

    name: str
    target: float | None
    median: float
    low: float
    high: float
    at_least: bool = False

    @property
    def met(self) -> bool:
        """Whether the median meets the target."""
        if self.target is None:
            return True
        return self.median >= self.target if self.at_least else self.median <= self.target


def compare_times(
    name: str,
    first: Callable[[], Any],
    second: Callable[[], Any],
    repeats: int,
    target: float | None = None,
    at_least: bool = False,
) -> Ratio:
    """Time two calls in turn, A B A B, and compare them pair by pair.

    Args:
        name: what is compared with what
        first: the call in question
        second: the call that is the unit
        repeats: pairs that count, after two that do not
        target: that the median should not exceed, or should reach
        at_least: whether it should reach it
    """
    ratios = []
    for turn in range(repeats + 2):
        spent = [_seconds(call) for call in (first, second)]
        if turn >= 2:
            ratios.append(spent[0] / spent[1])
    return Ratio(name, target, statistics.median(ratios), min(ratios), max(ratios), at_least)


def _seconds(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


class PeakMemory(TorchDispatchMode):
    """Counts the bytes of all tensors that are alive at once, at most, while it is active.

    It sees what operations put out, on any device, and not the scratch space inside them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.peak = 0
        self._alive: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, torch.Tensor):
                storage = leaf.untyped_storage()
                self._alive[storage._cdata] = StorageWeakRef(storage), storage.nbytes()
        self._alive = {k: v for k, v in self._alive.items() if not v[0].expired()}
        self.peak = max(self.peak, sum(size for _, size in self._alive.values()))
        return out


def peak_bytes(call: Callable[[], Any]) -> int:
    """Measure how much memory the tensors of a call take at once, at most, in bytes."""
    gc.collect()
    with PeakMemory() as counter:
        call()
    return counter.peak


def describe_machine() -> str:
    """Say what the figures were measured on."""
    where = platform.processor() or platform.machine()
    if torch.cuda.is_available():
        where = torch.cuda.get_device_name()
    capability = torch.backends.cpu.get_cpu_capability()
    return f"{where}, {torch.get_num_threads()} threads, {capability}, torch {torch.__version__}"
