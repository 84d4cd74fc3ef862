"""Gradients of layers as forward operations, of which an ONNX file can be made.

Torch knows what most operations of a backward pass are made of. Those of convolution and pooling
it leaves whole; they are written here for their input alone, since weights have no gradient in a
map. None is left to the exporter, whose own have other values where an activation has a corner.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch._decomp import core_aten_decompositions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

_aten: Any = torch.ops.aten


def decompositions() -> dict[Any, Callable[..., Any]]:
    """Give the operations of a backward pass, and what they are made of."""
    known = {op: made for op, made in core_aten_decompositions().items() if "backward" in op.name()}
    return {
        **known,
        _aten.convolution_backward.default: _convolution,
        _aten.avg_pool2d_backward.default: _average_pool,
        _aten.max_pool2d_with_indices_backward.default: _max_pool,
    }


def _convolution(
    gradient: Tensor,
    images: Tensor,
    weight: Tensor,
    bias_sizes: Any,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    transposed: bool,
    output_padding: list[int],
    groups: int,
    wanted: list[bool],
) -> tuple[Tensor | None, None, None]:
    """Gradient of a convolution's input: the transposed convolution of its output's."""
    if not wanted[0]:
        return None, None, None
    if transposed:
        made = _aten.convolution(
            gradient, weight, None, stride, padding, dilation, False, [0] * len(stride), groups
        )
        return made, None, None
    sides = range(len(stride))
    reach = [dilation[i] * (weight.shape[2 + i] - 1) + 1 - 2 * padding[i] for i in sides]
    rest = [images.shape[2 + i] - (gradient.shape[2 + i] - 1) * stride[i] - reach[i] for i in sides]
    made = _aten.convolution(gradient, weight, None, stride, padding, dilation, True, rest, groups)
    return made, None, None


def _average_pool(
    gradient: Tensor,
    images: Tensor,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    ceil_mode: bool,
    count_padding: bool,
    divisor: int | None,
) -> Tensor:
    """Gradient of average pooling's input: each pixel of a window has an equal share."""
    window = list(kernel) * (2 // len(kernel))
    step = list(stride or window) * (2 // len(stride or window))
    border = list(padding) * (2 // len(padding))
    if ceil_mode or (any(border) and not count_padding):
        raise NotImplementedError("average pooling whose windows are cut at the border")
    channels = images.shape[1]
    share = 1 / (divisor or window[0] * window[1])
    weight = torch.full((channels, 1, *window), share, dtype=gradient.dtype)
    sizes = [0] * channels
    options = (sizes, step, border, [1, 1], False, [0, 0], channels, [True, False, False])
    made, _, _ = _convolution(gradient, images, weight, *options)
    return made  # type: ignore[return-value]


def _max_pool(
    gradient: Tensor,
    images: Tensor,
    kernel: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    ceil_mode: bool,
    indices: Tensor,
) -> Tensor:
    """Gradient of max pooling's input: all of a window's goes to its highest pixel."""
    made = torch.zeros_like(images).flatten(2)
    made = made.scatter_add(2, indices.flatten(2), gradient.flatten(2))
    return made.view(images.shape)
