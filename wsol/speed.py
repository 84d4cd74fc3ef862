"""How fast this machine runs each stage, as ratios within one run, where its own drift cancels."""

from __future__ import annotations

import gc
import platform
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tdam import create_model

if TYPE_CHECKING:
    from collections.abc import Callable

    from tdam.backbones.base import Backbone


@dataclass(frozen=True)
class Ratio:
    """One cost in units of another, both measured in turn in the same run.

    Args:
        name: what is compared with what
        target: that the ratio should not exceed, or None
        median: over the repetitions
        low: the smallest
        high: the largest
    """

    name: str
    target: float | None
    median: float
    low: float
    high: float


def compare_times(
    name: str,
    first: Callable[[], Any],
    second: Callable[[], Any],
    repeats: int,
    target: float | None = None,
) -> Ratio:
    """Time two calls in turn, A B A B, and compare them pair by pair.

    Args:
        name: what is compared with what
        first: the call in question
        second: the call that is the unit
        repeats: pairs that count, after two that do not
        target: that the ratio should not exceed
    """
    ratios = []
    for turn in range(repeats + 2):
        spent = [_seconds(call) for call in (first, second)]
        if turn >= 2:
            ratios.append(spent[0] / spent[1])
    return Ratio(name, target, statistics.median(ratios), min(ratios), max(ratios))


def _seconds(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


class PeakMemory(TorchDispatchMode):
    """Counts the bytes of all tensors that are alive at once, at most, while it is active.

    It sees what operations put out, on any device, and not the scratch space inside them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.peak = 0
        self._alive: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, torch.Tensor):
                storage = leaf.untyped_storage()
                self._alive[storage._cdata] = StorageWeakRef(storage), storage.nbytes()
        self._alive = {k: v for k, v in self._alive.items() if not v[0].expired()}
        self.peak = max(self.peak, sum(size for _, size in self._alive.values()))
        return out


def peak_bytes(call: Callable[[], Any]) -> int:
    """Measure how much memory the tensors of a call take at once, at most, in bytes."""
    gc.collect()
    with PeakMemory() as counter:
        call()
    return counter.peak


def compare_network(
    name: str, settings: dict[str, Any], batch_size: int, repeats: int
) -> list[Ratio]:
    """Compare a network with attention to the plain one, at its own input size.

    Args:
        name: of a registered network
        settings: arguments of `create_model`, attention among them
        batch_size: images at once
        repeats: pairs that count

    Returns:
        ratios of inference time, per-step outputs, training step and peak memory
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    layout = torch.channels_last

    def prepare(**chosen: Any) -> Backbone:
        network = create_model(name, **chosen)
        return network.to(device).to(memory_format=layout)

    plain, ours = prepare(), prepare(**settings)
    side = plain.spec.preprocessing.size
    images = torch.rand(batch_size, 3, side, side, device=device).to(memory_format=layout)
    label = settings["attention"]
    # The targets are those of the reference configuration.
    reference = {"attention": "tdam", "steps": 2, "distance": 1, "searchlight": "joint"}
    aimed = name == "resnet50" and settings == reference
    ratios = []
    with torch.inference_mode():
        ratios.append(
            compare_times(
                f"inference, {label} / plain",
                lambda: ours(images),
                lambda: plain(images),
                repeats,
                1.15 if aimed else None,
            )
        )
        if label == "tdam":
            ratios.append(
                compare_times(
                    f"all {settings['steps']} steps / one forward of the same network",
                    lambda: ours.forward_steps(images),
                    lambda: ours(images),
                    repeats,
                    1.30 if settings["steps"] == 2 else None,
                )
            )
        memory = peak_bytes(lambda: ours(images)) / peak_bytes(lambda: plain(images))
    ratios.append(Ratio(f"peak memory of inference, {label} / plain", 1.15, *[memory] * 3))
    ratios.append(
        compare_times(
            f"training step, {label} / plain",
            _Trainer(ours.train(), images),
            _Trainer(plain.train(), images),
            repeats,
            1.25 if aimed else None,
        )
    )
    return ratios


class _Trainer:
    """One step of SGD on synthetic labels."""

    def __init__(self, network: torch.nn.Module, images: torch.Tensor) -> None:
        self.network = network
        self.images = images
        self.labels = torch.zeros(len(images), dtype=torch.long, device=images.device)
        self.optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)

    def __call__(self) -> None:
        self.optimizer.zero_grad()
        logits = self.network(self.images)
        torch.nn.functional.cross_entropy(logits, self.labels).backward()
        self.optimizer.step()


def describe_machine() -> str:
    """Say what the figures were measured on."""
    where = platform.processor() or platform.machine()
    if torch.cuda.is_available():
        where = torch.cuda.get_device_name()
    capability = torch.backends.cpu.get_cpu_capability()
    return (
        f"{where}, {torch.get_num_threads()} threads, {capability}, torch {torch.__version__}, "
        "channels_last, float32"
    )
