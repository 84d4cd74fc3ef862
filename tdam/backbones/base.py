"""What every network of the registry can do beyond logits: its output after each step."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from torch import nn

from tdam.layout import hooked
from tdam.steps import StepOutputs, count_steps, every_step, searchlight_blocks

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from tdam.spec import ModelSpec


class Backbone(nn.Module):
    """A network whose stages are known, and which part of it runs once per step.

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
        return searchlight_blocks(self)

    def count_steps(self) -> int:
        """Count the steps of the last stage, T; 1 where it has no top-down blocks.

        Raises:
            ValueError: blocks of the last stage with different numbers of steps
        """
        return count_steps(self)

    def forward_steps(self, x: Tensor) -> StepOutputs:
        """Run the network once and keep what it puts out after each step.

        After step t every top-down block of the last stage has run t steps; those before it run
        all of theirs. What the steps share is computed once. Meant for evaluation mode: in
        training mode the norms would see the steps as one batch.

        Args:
            x: (N, 3, H, W)

        Returns:
            the outputs of T steps, the last equal to `forward`; T = 1 without top-down blocks in
            the last stage

        Raises:
            ValueError: blocks of the last stage with different numbers of steps
        """
        features: list[Tensor] = []

        def keep(index: int, output: Tensor) -> Tensor:
            features.append(output)
            return output

        pooled = self.get_submodule(self.spec.pooled_layer)
        with (
            every_step(self) as steps,
            hooked(self, [pooled], keep, tuple(x.shape), None, steps.count),
        ):
            logits = self(x)
        return StepOutputs(
            logits=steps.split(logits),
            features=steps.split(features[-1]),
            searchlights=steps.searchlights,
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
