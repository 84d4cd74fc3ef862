"""Finer maps from the same weights: later stages that no longer shrink their input."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from collections.abc import Sequence

OUTPUT_STRIDES = (32, 16, 8)


def set_output_stride(stages: Sequence[nn.Module], output_stride: int, dilated: bool) -> None:
    """Set the stride of the last stages to 1.

    Dilated, the convolutions after a stride that is gone are spread out, so that each sees what
    it saw before: the same weights stay valid, and every second pixel of the finer map equals the
    coarse map. Not dilated, they look at a smaller field, as in the networks of the standard
    evaluation, which are trained that way. Poolings are left out in either case.

    Args:
        stages: the last two, each with what shrinks its input; changed in place
        output_stride: 32 changes nothing, 16 the last stage, 8 the last two
        dilated: spread the later convolutions

    Raises:
        ValueError: another output stride
    """
    if output_stride not in OUTPUT_STRIDES:
        raise ValueError(
            f"Expected output_stride to be one of {OUTPUT_STRIDES} but got {output_stride}"
        )
    spread = 1
    for stage in stages[len(stages) - OUTPUT_STRIDES.index(output_stride) :]:
        wider = 2 * spread if dilated else 1
        for module in stage.modules():
            if isinstance(module, nn.MaxPool2d):
                module.kernel_size = module.stride = 1
                spread = wider
            elif isinstance(module, nn.Conv2d):
                shrinks = max(module.stride) > 1
                _spread(module, spread)
                if shrinks:
                    spread = wider


def _spread(module: nn.Conv2d, spread: int) -> None:
    """Give a convolution stride 1, a dilation, and the padding that keeps the size."""
    module.stride = (1, 1)
    if module.kernel_size == (1, 1):
        return
    module.dilation = (spread, spread)
    if all(side % 2 for side in module.kernel_size):
        module.padding = tuple(spread * (side - 1) // 2 for side in module.kernel_size)
    else:
        module.padding = "same"
