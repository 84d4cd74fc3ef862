"""Recurrence: a residual block whose last m convolutions run T times, each time better aimed."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from tdam.attention import TopDownAttention
from tdam.outline import run_on_zeros, run_without_values
from tdam.step_norms import copy_norms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor

MAX_STEPS = 64  # each step has norms of its own, which take memory and time to build


@dataclass(frozen=True)
class Plan:
    """How a block of some family runs, in names of its modules; a tensor's name means a scale.

    The block computes activation(after(branch(z)) + shortcut(z)) with z = before(x).

    Args:
        branch: modules of the residual branch, in order, with dots for nested ones
        starts: indices in `branch` from which it can be run again, the last m of which count;
            for most families those of the convolutions
        shortcut: modules of the shortcut, () for the identity, None where nothing is added
        after: modules between the branch and the sum, such as stochastic depth
        activation: module after the sum
        before: modules that branch and shortcut share
        channels_last: those of all these that take and give (N, H, W, C); what lies between any
            two modules is (N, C, H, W) all the same
    """

    branch: tuple[str, ...]
    starts: tuple[int, ...]
    shortcut: tuple[str, ...] | None = None
    after: tuple[str, ...] = ()
    activation: str | None = None
    before: tuple[str, ...] = ()
    channels_last: tuple[str, ...] = ()


class PlannedBlock(nn.Module):
    """A block of any family that runs by a plan, under the tensor names it always had.

    Args:
        block: whose modules are taken over; not to be used afterwards
        plan: in which order they run
    """

    def __init__(self, block: nn.Module, plan: Plan) -> None:
        super().__init__()
        self.plan = plan
        for name, module in block.named_children():
            self.add_module(name, module)
        for name, parameter in block.named_parameters(recurse=False):
            self.register_parameter(name, parameter)

    def _run(self, names: tuple[str, ...], x: Tensor) -> Tensor:
        for name in names:
            x = self._run_part(name, reduce(getattr, name.split("."), self), x)
        return x

    def _run_part(self, name: str, part: Any, x: Tensor) -> Tensor:
        """Run what stands for a name in the plan."""
        turn = name in self.plan.channels_last
        x = x.permute(0, 2, 3, 1) if turn else x
        x = x * part if isinstance(part, torch.Tensor) else part(x)
        return x.permute(0, 3, 1, 2) if turn else x

    def _finish(self, branch: Tensor, x: Tensor, copies: int = 1) -> Tensor:
        """Add the shortcut of x, once for each of `copies` along the batch."""
        out = self._run(self.plan.after, branch)
        if self.plan.shortcut is not None:
            short = self._run(self.plan.shortcut, x)
            # Not in place: the branch may end in an activation, whose gradient needs its output.
            out = out + (short if copies == 1 else short.repeat(copies, 1, 1, 1))
        return out if self.plan.activation is None else self._run((self.plan.activation,), out)

    def forward(self, x: Tensor) -> Tensor:
        """Run the block once.

        Args:
            x: (N, C, H, W)
        """
        x = self._run(self.plan.before, x)
        return self._finish(self._run(self.plan.branch, x), x)


class _Trace(nn.Module):
    """Runs the branch of a block and tells the channels before each of its modules and at its end.

    Args:
        block: whose branch it is
    """

    def __init__(self, block: PlannedBlock) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor) -> list[int]:
        """Run the branch.

        Args:
            x: (N, C, H, W)

        Raises:
            ValueError: one of the modules cannot run, or gives anything but (N, C, H, W)
        """
        plan = self.block.plan
        x = self.block._run(plan.before, x)
        channels = [x.shape[1]]
        for name in plan.branch:
            shape = tuple(x.shape)
            try:
                x = self.block._run((name,), x)
            except Exception as error:  # any module may stand here, which fails as it likes
                why = f"fails: {str(error).strip().partition(chr(10))[0]}"
                raise ValueError(f"{_TAKES} but {name} of it, given {shape}, {why}") from error
            if not isinstance(x, torch.Tensor) or x.ndim != 4 or len(x) != shape[0]:
                got = tuple(x.shape) if isinstance(x, torch.Tensor) else type(x).__name__
                raise ValueError(f"{_TAKES} but {name} of it gives {got} for {shape}")
            channels.append(x.shape[1])
        return channels


_TAKES = "Expected a block whose modules take (N, C, H, W) one after the other"
_WIDTHS = ("in_channels", "in_features", "num_features", "num_channels", "normalized_shape")


def trace_channels(block: PlannedBlock) -> list[int]:
    """Tell how many channels go into each module of a block's branch, and come out of the last.

    The branch runs once on a small map of zeros or, where that does not do, on a large one without
    values. Either leaves the block's tensors alone.

    Args:
        block: of any family

    Raises:
        ValueError: none of its modules holds a convolution or a linear layer, one cannot run, or
            one gives anything but (N, C, H, W)
    """
    names = [*block.plan.before, *block.plan.branch]
    parts = [p for n in names if isinstance(p := reduce(getattr, n.split("."), block), nn.Module)]
    layers = [layer for part in parts for layer in part.modules()]
    if not any(isinstance(layer, (nn.Conv2d, nn.Linear)) for layer in layers):
        raise ValueError("Expected a block with convolutions but it has none")
    widths = (getattr(layer, name, None) for layer in layers for name in _WIDTHS)
    width: Any = next(width for width in widths if isinstance(width, (int, tuple)))
    channels = width[-1] if isinstance(width, tuple) else width
    trace = _Trace(block)
    found: list[int] | None = None
    if next(block.parameters()).device.type == "cpu":
        side = 7 if channels != 7 else 8  # no number of channels
        with suppress(Exception):  # of any module, such as one that pools so small a map away
            found = run_on_zeros(trace, (2, channels, side, side))
    if found is None:
        side = 224 if channels != 224 else 192
        found = run_without_values(trace, (2, channels, side, side))
    return found


class TopDown(nn.Module):
    """What top-down attention adds to a block.

    Args:
        attention: the searchlight and its modulations
        norms: for every step after the first, the norms by name
    """

    def __init__(self, attention: TopDownAttention, norms: nn.ModuleList) -> None:
        super().__init__()
        self.attention = attention
        self.norms = norms


class TopDownBlock(PlannedBlock):
    """A planned block with top-down attention over the last m starts of its branch.

    Convolutions are shared by the steps; whatever is normalised has its own norm at every step.
    m = 0 runs the branch once and modulates its output by itself T times.

    Args:
        block: whose modules are taken over
        plan: in which order they run, and where they can run again
        steps: T
        distance: m
        options: of `TopDownAttention`

    Raises:
        TypeError: T or m is not a whole number
        ValueError: T below 1, or m outside the block

    The new tensors are all below `top_down`.
    """

    runner: Callable[[TopDownBlock, Tensor], Tensor] | None = None  # of `tdam.steps.every_step`

    def __init__(
        self, block: nn.Module, plan: Plan, *, steps: int = 2, distance: int = 1, **options: Any
    ) -> None:
        super().__init__(block, plan)
        check_steps(steps)
        if not isinstance(distance, int):
            raise TypeError(f"Expected distance to be a whole number but got {distance!r}")
        if not 0 <= distance <= len(plan.starts):
            raise ValueError(
                f"Expected distance from 0 to {len(plan.starts)} in this block but got {distance}"
            )
        self.steps = steps
        self.distance = distance
        start = plan.starts[-distance] if distance else len(plan.branch)
        self.head, self.tail = plan.branch[:start], plan.branch[start:]
        channels = trace_channels(self)
        bottom, top = channels[start], channels[-1]
        like = next(block.parameters())
        attention = TopDownAttention(bottom, top, **options).to(like.device, like.dtype)
        self.top_down = TopDown(attention, self._norms(steps))

    def _norms(self, steps: int) -> nn.ModuleList:
        """The norms of every step after the first, by the names of those of the first."""
        return nn.ModuleList(
            nn.ModuleDict(
                {
                    _key(name): again
                    for name in self.tail
                    if (again := copy_norms(self.get_submodule(name))) is not None
                }
            )
            for _ in range(1, steps)
        )

    def copy_norms_of_first_step(self) -> None:
        """Give every later step the norms, statistics included, that the first step has."""
        self.top_down.norms = self._norms(self.steps)

    def _again(self, x: Tensor, step: int) -> Tensor:
        """Run the tail with the norms of one step."""
        if step == 0:
            return self._run(self.tail, x)
        norms: Any = self.top_down.norms[step - 1]
        for name in self.tail:
            own = _key(name) in norms
            x = self._run_part(name, norms[_key(name)], x) if own else self._run((name,), x)
        return x

    def _recur(
        self, bottom: Tensor, lights: list[Tensor], leave: int = 0, means: bool = False
    ) -> Iterator[Tensor]:
        """Yield the top after every step, and note every searchlight map.

        Args:
            bottom: what the head put out
            lights: gets one (N, H, W) map a modulation
            leave: rows at the front that are done after each step and take no further part
            means: of all tops but the last only the mean is wanted, (N, C, 1, 1)
        """
        for step in range(self.steps):
            seen = bottom
            if means and step < self.steps - 1:
                seen = nn.functional.avg_pool2d(bottom, bottom.shape[2:])
            top = self._again(seen, step)
            if self.distance == 0:
                top, light = self.top_down.attention(top, top)
                lights.append(light)
                bottom = top[leave:] if leave else top
            elif step < self.steps - 1:
                going = (bottom[leave:], top[leave:]) if leave else (bottom, top)
                bottom, light = self.top_down.attention(*going)
                lights.append(light)
            yield top

    def forward(self, x: Tensor) -> Tensor:
        """Run all steps.

        The searchlight sees a top only through its mean. Where the tail is one affine map for all
        pixels (a 1x1 convolution and its norm in evaluation mode: m = 1 in most families), the
        mean of the top is the tail of the mean, and only the last step runs on whole maps.

        Args:
            x: (N, C, H, W)

        Returns:
            what the last step puts out
        """
        if self.runner is not None:
            return self.runner(self, x)
        last = x = self._run(self.plan.before, x)
        for top in self._recur(self._run(self.head, x), [], means=self._mean_commutes()):
            last = top  # and only the last is kept
        return self._finish(last, x)

    def _mean_commutes(self) -> bool:
        """Tell whether the mean over pixels of the tail's output is the tail of the mean."""
        if self.distance == 0 or self.top_down.attention.pooling != "average":
            return False
        parts = {name: self.get_submodule(name) for name in self.tail}
        later = [norm for norms in self.top_down.norms for norm in norms.values()]  # type: ignore[operator]
        last = self.plan.channels_last
        return all(_is_affine(part, name in last) for name, part in parts.items()) and all(
            _is_affine(norm) for norm in later
        )

    def forward_steps(self, x: Tensor, shared: bool) -> tuple[Tensor, list[Tensor]]:
        """Run all steps and keep what each puts out.

        Args:
            x: (N, C, H, W), from which every number of steps starts, if shared; else (T N, C, H,
                W), group t of which runs t steps
            shared: all numbers of steps start from the same input

        Returns:
            (T N, C', H', W'), after 1 to T steps, one group after the other, and the T - 1
            searchlight maps of the full pass (T of them for m = 0), each (N, H, W)
        """
        lights: list[Tensor] = []
        x = self._run(self.plan.before, x)
        head = self._run(self.head, x)
        if shared:
            tops = list(self._recur(head, lights))
            return self._finish(torch.cat(tops), x, copies=self.steps), lights
        rows = x.shape[0] // self.steps  # len would fix it where this is traced
        tops = [top[:rows] for top in self._recur(head, lights, leave=rows)]
        return self._finish(torch.cat(tops), x), [light[-rows:] for light in lights]


def _is_affine(module: nn.Module, channels_last: bool = False) -> bool:
    """Tell whether a module is one affine map that it applies to every pixel."""
    if isinstance(module, nn.Linear):
        return channels_last
    if isinstance(module, nn.Dropout):
        return not module.training
    if isinstance(module, nn.modules.batchnorm._BatchNorm):
        plain = isinstance(getattr(module, "act", None), (nn.Identity, type(None)))
        return plain and not module.training and module.track_running_stats
    if isinstance(module, nn.Conv2d):
        return set(module.kernel_size + module.stride) == {1} and module.padding in ((0, 0), "same")
    return isinstance(module, nn.Identity)


def check_steps(steps: int) -> None:
    """Check a number of steps.

    Raises:
        TypeError: not a whole number
        ValueError: below 1, or above 64
    """
    if not isinstance(steps, int):
        raise TypeError(f"Expected steps to be a whole number but got {steps!r}")
    if steps < 1:
        raise ValueError(f"Expected steps to be at least 1 but got {steps}")
    if steps > MAX_STEPS:
        raise ValueError(f"Expected steps to be at most {MAX_STEPS} but got {steps}")


def stand_ins(model: nn.Module, module: nn.Module) -> list[nn.Module]:
    """List what runs in a module's place at the later steps of top-down blocks, in their order.

    Args:
        model: any network
        module: of it; what the steps share has no stand-ins
    """
    later: list[nn.Module] = []
    for block in model.modules():
        if not isinstance(block, TopDownBlock):
            continue
        for name in block.tail:
            for path, part in block.get_submodule(name).named_modules():
                if part is module:
                    later += [
                        norms[_key(name)].get_submodule(path)  # type: ignore[index]
                        for norms in block.top_down.norms
                        if _key(name) in norms  # type: ignore[operator]
                    ]
    return later


def _key(name: str) -> str:
    """A name that can be a key of a ModuleDict."""
    return name.replace(".", "_")
