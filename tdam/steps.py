"""What any network puts out after each step of its top-down blocks, by one pass of it."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from tdam.attention import TopDownAttention
from tdam.recurrence import TopDownBlock
from tdam.reprs import brief_repr

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor, nn


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

    __repr__ = brief_repr


@dataclass
class Steps:
    """The steps of one pass.

    Args:
        count: T
        lights: searchlight maps, one list of (N, H, W) a block
    """

    count: int
    lights: list[list[Tensor]] = field(default_factory=list)

    def split(self, outputs: Tensor) -> Tensor:
        """Turn what a pass put out, (T N, ...), step behind step, into (N, T, ...)."""
        return outputs.unflatten(0, (self.count, -1)).transpose(0, 1)

    @property
    def searchlights(self) -> tuple[Tensor, ...]:
        """One (N, S, H, W) tensor a block that has some, S maps each."""
        return tuple(torch.stack(maps, dim=1) for maps in self.lights if maps)


def list_step_blocks(model: nn.Module) -> list[TopDownBlock]:
    """List the top-down blocks whose steps a pass can tell apart: those of the last stage.

    A registered network knows its stages; of any other, the blocks count that lie in the same
    module as the last one.
    """
    blocks = {n: block for n, block in model.named_modules() if isinstance(block, TopDownBlock)}
    if not blocks:
        return []
    stage_blocks = getattr(model, "stage_blocks", None)
    if stage_blocks is not None:
        last = {name.partition(":")[0] for name in stage_blocks()[-1]}
        return [block for name, block in blocks.items() if name in last]
    home = list(blocks)[-1].rpartition(".")[0]
    return [block for name, block in blocks.items() if name.rpartition(".")[0] == home]


def count_steps(model: nn.Module) -> int:
    """Count the steps of the last stage, T; 1 where it has no top-down blocks.

    Raises:
        ValueError: blocks of the last stage with different numbers of steps
    """
    counts = {block.steps for block in list_step_blocks(model)} or {1}
    if len(counts) > 1:
        raise ValueError(f"Expected as many steps in all blocks but got {sorted(counts)}")
    return counts.pop()


def searchlight_blocks(model: nn.Module) -> list[str]:
    """Name the blocks whose searchlight maps a pass gives, in its order.

    One step gives none, unless a block modulates its own output (m = 0).
    """
    return [
        name
        for name, block in model.named_modules()
        if isinstance(block, TopDownBlock) and (block.steps > 1 or block.distance == 0)
    ]


@contextmanager
def every_step(model: nn.Module) -> Iterator[Steps]:
    """Let one pass of a network give what each number of steps gives.

    After step t every top-down block of the last stage has run t steps; those before it run all of
    theirs. What the steps share, whatever comes before the first block of the last stage and its
    head, is computed once: from there on the batch is T times as large, and so are the outputs,
    step behind step. Meant for evaluation mode: in training mode the norms would see the steps as
    one batch.

    Args:
        model: any network

    Yields:
        the steps, which know their searchlight maps after the pass

    Raises:
        ValueError: blocks of the last stage with different numbers of steps
    """
    steps = Steps(count_steps(model))
    blocks = list_step_blocks(model)
    first = True

    def run(block: TopDownBlock, x: Tensor) -> Tensor:
        nonlocal first
        outputs, lights = block.forward_steps(x, first or steps.count == 1)
        first = False
        steps.lights.append(lights)
        return outputs

    with ExitStack() as stack:
        stack.enter_context(_noted(_other_attention(model, blocks), steps.lights))
        for block in blocks:
            block.runner = run
            stack.callback(setattr, block, "runner", None)
        try:
            yield steps
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            if steps.count == 1:
                raise
            raise ValueError(
                "Expected a network whose last stage with attention is one path, along which the "
                f"batch can hold every step, but it is not ({str(error).splitlines()[0]}); name "
                "the target layer, for the maps of the last step alone"
            ) from error


def _other_attention(model: nn.Module, blocks: Sequence[TopDownBlock]) -> list[nn.Module]:
    """List the attention modules of top-down blocks that are not among some."""
    among = {id(module) for block in blocks for module in block.modules()}
    return [
        module
        for module in model.modules()
        if isinstance(module, TopDownAttention) and id(module) not in among
    ]


@contextmanager
def _noted(modules: Sequence[nn.Module], lights: list[list[Tensor]]) -> Iterator[None]:
    """Collect the searchlight maps of attention modules that run in the block."""
    maps: dict[int, list[Tensor]] = {}

    def note(module: nn.Module, args: object, output: tuple[Tensor, Tensor]) -> None:
        if id(module) not in maps:
            maps[id(module)] = []
            lights.append(maps[id(module)])
        maps[id(module)].append(output[1])

    handles = [module.register_forward_hook(note) for module in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
