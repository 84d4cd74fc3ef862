"""What is done to a whole batch on its way into the network: scale, erase, mix."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torchvision.transforms import v2

if TYPE_CHECKING:
    from torch import Tensor

    from tdam.preprocessing import Preprocessing
    from tdam.training.recipe import Recipe


class Mixer:
    """Turns views into what a training step sees.

    Args:
        recipe: gives erasing, mixup and CutMix
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
        mixes: list[v2.Transform] = []
        if recipe.mixup:
            mixes.append(v2.MixUp(alpha=recipe.mixup, num_classes=classes))
        if recipe.cutmix:
            mixes.append(v2.CutMix(alpha=recipe.cutmix, num_classes=classes))
        self.mix = v2.RandomChoice(mixes) if mixes else None

    def __call__(self, views: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Scale views, then erase and mix them by torch's random numbers.

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
        if self.mix is not None:
            images, labels = self.mix(images, labels)
        return images.to(memory_format=self.layout), labels
