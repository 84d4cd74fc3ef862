"""What counts as a block: plans for the residual blocks of torchvision and timm, and sequences."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial, reduce
from typing import TYPE_CHECKING

from timm.layers import ConvNormAct, GlobalResponseNormMlp, Mlp
from timm.models import byobnet, regnet, resnest, resnetv2, senet, sknet, tresnet
from timm.models import convnext as timm_convnext
from timm.models import resnet as timm_resnet
from timm.models._efficientnet_blocks import (
    ConvBnAct,
    DepthwiseSeparableConv,
    EdgeResidual,
    UniversalInvertedResidual,
)
from timm.models._efficientnet_blocks import InvertedResidual as TimmInvertedResidual
from torch import nn
from torchvision.models import convnext, efficientnet, mobilenetv2, mobilenetv3, resnet
from torchvision.models import regnet as torchvision_regnet
from torchvision.ops.misc import Permute

from tdam.recurrence import Plan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_MLP = "fc1 act drop1 norm grn fc2 drop2"
_SEQUENCES = {ConvNormAct: "conv bn aa", Mlp: _MLP, GlobalResponseNormMlp: _MLP}


@dataclass(frozen=True)
class Family:
    """How all blocks of a type run: names of modules, some of which a block may lack.

    m counts the convolutions of the branch; what stands between two of them, such as squeeze and
    excitation, belongs to the first.

    Args:
        branch: modules of the residual branch
        shortcut: modules of the shortcut, which is the identity where the last of them lacks
        after: modules between the branch and the sum, if there is a sum
        activation: module after the sum
        before: modules that branch and shortcut share
        added: attribute that is False or None where nothing is added
    """

    branch: str
    shortcut: str = ""
    after: str = ""
    activation: str | None = None
    before: str = ""
    added: str | None = None

    def __call__(self, block: nn.Module) -> Plan:
        """Plan a block."""
        branch = tuple(_unfold(block, self.branch))
        starts = tuple(
            i for i, name in enumerate(branch) if _is_convolution(name, _find(block, name))
        )
        before = _present(block, self.before)
        if self.added is not None and getattr(block, self.added) in (False, None):
            return Plan(branch, starts, None, (), self.activation, before)
        shortcut = _present(block, self.shortcut)
        if self.shortcut.split()[-1:] != list(shortcut[-1:]):
            shortcut = ()
        after = _present(block, self.after)
        return Plan(branch, starts, shortcut, after, self.activation, before)


def _find(block: nn.Module, name: str) -> nn.Module:
    found: nn.Module = reduce(getattr, name.split("."), block)
    return found


def _present(block: nn.Module, names: str) -> tuple[str, ...]:
    return tuple(name for name in names.split() if getattr(block, name, None) is not None)


def _unfold(block: nn.Module, names: str, inside: str = "") -> Iterator[str]:
    """Name the modules that a block has, and in the place of a sequence those inside of it."""
    for name in _present(block, names):
        part = _find(block, name)
        inner = next((s for kind, s in _SEQUENCES.items() if _runs_like(part, kind)), None)
        if _runs_like(part, nn.Sequential):
            inner = " ".join(key for key, _ in part.named_children())
        if inner is None:
            yield f"{inside}{name}"
        else:
            yield from _unfold(part, inner, f"{inside}{name}.")


def _runs_like(module: nn.Module, kind: type[nn.Module]) -> bool:
    """Tell whether a module runs as those of a type do, whatever its name."""
    return getattr(type(module), "forward", None) is kind.forward


def _is_convolution(name: str, module: nn.Module) -> bool:
    """Tell a convolution, or what a family has in the place of one, from what only holds some."""
    named = name.rpartition(".")[2].startswith("conv") and any(True for _ in module.parameters())
    return named or isinstance(module, (nn.Conv2d, nn.Linear))


def plan_preactivation(block: nn.Module) -> Plan:
    """M counts the block's 2 or 3 convolutions, each with the norm before it but for the first."""
    branch = "conv1 norm2 conv2 norm3 conv3"
    if block.downsample is None:  # what is added has not been through the first norm
        return Family(f"norm1 {branch}", after="drop_path")(block)
    return Family(branch, "downsample", "drop_path", before="norm1")(block)


def plan_convnext(block: nn.Module) -> Plan:
    """M counts the depthwise convolution and the two linear layers, which run on (N, H, W, C)."""
    plan = Family("block", after="layer_scale stochastic_depth")(block)
    parts = [name for name in plan.branch if not isinstance(_find(block, name), Permute)]
    starts = tuple(i for i, name in enumerate(parts) if _is_convolution("", _find(block, name)))
    return replace(plan, branch=tuple(parts), starts=starts, channels_last=tuple(parts[1:]))


def plan_timm_convnext(block: nn.Module) -> Plan:
    """M counts the depthwise convolution and the two layers of the perceptron."""
    plan = Family("conv_dw norm mlp", "shortcut", "gamma drop_path")(block)
    last = () if block.use_conv_mlp else plan.branch[1:]
    return replace(plan, channels_last=(*last, "gamma"))


def plan_sequence(block: nn.Module) -> Plan:
    """M counts the children that hold a convolution; nothing is added to the last one's output."""
    names = tuple(name for name, _ in block.named_children())
    starts = tuple(
        index
        for index, name in enumerate(names)
        if any(isinstance(m, (nn.Conv2d, nn.Linear)) for m in block.get_submodule(name).modules())
    )
    return Plan(names, starts)


_TWO, _THREE = "conv1 bn1 relu conv2 bn2", "conv1 bn1 relu conv2 bn2 relu conv3 bn3"
_ACTS = "conv1 bn1 act1 avd_first conv2 bn2 drop_block act2 aa avd_last conv3 bn3 se"
_DROP, _SKIP, _DEPTH = "drop_path", "has_skip", "stochastic_depth"
_legacy = Family(f"{_THREE} se_module", "downsample", activation="relu")
_squeezed = Family("conv1 conv2 conv3 se", "downsample", _DROP, "act")
_inverted = Family("block", after=_DEPTH, added="use_res_connect")
_byo = partial(Family, shortcut="shortcut", after=_DROP, activation="act", added="shortcut")

PLANNERS: dict[type[nn.Module], Callable[[nn.Module], Plan]] = {
    resnet.BasicBlock: Family(_TWO, "downsample", activation="relu"),
    resnet.Bottleneck: Family(_THREE, "downsample", activation="relu"),
    torchvision_regnet.ResBottleneckBlock: Family("f", "proj", activation="activation"),
    mobilenetv2.InvertedResidual: Family("conv", added="use_res_connect"),
    mobilenetv3.InvertedResidual: _inverted,
    efficientnet.MBConv: _inverted,
    efficientnet.FusedMBConv: _inverted,
    convnext.CNBlock: plan_convnext,
    timm_resnet.BasicBlock: Family(
        "conv1 bn1 drop_block act1 aa conv2 bn2 se", "downsample", _DROP, "act2"
    ),
    timm_resnet.Bottleneck: Family(_ACTS, "downsample", _DROP, "act3"),
    resnest.ResNestBottleneck: Family(_ACTS, "drop_path downsample", "", "act3"),
    resnetv2.PreActBasic: plan_preactivation,
    resnetv2.PreActBottleneck: plan_preactivation,
    resnetv2.Bottleneck: Family(
        "conv1 norm1 conv2 norm2 conv3 norm3", "downsample", _DROP, "act3"
    ),
    senet.SEBottleneck: _legacy,
    senet.SEResNetBottleneck: _legacy,
    senet.SEResNeXtBottleneck: _legacy,
    senet.SEResNetBlock: Family(f"{_TWO} relu se_module", "downsample", activation="relu"),
    sknet.SelectiveKernelBasic: _squeezed,
    sknet.SelectiveKernelBottleneck: _squeezed,
    tresnet.BasicBlock: _squeezed,
    tresnet.Bottleneck: Family("conv1 conv2 se conv3", "downsample", _DROP, "act"),
    regnet.Bottleneck: Family(
        "conv1 conv2 se conv3", "downsample", _DROP, "act3", added="downsample"
    ),
    regnet.PreBottleneck: Family(
        "conv1 norm2 conv2 se norm3 conv3", "downsample", _DROP, before="norm1", added="downsample"
    ),
    byobnet.BasicBlock: _byo("conv1_kxk attn conv2_kxk attn_last"),
    byobnet.BottleneckBlock: _byo("conv1_1x1 conv2_kxk conv2b_kxk attn conv3_1x1 attn_last"),
    byobnet.DarkBlock: _byo("conv1_1x1 attn conv2_kxk attn_last"),
    byobnet.EdgeBlock: _byo("conv1_kxk attn conv2_1x1 attn_last"),
    ConvBnAct: Family("conv bn1 aa", after=_DROP, added=_SKIP),
    DepthwiseSeparableConv: Family(
        "conv_s2d bn_s2d conv_dw bn1 aa se conv_pw bn2", after=_DROP, added=_SKIP
    ),
    TimmInvertedResidual: Family(
        "conv_s2d bn_s2d conv_pw bn1 conv_dw bn2 aa se conv_pwl bn3", after=_DROP, added=_SKIP
    ),
    EdgeResidual: Family("conv_exp bn1 aa se conv_pwl bn2", after=_DROP, added=_SKIP),
    UniversalInvertedResidual: Family(
        "dw_start pw_exp dw_mid se pw_proj dw_end layer_scale", after=_DROP, added=_SKIP
    ),
    timm_convnext.ConvNeXtBlock: plan_timm_convnext,
}  # fmt: skip


def plan_block(block: nn.Module) -> Plan:
    """Say how a block runs.

    Args:
        block: of one of the types in `PLANNERS`, or a sequence

    Raises:
        ValueError: a type that no planner knows
    """
    planner = PLANNERS.get(type(block), plan_sequence if _runs_like(block, nn.Sequential) else None)
    if planner is None:
        raise ValueError(
            f"Expected a block of a known type, or a sequence, but got {type(block).__name__}"
        )
    return planner(block)
