"""Branches that learn what is object and what is background from a network's own class map."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional

from tdam.heads import Headed, put_head
from tdam.stretch import stretch

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from tdam.backbones.base import Backbone
    from tdam.training.recipe import Recipe

    Answer = Tensor | tuple[Tensor, Tensor, list[Tensor]]  # scores; and two maps more, to learn

NAME = "spg_head"
_WIDTH = 512  # channels between the convolutions of a branch
# Where the standard evaluation lets the first two branches begin, and how wide they are there.
_PLACES = {
    "resnet50": ("layer3.0", "layer3.5", 1024),
    "vgg16": ("features.23", "features.29", _WIDTH),
    "vgg16_conv6": ("features.23", "features.29", _WIDTH),
    "inception_v3": ("maxpool3", "Mixed_6d", _WIDTH),
}
_FEWEST = 30 / 224**2  # share of the pixels that have to be object
_STRONGEST = 0.7  # share of the greatest value, from which on pixels are where there are fewer


class SpgHead(nn.Module):
    """What self-produced guidance (X. Zhang et al., ECCV 2018) adds to a network.

    The classifier is linear in the mean of the last map. Three branches, of which the first two
    end in layers that they share, say where the object is; classes do not depend on them.

    Args:
        channels: of the last map
        classes: K
        earlier: channels of the two maps that the first two branches see
        width: channels of these branches
    """

    def __init__(
        self, channels: int, classes: int, earlier: tuple[int, int], width: int = _WIDTH
    ) -> None:
        super().__init__()
        self.classifier = nn.Linear(channels, classes)
        self.first, self.second = (nn.Sequential(*_convolve(each, width)) for each in earlier)
        self.shared = nn.Sequential(*_convolve(width, width), nn.Conv2d(width, 1, 1))
        self.last = nn.Sequential(*_convolve(channels, _WIDTH), nn.Conv2d(_WIDTH, 1, 1))
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.get_parameter("bias"))
        nn.init.zeros_(self.classifier.weight)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, maps: list[Tensor], labels: Tensor | None = None) -> Answer:
        """Classify.

        Args:
            maps: the two earlier ones and the last, (N, C, h, w) each
            labels: true classes, (N,), of images to learn from

        Returns:
            scores, (N, K); with labels also their class maps, (N, h, w), and what the three
            branches say, (N, 1, h, w) each, whose sigmoid is near 1 where they see the object
        """
        *earlier, features = maps
        scores: Tensor = self.classifier(features.flatten(2).mean(dim=2))
        if labels is None:
            return scores
        shown = self.class_maps(features, labels)
        branches = [
            self.shared(branch(each))
            for branch, each in zip((self.first, self.second), earlier, strict=True)
        ]
        return scores, shown, [*branches, self.last(features)]

    def class_maps(self, features: Tensor, ids: Tensor) -> Tensor:
        """Give the class activation map, (N, h, w), of one class an image."""
        weights = self.classifier.weight[ids]
        return torch.einsum("nc,nchw->nhw", weights, features.to(weights.dtype))


class SpgHeaded(Headed):
    """A network with branches that guide it while it learns."""

    head_name = NAME
    spg_head: SpgHead
    guided_at: tuple[str, str]  # the layers where the first two branches begin

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Answer:
        """Classify images.

        Args:
            x: (N, 3, H, W)
            labels: true classes, (N,), of images to learn from

        Returns:
            as `SpgHead.forward`
        """
        if labels is None:
            maps = [self.last_map(x)]
        else:
            maps = self.maps_of(x, (*self.guided_at, self.spec.pooled_layer))
        answer: Answer = self.spg_head(maps, labels)
        return answer

    def class_maps(self, features: Tensor, ids: Tensor) -> Tensor:
        """Give the maps of one class an image, as `SpgHead.class_maps`."""
        return self.spg_head.class_maps(features, ids)


def put_spg_head(model: Backbone) -> None:
    """Give a network a linear classifier of its last map, and branches that guide it.

    The first two begin where the standard evaluation has them; in other networks after the first
    and the last block of the stage before the last one, or, where that is one block, after the last
    ones of the two stages before it.

    Args:
        model: changed in place, its `spec` too

    Raises:
        ValueError: as `put_head`, or a network without so many blocks
    """
    first, second, width = _find_places(model)
    side, classes = model.spec.preprocessing.size, model.settings["num_classes"]

    def build(channels: int) -> nn.Module:
        model.guided_at = first, second  # type: ignore[assignment]
        with torch.no_grad():
            one, other = model.maps_of(torch.zeros(1, 3, side, side), (first, second))  # type: ignore[operator]
        return SpgHead(channels, classes, (one.shape[1], other.shape[1]), width)

    put_head(model, SpgHeaded, build)


def spg(network: Callable[..., Any], images: Tensor, wanted: Tensor, recipe: Recipe) -> Tensor:
    """Sum up the cross-entropies of the classes, with label smoothing, and of three guided maps.

    The class map guides the second branch, what that one says the first, and the mean of both the
    third. Where a guide is above a high threshold its pixels are object, below a low one
    background, and the others count for nothing. Maps are enlarged to the side of the input, and
    guides have no gradient. A loss of `tdam.training.losses`, for networks whose head is `spg`.
    """
    scores, shown, branches = network(images, wanted)
    first, second, last = (_enlarge(each, images) for each in branches)
    guides = (
        stretch(_enlarge(shown[:, None], images)),
        second.sigmoid(),
        (first.sigmoid() + second.sigmoid()) / 2,
    )
    pairs = list(zip(recipe.spg_thresholds[::2], recipe.spg_thresholds[1::2], strict=True))
    total: Tensor = functional.cross_entropy(
        scores.float(), wanted, label_smoothing=recipe.label_smoothing
    )
    for told, guide, (high, low) in zip((second, first, last), guides, pairs, strict=True):
        truth, counts = mark(guide.detach(), high, low)
        costs = functional.binary_cross_entropy_with_logits(told, truth, reduction="none")
        total = total + (costs * counts).sum() / counts.sum().clamp(min=1)
    return total


def mark(guide: Tensor, high: float, low: float) -> tuple[Tensor, Tensor]:
    """Tell object and background by a guide.

    Args:
        guide: (N, H, W), from 0 to 1
        high: above it is object; where that is less than a share of 30 / 224^2 of the pixels, above
            0.7 of the greatest value
        low: below it is background

    Returns:
        1 where the object is, and 1 where either is; (N, H, W)
    """
    strong = guide > high
    few = strong.sum(dim=(1, 2), keepdim=True) < _FEWEST * guide[0].numel()
    strong = torch.where(few, guide > _STRONGEST * guide.amax(dim=(1, 2), keepdim=True), strong)
    weak = guide < low
    return (strong & ~weak).to(guide.dtype), (strong | weak).to(guide.dtype)


def _find_places(model: Backbone) -> tuple[str, str, int]:
    from tdam.attach import modules_of

    if model.spec.name in _PLACES:
        return _PLACES[model.spec.name]
    stages = model.stage_blocks()
    if len(stages) < 3:
        raise ValueError(
            f"Expected a network of at least 3 stages for head=spg but {model.spec.name} has "
            f"{len(stages)}"
        )
    second, third, _ = stages[-3:]
    one = third[0] if len(third) > 1 else second[-1]
    return modules_of(one)[-1], modules_of(third[-1])[-1], _WIDTH


def _convolve(channels: int, width: int) -> tuple[nn.Module, nn.Module]:
    return nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()


def _enlarge(maps: Tensor, images: Tensor) -> Tensor:
    """Enlarge (N, 1, h, w) to the side of the input, (N, H, W), in float32."""
    side = tuple(images.shape[-2:])
    larger = functional.interpolate(maps.float(), side, mode="bilinear", align_corners=False)
    return larger[:, 0]
