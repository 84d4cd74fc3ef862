"""The kinds of numbers that a network computes in, its weights staying float32."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import nn

PRECISIONS = ("float32", "bfloat16", "float16")


class FewBitsWarning(UserWarning):
    """Boxes may differ from those of float32 by more than a few pixels."""


def warn_of_few_bits(model: nn.Module) -> None:
    """Warn where a network's own weights are bfloat16, whose maps have 8 bits."""
    import torch

    kinds = {each.dtype for each in model.parameters()}
    if torch.bfloat16 in kinds:
        warnings.warn(
            "the network's weights are bfloat16: its maps have 8 bits, and where two regions are "
            "about as large a box may be around the other one than in float32, which "
            "model.float() computes in",
            FewBitsWarning,
            stacklevel=3,
        )


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """Return the context in which a network computes in a kind of numbers.

    Args:
        precision: one of `PRECISIONS`; `float32` changes nothing
        device: that the network is on
    """
    import torch

    if precision == "float32":
        return torch.autocast(device.type, torch.bfloat16, enabled=False)
    return torch.autocast(device.type, getattr(torch, precision))


def check_precision(precision: str, device: torch.device) -> None:
    """See whether a device computes in a kind of numbers, forward and backward.

    Args:
        precision: one of `PRECISIONS`
        device: to compute on

    Raises:
        ValueError: another word, or one that the device cannot do

    >>> import torch
    >>> check_precision("float8", torch.device("cpu"))
    Traceback (most recent call last):
    ...
    ValueError: Expected precision to be one of float32, bfloat16, float16 but got 'float8'
    """
    if precision not in PRECISIONS:
        raise ValueError(
            f"Expected precision to be one of {', '.join(PRECISIONS)} but got {precision!r}"
        )
    if precision == "float32":
        return
    import torch

    reason = "autocast has no such numbers there"
    with warnings.catch_warnings(action="ignore"):  # autocast only warns, and does without
        try:
            with autocast(precision, device):
                weights = torch.ones(8, 8, 3, 3, device=device, requires_grad=True)
                pixels = torch.ones(1, 8, 4, 4, device=device)
                made = torch.nn.functional.conv2d(pixels, weights)
            made.float().sum().backward()
            if made.dtype == getattr(torch, precision):
                return
        except (RuntimeError, NotImplementedError) as error:
            reason = (str(error).strip().splitlines() or [reason])[0]
    raise ValueError(
        f"Expected precision to be one that {device.type} computes in but got {precision} "
        f"({reason}); take float32"
    )
