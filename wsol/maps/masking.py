"""Maps whose weights are what the network says of the image when only a channel's pixels show."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import interpolate

from tdam.modes import evaluation_mode
from tdam.steps import every_step
from tdam.stretch import stretch
from wsol.maps.core import MapExtractor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor, nn

# Masked images in one forward pass: on processors more do not fit the caches, and take up to twice
# as long.
_ON_CPU, _ON_OTHERS = 8, 64


class RunningExtractor(MapExtractor):
    """A map for which the network runs again, on images that are made of the image."""

    needs_images = True

    def __init__(self, model: nn.Module, *arguments: Any, **options: Any) -> None:
        super().__init__(model, *arguments, **options)
        self._again = False

    @contextmanager
    def _running(self) -> Iterator[Tensor]:
        """Let the network run as it is evaluated, unseen by the extractor's own hooks.

        Yields:
            the images of the pass that the maps are of, (N, 3, H, W)
        """
        if self.images is None:
            raise ValueError("Expected a forward pass of the model but saw none")
        self._again = True
        try:
            with evaluation_mode(self.model):
                yield self.images
        finally:
            self._again = False

    def _keep(self, index: int, output: Tensor) -> Tensor:
        return output if self._again else super()._keep(index, output)

    def _keep_images(
        self, model: nn.Module, args: tuple[Tensor, ...], named: dict[str, Tensor]
    ) -> None:
        if not self._again:
            super()._keep_images(model, args, named)


class MaskingExtractor(RunningExtractor):
    """A map whose weights are class scores of masked images, each step's by that step."""

    def _compute(self, activations: list[Tensor], ids: Tensor, scores: Tensor) -> list[Tensor]:
        with self._running() as images, torch.no_grad():
            count = len(images)
            steps = len(scores) // count
            made = []
            for index, activation in enumerate(activations):
                parts = dict(enumerate(activation.split(count)))
                if steps > 1 and len(activations) > 1:  # one a step, its first rows count
                    parts = {index: parts[0]}
                maps = [
                    self._weigh(part, images, ids[:count], step, steps)
                    for step, part in parts.items()
                ]
                made.append(torch.cat(maps))
            return made

    def _weigh(
        self, activation: Tensor, images: Tensor, ids: Tensor, step: int, steps: int
    ) -> Tensor:
        """Make the maps of one step, (N, h, w)."""
        raise NotImplementedError

    def _say(self, images: Tensor, step: int, steps: int) -> Tensor:
        """Give the class scores of images at a step, (B, K)."""
        if step == steps - 1:
            return self.run(images)
        with every_step(self.model) as each:
            return each.split(self.run(images))[:, step]


class ScoreCAM(MaskingExtractor):
    r"""Score-CAM (H. Wang et al., CVPR Workshops 2020): $ReLU(\sum_c w_c A_c)$.

    $w = softmax_c(y_k(X \circ H_c) - y_k(0))$, where $H_c$ is the channel $A_c$, stretched to
    [0, 1] and enlarged to the image, and $y_k$ the class score; what the black image scores is the
    same for all channels and falls out of the softmax. A channel without contrast has no part.

    It needs no gradients, but one forward pass a channel and image: seconds to minutes an image.
    The input is masked as the network gets it, where zero is most often the mean colour. Of a
    network that runs in steps, channels and score are those of the same step.

    >>> from tdam import create_model
    >>> model = create_model("resnet18").eval()
    >>> with ScoreCAM(model, "layer1.0.conv1") as extractor:
    ...     maps = extractor(3, model(torch.rand(1, 3, 32, 32)))
    >>> maps[0].shape
    torch.Size([1, 8, 8])
    """

    def _weigh(
        self, activation: Tensor, images: Tensor, ids: Tensor, step: int, steps: int
    ) -> Tensor:
        maps = []
        for channels, image, label in zip(activation.float(), images, ids.tolist(), strict=True):
            said = [self._say(each, step, steps)[:, label] for each in _mask(channels, image)]
            flat = channels.amax(dim=(1, 2)) == channels.amin(dim=(1, 2))
            weights = torch.cat(said).float().masked_fill(flat, -torch.inf).softmax(dim=0)
            weights = torch.where(flat, 0, weights)  # also where no channel has contrast
            maps.append(torch.einsum("c,chw->hw", weights, channels).relu())
        return torch.stack(maps)


def _mask(channels: Tensor, image: Tensor) -> Iterator[Tensor]:
    """Show an image, (3, H, W), through each of its channels, (C, h, w), some at a time."""
    at_once = _ON_CPU if image.device.type == "cpu" else _ON_OTHERS
    for part in stretch(channels).split(at_once):
        wide = interpolate(part[:, None], image.shape[1:], mode="bilinear", align_corners=False)
        yield image * wide.to(image.dtype)
