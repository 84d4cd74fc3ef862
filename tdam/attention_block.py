"""The slot of attention modules other than TDAM: after the branch of every block."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import nn

from tdam.recurrence import PlannedBlock, trace_channels

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from tdam.recurrence import Plan


class AttentionBlock(PlannedBlock):
    """A planned block whose branch ends in an attention module.

    Args:
        block: whose modules are taken over
        plan: in which order they run
        build: from channels to a module whose output has the shape of its input, (N, C, H, W)
        gates: the last layer before each sigmoid of the module; empty where it needs no help to
            start as the identity, or cannot do so

    Raises:
        TypeError: what was built is no module

    The new tensors are those below `attention`, and `gain` where there are gates.
    """

    gain: Tensor

    def __init__(
        self,
        block: nn.Module,
        plan: Plan,
        build: Callable[[int], nn.Module],
        gates: tuple[str, ...] = (),
    ) -> None:
        added = ("attention", "gain") if gates else ("attention",)
        super().__init__(block, replace(plan, after=(*added, *plan.after)))
        self.attention = build(trace_channels(self)[-1])
        if not isinstance(self.attention, nn.Module):
            raise TypeError(f"Expected attention to build a module but got {self.attention!r}")
        self._gates = gates
        if gates:
            self.register_buffer("gain", torch.ones(()))
        like = next(block.parameters())
        self.to(device=like.device, dtype=like.dtype)

    def start_as_identity(self) -> None:
        """Make the module pass features through, as far as it can.

        Gates become 1/2, undone by a gain of 2 for each. A module with a method
        `start_as_identity` does it itself; any other starts as it is initialised.
        """
        start = getattr(self.attention, "start_as_identity", None)
        if start is not None:
            start()
        for gate in self._gates:
            for parameter in self.attention.get_submodule(gate).parameters():
                nn.init.zeros_(parameter)
        if self._gates:
            self.gain.fill_(2 ** len(self._gates))
