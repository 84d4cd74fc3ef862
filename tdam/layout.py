"""Where channels and places lie in what a layer puts out, told from the layer and the image."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from tdam.recurrence import stand_ins

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from torch import Tensor

    Reshape = Callable[[Tensor], Tensor]

_CONVOLUTIONAL = (
    nn.modules.conv._ConvNd, nn.modules.batchnorm._BatchNorm, nn.GroupNorm,
    nn.modules.pooling._MaxPoolNd, nn.modules.pooling._AvgPoolNd,
)  # fmt: skip
_COUNTS = ("out_channels", "num_features", "num_channels", "out_features", "normalized_shape")
_MOST_PREFIX = 16  # class token, distillation token, registers


@dataclass
class View:
    """What a forward pass shows of the sizes in it.

    Args:
        shape: (N, 3, H, W), of the images; None where it is not known
        grid: rows and columns of the patches that an embedding made; None without one
        steps: T, of a pass that gives every step, whose later layers put out T maps an image
    """

    shape: tuple[int, ...] | None = None
    grid: tuple[int, int] | None = None
    steps: int = 1

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the images, of which the ratio counts; a square if not known."""
        return (1, 1) if self.shape is None else (self.shape[2], self.shape[3])


@contextmanager
def watching(
    model: nn.Module, shape: tuple[int, ...] | None = None, steps: int = 1
) -> Iterator[View]:
    """Note how large the images of a forward pass are, and into how many patches they are cut.

    Args:
        model: the network
        shape: of the images, (N, 3, H, W), where it is known
        steps: T, of a pass that gives every step
    """
    view = View(shape, steps=steps)

    def note_shape(module: Any, args: tuple[Any, ...], named: dict[str, Any]) -> None:
        shown = args[0] if args else next(iter(named.values()), None)
        if isinstance(shown, torch.Tensor) and shown.ndim == 4:
            view.shape = tuple(shown.shape)

    def note_grid(module: Any, args: Any, output: Tensor) -> None:
        view.grid = (output.shape[2], output.shape[3])

    handles = []
    if shape is None:
        handles.append(model.register_forward_pre_hook(note_shape, with_kwargs=True))
    patches = _find_patches(model)
    if patches is not None:
        handles.append(patches.register_forward_hook(note_grid))
    try:
        yield view
    finally:
        for handle in handles:
            handle.remove()


def _find_patches(model: nn.Module) -> nn.Module | None:
    """Find the convolution that cuts images into patches: the first one, if its patches touch."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            touches = module.kernel_size == module.stride != (1, 1)
            return module if touches and module.in_channels == 3 else None
    return None


def find_reshape(model: nn.Module, layer: nn.Module, output: Any, view: View) -> Reshape | None:
    """Tell how the output of a layer becomes (N, C, h, w).

    Args:
        model: the network
        layer: whose output it is
        output: what it put out
        view: of the pass

    Returns:
        what turns it; None where it is (N, C, h, w) already

    Raises:
        ValueError: its axes cannot be told; the message has its shape
    """
    if not isinstance(output, torch.Tensor):
        raise ValueError(
            f"Expected the target layer to put out (N, C, h, w) but got {_describe(output)}; name "
            "a layer inside of it, or one that follows"
        )
    if output.ndim not in (3, 4):
        raise ValueError(
            "Expected the target layer to put out (N, C, h, w), (N, h, w, C) or tokens, (N, L, C), "
            f"but got {tuple(output.shape)}"
        )
    whole = range(1, view.steps + 1)  # a step that is done takes no further part
    if view.shape is not None and output.shape[0] not in [view.shape[0] * n for n in whole]:
        raise ValueError(
            f"Expected the target layer to put out one map an image but got {tuple(output.shape)} "
            f"for {view.shape[0]} images, as of parts of them; name a layer that joins these"
        )
    if output.ndim == 4 and _has_channels_first(layer, output, view):
        return None
    return _move_channels if output.ndim == 4 else _split_tokens(model, output, view)


def _describe(output: Any) -> str:
    if isinstance(output, (tuple, list)):
        return f"a {type(output).__name__} of {len(output)}"
    return type(output).__name__


def _move_channels(output: Tensor) -> Tensor:
    return output.movedim(-1, 1)


def _has_channels_first(layer: nn.Module, output: Tensor, view: View) -> bool:
    shape = (output.shape[1], output.shape[2], output.shape[3])
    count = _count_channels(layer)
    if count is not None and (shape[0] == count) != (shape[2] == count):
        return shape[0] == count
    places = shape[1:]
    if view.grid is not None and min(places) >= view.grid[0] * view.grid[1] > 1:
        raise ValueError(
            f"Expected the target layer to put out maps but got {tuple(output.shape)}, which has a "
            f"row and a column for each of the network's {view.grid[0]} x {view.grid[1]} patches"
        )
    first, last = _fits(places, view.size), _fits(shape[:2], view.size)
    if first != last:
        return first
    if any(isinstance(part, _CONVOLUTIONAL) for part in layer.modules()):
        return True
    raise ValueError(
        "Expected the target layer to put out (N, C, h, w) or (N, h, w, C) but the axes of "
        f"{tuple(output.shape)} cannot be told; give reshape, which turns it into (N, C, h, w)"
    )


def _count_channels(layer: nn.Module) -> int | None:
    """Give the number of channels that a layer puts out, where it is one that says it."""
    for name in _COUNTS:
        count = getattr(layer, name, None)
        if isinstance(count, (tuple, list)) and len(count) == 1:
            count = count[0]
        if isinstance(count, int):
            return count
    return None


def _fits(places: tuple[int, int], size: tuple[int, int]) -> bool:
    """Tell whether rows and columns are as many as an image's height and width ask for."""
    return abs(places[0] * size[1] - places[1] * size[0]) < max(size)


def _split_tokens(model: nn.Module, output: Tensor, view: View) -> Reshape:
    """Drop the tokens before those of the patches, and put these into rows and columns."""
    length = output.shape[1]
    if view.grid is None:
        raise ValueError(
            f"Expected the target layer to put out (N, C, h, w) but got {tuple(output.shape)}, "
            "tokens of a network without an embedding of patches; give reshape, which turns it "
            "into (N, C, h, w)"
        )
    rows, columns = view.grid
    told = getattr(model, "num_prefix_tokens", None)
    prefix = told if isinstance(told, int) else None
    while rows * columns > 1:
        beside = length - rows * columns
        if beside == prefix or (prefix is None and 0 <= beside <= _MOST_PREFIX) or beside == 0:
            return _Tokens(beside, rows, columns)
        if rows % 2 or columns % 2:
            break
        rows, columns = rows // 2, columns // 2  # patches that a later stage has merged
        prefix = 0
    raise ValueError(
        f"Expected tokens of {view.grid[0]} x {view.grid[1]} patches but the target layer put out "
        f"{tuple(output.shape)}; give reshape, which turns it into (N, C, h, w)"
    )


@dataclass(frozen=True)
class _Tokens:
    prefix: int
    rows: int
    columns: int

    def __call__(self, output: Tensor) -> Tensor:
        """Turn (N, L, C) into (N, C, rows, columns)."""
        return output[:, self.prefix :].movedim(2, 1).unflatten(2, (self.rows, self.columns))


class Rejoin(torch.autograd.Function):
    """Goes on with a layer's output, while gradients reach the map that was made of it.

    The map is a leaf of its own; what it has of the output is a choice of its values, so that the
    output's gradient, turned the same way, is the map's.
    """

    @staticmethod
    def forward(ctx: Any, made: Tensor, output: Tensor, reshape: Reshape) -> Tensor:
        """Give the output as it is."""
        ctx.reshape = reshape
        return output.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        """Turn the output's gradient into the map's."""
        return ctx.reshape(gradient), gradient, None


@contextmanager
def hooked(
    model: nn.Module,
    layers: Sequence[nn.Module],
    keep: Callable[[int, Tensor], Tensor],
    shape: tuple[int, ...] | None = None,
    reshape: Reshape | None = None,
    steps: int = 1,
) -> Iterator[None]:
    """Hook layers, and what runs in their place at the later steps of a top-down block.

    Args:
        model: the network
        layers: of it
        keep: gets the number of a layer and its map, (N, C, h, w), and gives what the network goes
            on with, a copy of it: what follows may write into it
        shape: of the images, (N, 3, H, W), where it is known
        reshape: turns what the layers put out into (N, C, h, w); None to tell it from the output
        steps: T, of a pass that gives every step

    Raises:
        ValueError: within a forward pass, an output in which nobody can tell what lies where
    """

    def see(index: int, layer: nn.Module, module: Any, args: Any, output: Tensor) -> Tensor:
        turn = reshape or find_reshape(model, layer, output, view)
        if turn is None:
            return keep(index, output).clone()
        made = turn(output.detach())
        if made.ndim != 4:
            raise ValueError(f"Expected reshape to give (N, C, h, w) but got {tuple(made.shape)}")
        return Rejoin.apply(keep(index, made), output, turn)

    with ExitStack() as stack:
        view = stack.enter_context(watching(model, shape, steps))
        for index, layer in enumerate(layers):
            for each in (layer, *stand_ins(model, layer)):
                handle = each.register_forward_hook(partial(see, index, layer))
                stack.callback(handle.remove)
        yield
