"""Attention for any network: blocks that the caller names get a module, in place."""

from __future__ import annotations

import re
from itertools import combinations
from typing import TYPE_CHECKING, Any

from torch import nn

from tdam.attention_block import AttentionBlock
from tdam.block_plans import PLANNERS, plan_block, plan_sequence
from tdam.outline import find_taken_apart
from tdam.recurrence import Plan, PlannedBlock, TopDownBlock
from tdam.regularizers import has_layer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_PART = re.compile(r"(.+)\.(\d+):(\d+)")  # of a sequence, by the numbers of its modules


def attach_top_down(
    model: nn.Module,
    blocks: Iterable[str],
    steps: int = 2,
    distance: int = 1,
    **options: Any,
) -> nn.Module:
    """Give blocks of a network top-down attention.

    A block is a residual block of a known type, whose last m convolutions run again: those of
    torchvision's ResNet, RegNet, MobileNetV2 and V3, EfficientNet and ConvNeXt, and of timm's
    ResNet and its kin, RegNet, EfficientNet and its kin, ByobNet and ConvNeXt. `list_blocks` names
    them. Or it is an `nn.Sequential` of modules that take and give (N, C, H, W), or a part of one
    written `name.3:7`, whose last m children with convolutions run again.

    Args:
        model: changed in place; its plain tensors keep their names, but for those inside a part
        blocks: names of modules
        steps: T
        distance: m
        options: `searchlight`, `order`, `pooling` and `reduction` of `TopDownAttention`

    Returns:
        the model, whose new tensors lie below each block's `top_down`. They are random; call
        `start_as_identity` for a network that begins as it was.

    Raises:
        ValueError: no such module, one that is no block, two that overlap, or numbers outside
            the block; the message names blocks that this network has, and nothing is changed

    >>> import timm, torch
    >>> model = timm.create_model("resnet18")
    >>> model = attach_top_down(model, ["layer4.0", "layer4.1"], steps=2, distance=2)
    >>> model(torch.zeros(1, 3, 64, 64)).shape
    torch.Size([1, 1000])
    """

    def convert(block: nn.Module, plan: Plan) -> nn.Module:
        return TopDownBlock(block, plan, steps=steps, distance=distance, **options)

    return replace_blocks(model, blocks, convert)


def replace_blocks(
    model: nn.Module, blocks: Iterable[str], convert: Callable[[nn.Module, Plan], nn.Module]
) -> nn.Module:
    """Replace blocks by modules that run by the same plan.

    Args:
        model: changed in place
        blocks: names of modules, as for `attach_top_down`
        convert: builds the replacement from a block and its plan

    Raises:
        ValueError: no such module, one that is no block, or two that overlap
    """
    planned = [(name, *find_block(model, name)) for name in blocks]
    for name, block, _ in planned:
        if isinstance(block, PlannedBlock):
            raise ValueError(f"Expected a block without attention but {name} has some")
        if has_layer(block):
            raise ValueError(f"Expected attention before regularizing layers but {name} has one")
    for one, other in combinations([name for name, _, _ in planned], 2):
        if any(_overlap(a, b) for a in modules_of(one) for b in modules_of(other)):
            raise ValueError(f"Expected blocks that share nothing but got {one} and {other}")
    whole = {name: block for name, block, _ in planned if not _PART.fullmatch(name)}
    sequences = {name: b for name, b in whole.items() if isinstance(b, nn.Sequential)}
    for name in find_taken_apart(model, sequences) if sequences else ():
        raise ValueError(
            f"{name}: Expected a sequence that the network runs as a whole, but it runs its "
            f"modules one by one; name a part of it, {name}.0:{len(sequences[name])}"
        )
    converted = {}
    for name, block, plan in planned:
        try:
            converted[name] = convert(block, plan)
        except ValueError as error:
            raise ValueError(f"{name}: {error}{_advise(model)}") from error
    for name, block in converted.items():  # nothing is changed before every block is converted
        for path in modules_of(name):
            parent, _, child = path.rpartition(".")
            setattr(find_module(model, parent), child, block)
            block = nn.Identity()  # behind the block: keeps the numbers of what follows
    return model


def list_blocks(model: nn.Module) -> list[str]:
    """Name the blocks of a network that can take attention, in the order in which they stand in it.

    Those are the residual blocks of the types in `tdam.block_plans.PLANNERS` that have none yet. A
    sequence is not listed, though `attach_top_down` takes one.

    Args:
        model: any network

    >>> import timm
    >>> list_blocks(timm.create_model("resnet18"))[-2:]
    ['layer4.0', 'layer4.1']
    """
    known = list_residual_blocks(model)
    return [name for name in known if not isinstance(model.get_submodule(name), PlannedBlock)]


def list_residual_blocks(model: nn.Module) -> list[str]:
    """Name the blocks of a network that have a plan, with attention or without, in their order."""
    found: list[str] = []
    for name, module in model.named_modules():
        inside = found and name.startswith(f"{found[-1]}.")
        if (type(module) in PLANNERS or isinstance(module, PlannedBlock)) and not inside:
            found.append(name)
    return found


def _advise(model: nn.Module) -> str:
    """Say which blocks of a network can take attention, for the end of a message."""
    names = list_blocks(model)
    if not names:
        return "; this network has no residual blocks of a known type"
    shown = " and ".join(names[-2:])
    return f"; this network has {len(names)} residual blocks of a known type, such as {shown}"


def modules_of(name: str) -> list[str]:
    """Name the modules that a block replaces: one, or some of a sequence."""
    part = _PART.fullmatch(name)
    if part is None:
        return [name]
    return [f"{part[1]}.{index}" for index in range(int(part[2]), int(part[3]))]


def _overlap(one: str, other: str) -> bool:
    """Tell whether two names mean the same module, or one a module inside the other."""
    one, other = f"{one}.", f"{other}."
    return one.startswith(other) or other.startswith(one)


def find_block(model: nn.Module, name: str) -> tuple[nn.Module, Plan]:
    """Find the block that a name means, and how it runs.

    Raises:
        ValueError: no such module, or one that is no block
    """
    part = _PART.fullmatch(name)
    if part is None:
        block = find_module(model, name)
        if isinstance(block, PlannedBlock):
            return block, block.plan
        try:
            return block, plan_block(block)
        except ValueError as error:
            raise ValueError(f"{name}: {error}{_advise(model)}") from None
    sequence, start, stop = find_module(model, part[1]), int(part[2]), int(part[3])
    if not isinstance(sequence, nn.Sequential) or not 0 <= start < stop <= len(sequence):
        size = len(sequence) if isinstance(sequence, nn.Sequential) else 0
        raise ValueError(f"Expected a part of a sequence of {size} modules but got {start}:{stop}")
    block = nn.Sequential(*list(sequence)[start:stop])
    return block, plan_sequence(block)


def start_as_identity(model: nn.Module) -> nn.Module:
    """Make a network with attention begin equal to the plain one, at every step.

    A fresh searchlight scales the bottom features by about 1/4, which pretrained weights after it
    were not trained for: step 2 would see noise. Here the searchlight is zero and the module's
    gain undoes its sigmoids without rounding, and every step's norms are those of step 1. Other
    attention modules start the same way, with gates of 1/2 that a gain undoes, or by a method
    `start_as_identity` of their own; one from outside the package without such a method starts as
    it is initialised.

    Args:
        model: changed in place

    Returns:
        the model
    """
    for block in model.modules():
        if isinstance(block, TopDownBlock):
            block.top_down.attention.start_as_identity()
            block.copy_norms_of_first_step()
        elif isinstance(block, AttentionBlock):
            block.start_as_identity()
    return model


def find_module(model: nn.Module, name: str) -> nn.Module:
    """Look a module up.

    Raises:
        ValueError: no such module; the message lists its siblings
    """
    parent, _, child = name.rpartition(".")
    try:
        return model.get_submodule(name)
    except AttributeError:
        try:
            siblings = [key for key, _ in model.get_submodule(parent).named_children()]
        except AttributeError:
            raise ValueError(f"Expected a module of the network but got {parent!r}") from None
        where = parent or "the network"
        raise ValueError(
            f"Expected a module of {where} ({', '.join(siblings)}) but got {child!r}"
        ) from None
