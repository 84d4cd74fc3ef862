"""What training costs: bfloat16 against float32, and the loop against the bare arithmetic."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch.nn.functional import cross_entropy

from eval.splits import Split
from tdam import create_model
from tdam.events import Events
from tdam.training.loop import train
from tdam.training.recipe import Recipe
from tdam.training.schedule import create_optimizer
from wsol.runtime import is_half_fast
from wsol.speed.ratios import Ratio, compare_times
from wsol.training.images import pack_images, packed_side

if TYPE_CHECKING:
    from collections.abc import Callable

    from tdam.backbones.base import Backbone
    from tdam.training.batches import TrainingImages

_CLASSES = 10
_SKIPPED = 2  # first steps, in which memory is got and workers start
_COUNTED = 4
_AHEAD = 4  # batches that workers read ahead, and last ones that nobody reads behind


def compare_training(name: str, batch_size: int, repeats: int) -> list[Ratio]:
    """Compare training steps of a network, at its own input size.

    Args:
        name: of a registered network
        batch_size: images at once
        repeats: pairs that count

    Returns:
        how many times faster a step in bfloat16 with channels_last is than in float32 without; and
        how many times as long a step of the whole loop takes, images and all, as the arithmetic
        alone, in the faster of the two
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    half = is_half_fast(device)
    fast = _BareStep(name, batch_size, device, torch.channels_last, half=True)
    plain = _BareStep(name, batch_size, device, torch.contiguous_format, half=False)
    ratios = [
        compare_times(
            "training step, float32 / bfloat16 and channels_last",
            plain,
            fast,
            repeats,
            1.6 if half and name == "resnet50" else None,
            at_least=True,
        )
    ]
    bare = fast if half else _BareStep(name, batch_size, device, torch.channels_last, half=False)
    with tempfile.TemporaryDirectory() as folder:
        ratios.append(_compare_loop(name, bare, batch_size, device, Path(folder), repeats))
    return ratios


class _BareStep:
    """Forward, backward and step on synthetic tensors."""

    def __init__(
        self,
        name: str,
        batch_size: int,
        device: torch.device,
        layout: torch.memory_format,
        half: bool,
    ) -> None:
        self.network = create_model(name, num_classes=_CLASSES).train().to(device)
        self.network.to(memory_format=layout)
        side = self.network.spec.preprocessing.size
        images = torch.rand(batch_size, 3, side, side, device=device)
        self.images = images.to(memory_format=layout)
        self.labels = torch.zeros(batch_size, dtype=torch.long, device=device)
        self.optimizer = create_optimizer(self.network, Recipe(lr=0.01))
        self.half, self.device = half, device

    def __call__(self) -> None:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            logits = self.network(self.images)
        loss = cross_entropy(logits.float(), self.labels, label_smoothing=0.1)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def _compare_loop(
    name: str,
    bare: _BareStep,
    batch_size: int,
    device: torch.device,
    folder: Path,
    repeats: int,
) -> Ratio:
    """Run a stretch of the loop and a stretch of bare steps in turn."""
    side = bare.network.spec.preprocessing.size
    count = batch_size * (_SKIPPED + _COUNTED + _AHEAD)
    images = _noise(count, side, folder)
    recipe = Recipe(
        model=name,
        size=side,
        epochs=1,
        batch_size=batch_size,
        precision="bfloat16" if bare.half else "float32",
        select="last",
    )
    network = create_model(name, num_classes=_CLASSES)
    ratios = []
    for turn in range(repeats + 1):
        if turn % 2:
            theirs = _seconds_a_step(bare)
        ours = _steps_of_loop(network, images, recipe, folder / f"run{turn}", device)
        if turn % 2 == 0:
            theirs = _seconds_a_step(bare)
        if turn:  # the first pair warms up
            ratios.append(ours / theirs)
    return Ratio(
        "the loop / bare forward, backward and step",
        1.10,
        median(ratios),
        min(ratios),
        max(ratios),
    )


def _steps_of_loop(
    network: Backbone, images: TrainingImages, recipe: Recipe, folder: Path, device: torch.device
) -> float:
    """Measure the mean time from step to step of the loop, in seconds."""
    times: list[float] = []

    class Clock(Events):
        def advance(self, count: int = 1, **figures: float) -> None:
            times.append(time.perf_counter())

    train(
        network,
        images,
        recipe,
        folder,
        validate=lambda model: {"accuracy": 0.0, "loss": 0.0},
        device=device,
        events=Clock(),
    )
    # While the counted batches are trained on, as many are read.
    return (times[_SKIPPED + _COUNTED - 1] - times[_SKIPPED - 1]) / _COUNTED


def _seconds_a_step(step: Callable[[], None]) -> float:
    for _ in range(_SKIPPED):
        step()
    start = time.perf_counter()
    for _ in range(_COUNTED):
        step()
    return (time.perf_counter() - start) / _COUNTED


def _noise(count: int, size: int, folder: Path) -> TrainingImages:
    """Pack synthetic photographs of the size that packing leaves."""
    random = np.random.default_rng(0)
    side = packed_side(size)
    names = tuple(f"{row}.jpg" for row in range(count))
    for name in names:
        pixels = random.integers(0, 256, (side // 8, side // 6, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((side * 4 // 3, side)).save(folder / name)
    split = Split("train", names, np.arange(count, dtype=np.int64) % _CLASSES)
    return pack_images(split, folder, side, folder / "packed.u8")
