"""What every network of the registry can do beyond logits: its output after each step."""

from __future__ import annotations

from abc import abstractmethod
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from tdam.attention import TopDownAttention
from tdam.recurrence import TopDownBlock
from tdam.regularizers import run_layer_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from torch import Tensor

    from tdam.spec import ModelSpec


@dataclass(frozen=True)
class StepOutputs:
    """What a network put out after each of T steps.

    Args:
        logits: (N, T, K)
        features: (N, T, C, h, w), what is pooled and classified
        searchlights: one (N, T - 1, H, W) tensor per top-down block (m = 0: T maps), in the order
            of the blocks, from the full pass
    """

    logits: Tensor
    features: Tensor
    searchlights: tuple[Tensor, ...]


class Backbone(nn.Module):
    """A network in four parts, so that only the last stage runs once per step.

    The subclass is also a subclass of the origin's class and adds nothing to its tensors; an
    origin's network becomes one by `adopt`. `spec` says what it wants as input, `settings` repeats
    the arguments it was built with, `weights_file` names the file or folder that its weights were
    read from; training may add the names of its classes, and the share of a map's range that boxes
    are cut at.
    """

    spec: ModelSpec
    settings: dict[str, Any]
    weights_file: Path | None = None
    class_names: tuple[str, ...] | None = None
    threshold: float | None = None

    @abstractmethod
    def trunk(self, x: Tensor) -> Tensor:
        """Run everything before the last stage."""

    @abstractmethod
    def last_stage(self) -> list[nn.Module]:
        """Return the blocks of the last stage, in order."""

    @abstractmethod
    def stage_blocks(self) -> list[list[str]]:
        """Name the blocks of every stage, in order."""

    def top_down_blocks(self) -> list[str]:
        """Name the blocks that take top-down attention: all of the last two stages."""
        *_, third, fourth = self.stage_blocks()
        return third + fourth

    @abstractmethod
    def shrinking_stages(self) -> list[nn.Module]:
        """Return the last two stages, each with what shrinks its input."""

    def searchlight_blocks(self) -> list[str]:
        """Name the blocks whose searchlight maps `forward_steps` gives, in its order.

        One step gives none, unless a block modulates its own output (m = 0).
        """
        return [
            name
            for name, block in self.named_modules()
            if isinstance(block, TopDownBlock) and (block.steps > 1 or block.distance == 0)
        ]

    def count_steps(self) -> int:
        """Count the steps of the last stage, T; 1 where it has no top-down blocks.

        Raises:
            ValueError: blocks of the last stage with different numbers of steps
        """
        blocks = self.last_stage()
        counts = {block.steps for block in blocks if isinstance(block, TopDownBlock)} or {1}
        if len(counts) > 1:
            raise ValueError(f"Expected as many steps in all blocks but got {sorted(counts)}")
        return counts.pop()

    def neck(self, x: Tensor) -> Tensor:
        """Run what lies between the last stage and the pooling."""
        return x

    @abstractmethod
    def classify(self, features: Tensor) -> Tensor:
        """Pool features, (N, C, h, w), and classify them, (N, K)."""

    def forward_steps(self, x: Tensor) -> StepOutputs:
        """Run the network once and keep what it puts out after each step.

        After step t every top-down block of the last stage has run t steps; those before it run
        all of theirs. What the steps share, the trunk and each prefix, is computed once. Meant
        for evaluation mode: in training mode the norms would see the steps as one batch.

        Args:
            x: (N, 3, H, W)

        Returns:
            the outputs of T steps, the last equal to `forward`; T = 1 without top-down blocks in
            the last stage

        Raises:
            ValueError: blocks of the last stage with different numbers of steps
        """
        steps = self.count_steps()
        with _recorded(self) as trunk_lights:
            x = self.trunk(x)
        lights = [torch.stack(maps, dim=1) for maps in trunk_lights.values()]
        shared = True
        for block in self.last_stage():
            if isinstance(block, TopDownBlock):
                x, maps = block.forward_steps(x, shared)
                x = run_layer_of(block, x)
                if maps:
                    lights.append(torch.stack(maps, dim=1))
                shared = steps == 1
            else:
                x = block(x)
        features = self.neck(x)
        logits = self.classify(features)
        rows = len(logits) // steps
        return StepOutputs(
            logits=logits.view(steps, rows, logits.shape[1]).transpose(0, 1),
            features=features.view(steps, rows, *features.shape[1:]).transpose(0, 1),
            searchlights=tuple(lights),
        )


def numbered(model: nn.Module, name: str) -> list[str]:
    """Name the children of a sequence."""
    return [f"{name}.{child}" for child, _ in model.get_submodule(name).named_children()]


def adopt(network: nn.Module, kind: type[Backbone]) -> Backbone:
    """Make an origin's network one of ours.

    Args:
        network: of a class that `kind` extends by methods only
        kind: what it becomes
    """
    network.__class__ = kind
    return network  # type: ignore[return-value]


@contextmanager
def _recorded(model: nn.Module) -> Iterator[dict[int, list[Tensor]]]:
    """Collect the searchlight maps of every attention module that runs in the block."""
    maps: dict[int, list[Tensor]] = {}

    def note(module: nn.Module, args: object, output: tuple[Tensor, Tensor]) -> None:
        maps.setdefault(id(module), []).append(output[1])

    handles = [
        module.register_forward_hook(note)
        for module in model.modules()
        if isinstance(module, TopDownAttention)
    ]
    try:
        yield maps
    finally:
        for handle in handles:
            handle.remove()
