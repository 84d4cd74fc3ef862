"""What counts as a block: plans for the residual blocks of torchvision and timm, and sequences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from timm.models import resnet as timm_resnet
from timm.models._efficientnet_blocks import DepthwiseSeparableConv
from timm.models._efficientnet_blocks import InvertedResidual as TimmInvertedResidual
from torch import nn
from torchvision.models import convnext, mobilenetv3, resnet

from tdam.recurrence import Plan

if TYPE_CHECKING:
    from collections.abc import Callable


def _find_convolutions(block: nn.Module, branch: tuple[str, ...]) -> tuple[int, ...]:
    """Return the indices of convolutions in a branch, but not of modules that only hold some."""
    return tuple(
        index
        for index, name in enumerate(branch)
        if isinstance(block.get_submodule(name), nn.Conv2d)
    )


def _present(block: nn.Module, names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in names if getattr(block, name, None) is not None)


def _shortcut(block: nn.Module) -> tuple[str, ...]:
    return _present(block, ("downsample",))


def plan_resnet(block: nn.Module) -> Plan:
    """M counts the block's 2 or 3 convolutions."""
    names: tuple[str, ...] = ("conv1", "bn1", "relu", "conv2", "bn2")
    if isinstance(block, resnet.Bottleneck):
        names += ("relu", "conv3", "bn3")
    return Plan(names, _find_convolutions(block, names), _shortcut(block), activation="relu")


def plan_timm_resnet(block: nn.Module) -> Plan:
    """M counts the block's 2 or 3 convolutions; an attention module of timm's runs with them."""
    deep = isinstance(block, timm_resnet.Bottleneck)
    names: tuple[str, ...]
    names = ("conv1", "bn1", "act1", "conv2", "bn2", "drop_block", "act2", "aa", "conv3", "bn3")
    if not deep:
        names = ("conv1", "bn1", "drop_block", "act1", "aa", "conv2", "bn2")
    names = _present(block, (*names, "se"))
    after = _present(block, ("drop_path",))
    last = "act3" if deep else "act2"
    return Plan(names, _find_convolutions(block, names), _shortcut(block), after, last)


def plan_timm_inverted(block: nn.Module) -> Plan:
    """M counts the block's convolutions: expansion (but for the first block), depthwise, last."""
    names: tuple[str, ...]
    names = ("conv_pw", "bn1", "conv_dw", "bn2", "aa", "se", "conv_pwl", "bn3")
    if isinstance(block, DepthwiseSeparableConv):
        names = ("conv_dw", "bn1", "aa", "se", "conv_pw", "bn2")
    names = _present(block, ("conv_s2d", "bn_s2d", *names))
    if not block.has_skip:
        return Plan(names, _find_convolutions(block, names))
    return Plan(names, _find_convolutions(block, names), (), ("drop_path",))


def plan_mobilenet(block: nn.Module) -> Plan:
    """M counts the block's 2 or 3 convolutions; squeeze-and-excitation belongs to the depthwise."""
    names: list[str] = []
    for index, part in enumerate(block.block):  # type: ignore[arg-type]
        if isinstance(part, nn.Sequential):
            names += [f"block.{index}.{inner}" for inner in range(len(part))]
        else:
            names.append(f"block.{index}")
    branch = tuple(names)
    return Plan(branch, _find_convolutions(block, branch), () if block.use_res_connect else None)


def plan_convnext(block: nn.Module) -> Plan:
    """M is 0 or 1, and 1 runs the whole branch again: its inner layout has no feature maps."""
    parts: nn.Sequential = block.block  # type: ignore[assignment]
    branch = tuple(f"block.{index}" for index in range(len(parts)))
    return Plan(branch, (0,), (), ("layer_scale", "stochastic_depth"))


def plan_sequence(block: nn.Module) -> Plan:
    """M counts the children that hold a convolution; nothing is added to the last one's output."""
    names = tuple(name for name, _ in block.named_children())
    starts = tuple(
        index
        for index, name in enumerate(names)
        if any(isinstance(m, (nn.Conv2d, nn.Linear)) for m in block.get_submodule(name).modules())
    )
    return Plan(names, starts)


PLANNERS: dict[type[nn.Module], Callable[[nn.Module], Plan]] = {
    resnet.BasicBlock: plan_resnet,
    resnet.Bottleneck: plan_resnet,
    timm_resnet.BasicBlock: plan_timm_resnet,
    timm_resnet.Bottleneck: plan_timm_resnet,
    TimmInvertedResidual: plan_timm_inverted,
    DepthwiseSeparableConv: plan_timm_inverted,
    mobilenetv3.InvertedResidual: plan_mobilenet,
    convnext.CNBlock: plan_convnext,
    nn.Sequential: plan_sequence,
}


def plan_block(block: nn.Module) -> Plan:
    """Say how a block runs.

    Args:
        block: of one of the types in `PLANNERS`

    Raises:
        ValueError: a type that no planner knows; the message lists those there are
    """
    planner = PLANNERS.get(type(block))
    if planner is None and getattr(type(block), "forward", None) is nn.Sequential.forward:
        planner = plan_sequence  # a sequence by another name
    if planner is None:
        known = ", ".join(f"{t.__module__.split('.')[0]}'s {t.__name__}" for t in PLANNERS)
        raise ValueError(f"Expected a block to be {known}, but got {type(block).__name__}")
    return planner(block)
