"""Regularizing layers, which follow whole blocks and act in training only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tdam.builders import find_name, import_builder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from torch import Tensor, nn

    from tdam.backbones.base import Backbone

# A new layer: its class in a file of its own, and one line here, `module:class`.
REGULARIZERS: dict[str, str] = {
    "adl": "tdam.adl:ADL",
}

_LAYER = "after_block"  # the layer's name, as a child of the last module of its block


def find_regularizer(regularizer: str | Callable[[int], nn.Module] | None) -> str:
    """Return a regularizing layer's name.

    Args:
        regularizer: its name, a class or function from outside the package, or None for `none`

    Raises:
        TypeError: something else
        ValueError: there is no such layer, or a class or function without a name of its own
    """
    return find_name("regularizer", regularizer, ("none", *REGULARIZERS))


def add_regularizer(
    model: Backbone,
    regularizer: str | Callable[[int], nn.Module],
    blocks: Iterable[str] | None = None,
    **options: Any,
) -> None:
    """Put a regularizing layer after blocks, where sum and activation are done.

    The tensors of the network keep their names; those of a layer, if it has any, lie below
    `after_block` of its block's last module. Blocks with attention keep it: put that in first.

    Args:
        model: changed in place
        regularizer: name, or class or function from channels to a module, whose output has the
            shape of its input, (N, C, H, W), and equals it in evaluation mode
        blocks: names of blocks, or of parts of a sequence such as `features.24:30`; by default
            those that the layer's `places` have for a network of this name, else the last block of
            each of the last two stages
        options: further arguments of the layer; `settings` records each as `LAYER_OPTION`

    Raises:
        TypeError: what was built is no module
        ValueError: no such layer or block, or a block that has one
    """
    from torch import nn

    label = find_regularizer(regularizer)
    build = import_builder(REGULARIZERS[label]) if isinstance(regularizer, str) else regularizer
    if blocks is None:
        ends = [stage[-1] for stage in model.stage_blocks()[-2:]]
        blocks = getattr(build, "places", {}).get(model.spec.name, ends)
    names = list(blocks)
    layers: dict[nn.Module, nn.Module] = {}
    for name in names:
        last, channels = _find_end(model, name)
        if last in layers or hasattr(last, _LAYER):
            raise ValueError(f"Expected a block without a regularizing layer but {name} has one")
        layers[last] = build(channels, **options)
        if not isinstance(layers[last], nn.Module):
            raise TypeError(f"Expected regularizer to build a module but got {layers[last]!r}")
    for last, layer in layers.items():  # nothing is changed before all layers are built
        like = next(model.parameters())
        last.add_module(_LAYER, layer.to(like.device, like.dtype))
        if not isinstance(last, nn.Sequential):  # which runs all its children by itself
            last.register_forward_hook(_regularize)
    told = {f"{label}_{name}": value for name, value in options.items()}
    model.settings |= {"regularizer": label, "regularized": names, **told}


def run_layer_of(block: nn.Module, features: Tensor) -> Tensor:
    """Run the layer after a block, if it has one, where the block itself was not called."""
    return block.after_block(features) if hasattr(block, _LAYER) else features  # type: ignore[operator]


def match_layers(own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Fit weights to a network whatever layers either has: a layer is not part of the network.

    Args:
        own: tensors of the network
        state: tensors of a file

    Returns:
        the file's; without those of layers where the network has none, and with the network's own
        layers where the file has none
    """
    layers = {name: tensor for name, tensor in own.items() if is_of_layer(name)}
    if layers and any(map(is_of_layer, state)):
        return state
    return {name: t for name, t in state.items() if not is_of_layer(name)} | layers


def is_of_layer(name: str) -> bool:
    """Tell from its name whether a tensor belongs to a regularizing layer."""
    return f".{_LAYER}." in name


def has_layer(module: nn.Module) -> bool:
    """Tell whether a regularizing layer follows a module or is inside it."""
    return any(hasattr(part, _LAYER) for part in module.modules())


def _regularize(block: nn.Module, inputs: object, output: Tensor) -> Tensor:
    """Run the layer after a block, looked up in the block, so that a copy runs its own."""
    return run_layer_of(block, output)


def _find_end(model: nn.Module, name: str) -> tuple[nn.Module, int]:
    """Find the last module of a block, and the channels that the block puts out."""
    from tdam.attach import find_block, find_module, modules_of
    from tdam.recurrence import PlannedBlock, trace_channels

    paths = modules_of(name)
    try:
        block, plan = find_block(model, name)
    except ValueError:  # a block of an unknown type, which is run as a whole
        whole = find_module(model, name) if len(paths) == 1 else None
        channels = None if whole is None else _count_channels(whole)
        if whole is None or channels is None:
            raise
        return whole, channels
    first, last = find_module(model, paths[0]), find_module(model, paths[-1])
    if not isinstance(first, PlannedBlock):
        return last, trace_channels(PlannedBlock(block, plan))[-1]
    return last, trace_channels(first)[-1]  # after it, a part with attention runs nothing


def _count_channels(block: nn.Module) -> int | None:
    """Count the channels of a block's output; None where it does not take what it begins with."""
    from torch import nn

    from tdam.outline import run_without_values

    first = next((part for part in block.modules() if isinstance(part, nn.Conv2d)), None)
    if first is None:
        return None
    try:
        output = run_without_values(block, (2, first.in_channels, 56, 56))
    except (RuntimeError, TypeError):
        return None
    return int(output.shape[1]) if getattr(output, "ndim", 0) == 4 else None
