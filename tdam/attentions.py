"""Attention modules by name: one line each, and a file each for those of our own."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from tdam.builders import find_name, import_builder

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn


@dataclass(frozen=True)
class Attention:
    """An attention module after the branch of every block.

    Args:
        path: of its class, `module:class`; the class takes the number of channels first, and its
            output has the shape of its input, (N, C, H, W)
        options: further arguments
        gates: the last layer before each of its sigmoids, which `start_as_identity` sets to zero;
            a module with a method of that name needs none
    """

    path: str
    options: dict[str, Any] = field(default_factory=dict)
    gates: tuple[str, ...] = ()

    @property
    def build(self) -> Callable[[int], nn.Module]:
        """What builds it from the number of channels."""
        return partial(import_builder(self.path), **self.options)


SEARCHLIGHTS = ("top", "joint", "joint_sum")  # of `tdam`

_SE = {"rd_ratio": 1 / 16, "rd_divisor": 1, "bias": False}
_CBAM = {"rd_ratio": 1 / 16, "rd_divisor": 1}

ATTENTIONS: dict[str, Attention | None] = {
    "none": None,
    "tdam": None,  # not in this slot: it changes how a block runs (tdam.recurrence)
    "se": Attention("timm.layers:SEModule", _SE, ("fc2",)),
    "cbam": Attention("timm.layers.cbam:CbamModule", _CBAM, ("channel.fc2", "spatial.conv.bn")),
    "eca": Attention("timm.layers:EcaModule", gates=("conv",)),
    "fca": Attention("tdam.frequency:FrequencyAttention", gates=("gate.2",)),
}


def find_attention(attention: str | Callable[[int], nn.Module] | None) -> str:
    """Return a kind of attention's name.

    Args:
        attention: its name, or a class or function from outside the package

    Raises:
        TypeError: something else
        ValueError: there is no such kind (the message lists those there are), or a class or
            function without a name of its own

    >>> find_attention("se"), find_attention(None)
    ('se', 'none')
    """
    return find_name("attention", attention, ATTENTIONS)
