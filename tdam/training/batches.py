"""Batches in an order, and with random views, that depend on seed and position alone.

A run that was cut off needs no random states to go on: every random number is drawn after seeding
with the recipe's seed and its position in the run, whichever process draws it.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler
from torchvision.transforms import v2

from tdam.training.errors import UnreadableImageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from tdam.ranks import Ranks
    from tdam.training.recipe import Recipe

ORDER, VIEW, STEP = range(3)  # what random numbers are for


class TrainingImages(Protocol):
    """What a network is trained on."""

    @property
    def ids(self) -> Sequence[str]:
        """Names of the images."""
        ...

    @property
    def labels(self) -> np.ndarray:
        """Their classes from 0, (N,), int64."""
        ...

    def read(self, index: int) -> Tensor:
        """Read an image, uint8 (3, H, W).

        Raises:
            UnreadableImageError: it cannot be read
        """
        ...


@dataclass(frozen=True)
class Batch:
    """Some images.

    Args:
        indices: of the images, in the order of the rows; empty where one black row stands in
        images: (B, 3, S, S), uint8; S is the side of the input in this epoch
        labels: (B,), int64
        unreadable: index and reason of each that could not be read, which is in none of the above
    """

    indices: list[int]
    images: Tensor
    labels: Tensor
    unreadable: list[tuple[int, str]]

    def pin_memory(self) -> Batch:
        """Move the images to memory that a GPU reads fast."""
        return Batch(
            self.indices, self.images.pin_memory(), self.labels.pin_memory(), self.unreadable
        )


def derive_seed(*numbers: int) -> int:
    """Turn numbers into a seed, from 0 to 2^63 - 1, that nearby numbers do not share."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)


def batches_an_epoch(count: int, batch_size: int) -> int:
    """Count the batches in which all images are seen once."""
    return -(-count // batch_size)


def list_batches(count: int, batch_size: int, seed: int, epoch: int) -> list[np.ndarray]:
    """Deal all images into batches whose sizes differ by at most one.

    Args:
        count: of images
        batch_size: at most
        seed: of the run
        epoch: from 0

    Returns:
        indices of the images of each batch
    """
    order = np.random.default_rng(derive_seed(seed, ORDER, epoch)).permutation(count)
    return np.array_split(order, batches_an_epoch(count, batch_size))


def load_batches(
    images: TrainingImages,
    recipe: Recipe,
    size: int,
    start: int,
    workers: int,
    ranks: Ranks,
    pin: bool = False,
) -> DataLoader[Batch]:
    """Load what is left of a run: this process's part of every batch.

    Args:
        images: all of them
        recipe: gives epochs, batch size, views, their side in the first epochs, and seed
        size: side of the input in the other epochs, in pixels
        start: number of batches that are done
        workers: processes that read images; 0 for this one
        ranks: the processes that train together
        pin: whether images go to memory that a GPU reads fast
    """
    loader: DataLoader[Any] = DataLoader(
        _Views(images, recipe, size),
        batch_sampler=_Positions(len(images.ids), recipe, start, ranks),
        num_workers=workers,
        collate_fn=partial(_collate, size=size),
        prefetch_factor=2 if workers else None,
        worker_init_fn=_ignore_interrupts,
        pin_memory=pin,
        generator=torch.Generator(),  # or it would draw from the caller's random numbers
    )
    return loader


class _Positions(Sampler[list[tuple[int, int]]]):
    """The pairs of epoch and image of every batch that is left."""

    def __init__(self, count: int, recipe: Recipe, start: int, ranks: Ranks) -> None:
        self.count, self.recipe, self.start, self.ranks = count, recipe, start, ranks

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        size, seed = self.recipe.batch_size, self.recipe.seed
        first, skipped = divmod(self.start, batches_an_epoch(self.count, size))
        for epoch in range(first, self.recipe.epochs):
            batches = list_batches(self.count, size, seed, epoch)
            for batch in batches[skipped:]:
                part = batch[self.ranks.rank :: self.ranks.count]
                yield [(epoch, int(index)) for index in part]
            skipped = 0

    def __len__(self) -> int:
        return (
            self.recipe.epochs * batches_an_epoch(self.count, self.recipe.batch_size) - self.start
        )


class _Views(Dataset[tuple[int, int, "Tensor | str"]]):
    """One random view of an image, or why it could not be read."""

    def __init__(self, images: TrainingImages, recipe: Recipe, size: int) -> None:
        self.images, self.seed = images, recipe.seed
        self.change = create_views(recipe, size, recipe.resize)
        self.small_epochs = recipe.small_epochs if recipe.small_size else 0
        small = recipe.small_size or size
        self.shrink = create_views(recipe, small, round(recipe.resize * small / size))

    def __getitem__(self, position: tuple[int, int]) -> tuple[int, int, Tensor | str]:
        epoch, index = position
        label = int(self.images.labels[index])
        try:
            image = self.images.read(index)
        except UnreadableImageError as error:
            return index, label, str(error)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(derive_seed(self.seed, VIEW, epoch, index))
            change = self.shrink if epoch < self.small_epochs else self.change
            return index, label, change(image).contiguous()


def create_views(recipe: Recipe, size: int, resize: int) -> v2.Transform:
    """Build what makes a random view of an image, by torch's random numbers.

    Args:
        recipe: gives crops, interpolation, flips and colours
        size: side of the view, in pixels
        resize: side that an image is squashed to before a crop; 0 for crops by share of the area
    """
    either = (v2.InterpolationMode.BILINEAR, v2.InterpolationMode.BICUBIC)
    modes = {"bilinear": either[:1], "bicubic": either[1:], "random": either}
    crops = [_create_crop(recipe, size, resize, mode) for mode in modes[recipe.interpolation]]
    parts = [crops[0] if len(crops) == 1 else v2.RandomChoice(crops)]
    if recipe.flip:
        parts.append(v2.RandomHorizontalFlip(recipe.flip))
    if recipe.colour:
        parts.append(v2.ColorJitter(recipe.colour, recipe.colour, recipe.colour))
    return v2.Compose(parts)


def _create_crop(
    recipe: Recipe, size: int, resize: int, mode: v2.InterpolationMode
) -> v2.Transform:
    if resize:
        squash = v2.Resize((resize, resize), mode, antialias=True)
        return v2.Compose([squash, v2.RandomCrop(size)])
    if recipe.min_scale < 1:
        area = (recipe.min_scale, 1.0)
        return v2.RandomResizedCrop(size, area, interpolation=mode, antialias=True)
    return v2.Resize((size, size), mode, antialias=True)


def _collate(samples: list[tuple[int, int, Tensor | str]], size: int) -> Batch:
    """Stack views; where there is none, a black one stands in, which counts for nothing."""
    good = [(i, label, view) for i, label, view in samples if not isinstance(view, str)]
    views = [view for _, _, view in good]
    return Batch(
        [i for i, _, _ in good],
        torch.stack(views) if views else torch.zeros(1, 3, size, size, dtype=torch.uint8),
        torch.tensor([label for _, label, _ in good] or [0], dtype=torch.int64),
        [(i, view) for i, _, view in samples if isinstance(view, str)],
    )


def _ignore_interrupts(worker: int) -> None:
    """Leave stopping to the process that trains: it still wants the batches of this step."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
