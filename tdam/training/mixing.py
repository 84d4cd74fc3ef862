"""What is done to a whole batch on its way into the network: scale, erase, hide, mix."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torchvision.transforms import v2

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from tdam.preprocessing import Preprocessing
    from tdam.training.recipe import Recipe


class Mixer:
    """Turns views into what a training step sees.

    Args:
        recipe: gives erasing, hiding, mixup and CutMix
        preprocessing: what the network wants as input
        classes: number of them
        device: that the network is on
    """

    def __init__(
        self, recipe: Recipe, preprocessing: Preprocessing, classes: int, device: torch.device
    ) -> None:
        self.layout = torch.channels_last if recipe.channels_last else torch.contiguous_format
        self.device, self.size = device, preprocessing.size
        self.mean = torch.tensor(preprocessing.mean, device=device).view(3, 1, 1) * 255
        self.std = torch.tensor(preprocessing.std, device=device).view(3, 1, 1) * 255
        self.erase = v2.RandomErasing(recipe.erasing, value="random") if recipe.erasing else None
        self.hide_rate, self.hide_sizes = recipe.hide_rate, recipe.hide_sizes
        mixes: list[v2.Transform] = []
        if recipe.mixup:
            mixes.append(v2.MixUp(alpha=recipe.mixup, num_classes=classes))
        if recipe.cutmix:
            mixes.append(v2.CutMix(alpha=recipe.cutmix, num_classes=classes))
        self.mix: v2.Transform | None = v2.RandomChoice(mixes) if mixes else None
        if self.mix is not None and recipe.mix_rate < 1:
            self.mix = v2.RandomApply([self.mix], recipe.mix_rate)

    def __call__(self, views: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Scale views, then erase, hide and mix them by torch's random numbers.

        Args:
            views: (B, 3, S, S), uint8
            labels: (B,), int64

        Returns:
            (B, 3, S, S), float32; and labels, (B,), or where images were mixed the share of each
            class, (B, K)
        """
        images = views.to(self.device, non_blocking=True)
        images = images.to(memory_format=self.layout).float().sub_(self.mean).div_(self.std)
        labels = labels.to(self.device, non_blocking=True)
        if self.erase is not None:
            images = torch.stack([self.erase(image) for image in images])
        if self.hide_rate:
            images = hide_squares(images, self.hide_sizes, self.hide_rate)
        if self.mix is not None:
            images, labels = self.mix(images, labels)
        return images.to(memory_format=self.layout), labels


def hide_squares(images: Tensor, sizes: Sequence[int], rate: float) -> Tensor:
    """Hide squares of images at random, as Hide-and-Seek does (K. Singh, Y. Lee, ICCV 2017).

    A network that finds the most telling part of an object hidden in one epoch and another part in
    the next learns from all of them. Each image is cut into squares of one of the sizes, from the
    upper left, narrower at the right and lower edges; each of them is hidden by itself.

    Args:
        images: (N, C, H, W), normalised, so that zero is the mean colour
        sizes: sides of squares, in pixels, any of which an image can get; 0 leaves it whole
        rate: probability that a square is hidden, from 0 to 1

    Returns:
        the same shape, zero where hidden

    >>> hide_squares(torch.ones(1, 1, 2, 5), [2], 1.0).sum()
    tensor(0.)
    """
    height, width = images.shape[2:]
    shown = torch.ones(len(images), 1, height, width, dtype=torch.bool)
    for row, choice in enumerate(torch.randint(len(sizes), (len(images),)).tolist()):
        if side := sizes[choice]:
            kept = torch.rand(-(-height // side), -(-width // side)) >= rate
            wide = kept.repeat_interleave(side, dim=0).repeat_interleave(side, dim=1)
            shown[row, 0] = wide[:height, :width]
    return images * shown.to(images.device)
