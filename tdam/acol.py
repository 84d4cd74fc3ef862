"""Two classifiers on one map, the second of which does not see what the first one looks at."""

from __future__ import annotations

from functools import partial
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

    Scores = Tensor | tuple[Tensor, Tensor]  # of the first classifier, or of both

NAME = "acol_head"
_WIDTH = 1024  # channels between the convolutions of a classifier


class AcolHead(nn.Module):
    """The two classifiers of adversarial complementary learning (X. Zhang et al., CVPR 2018).

    Each is two convolutions of 3 x 3 pixels and one of a single pixel, whose outputs, a map a
    class, have the class scores as their means. The last one starts at zero, so that all classes
    are equally likely; the others start at random.

    Args:
        channels: C, of the features
        classes: K
        threshold: share of its range, from 0 to 1, from which on a map of the first classifier is
            erased from what the second one sees
    """

    def __init__(self, channels: int, classes: int, threshold: float = 0.7) -> None:
        super().__init__()
        if not 0 <= threshold <= 1:
            raise ValueError(f"Expected acol_threshold to be from 0 to 1 but got {threshold}")
        self.threshold = threshold
        self.first = _build_classifier(channels, classes)
        self.second = _build_classifier(channels, classes)

    def forward(self, features: Tensor, labels: Tensor | None = None) -> Scores:
        """Classify features, (N, C, h, w).

        Args:
            features: of the network
            labels: true classes, (N,), whose maps are erased; None where only scores are wanted

        Returns:
            scores of the first classifier, (N, K); with labels those of both
        """
        maps = self.first(features)
        if labels is None:
            return _mean(maps)
        seen = self.erase(features, _choose(maps, labels))
        return _mean(maps), _mean(self.second(seen))

    def erase(self, features: Tensor, maps: Tensor) -> Tensor:
        """Set features, (N, C, h, w), to zero where maps, (N, h, w), reach the threshold.

        The choice has no gradient. A constant map erases nothing.
        """
        maps = maps.detach().float()
        flat = maps.amax(dim=(1, 2), keepdim=True) == maps.amin(dim=(1, 2), keepdim=True)
        kept = (stretch(maps) < self.threshold) | flat
        return features * kept[:, None].to(features.dtype)

    def class_maps(self, features: Tensor, ids: Tensor) -> Tensor:
        """Give the maps of one class an image: where either classifier looks.

        Args:
            features: (N, C, h, w)
            ids: classes, (N,)

        Returns:
            the greater of the maps of both, each stretched to [0, 1]; (N, h, w)
        """
        features = features.to(next(self.parameters()).dtype)
        one = _choose(self.first(features), ids)
        other = _choose(self.second(self.erase(features, one)), ids)
        return torch.maximum(stretch(one), stretch(other))


class AcolHeaded(Headed):
    """A network with two classifiers; what it says of an image are the scores of the first."""

    head_name = NAME
    acol_head: AcolHead

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Scores:
        """Classify images.

        Args:
            x: (N, 3, H, W)
            labels: true classes, (N,), of images to learn from

        Returns:
            (N, K) of the first classifier; with labels those of both
        """
        scores: Scores = self.acol_head(self.last_map(x), labels)
        return scores

    def class_maps(self, features: Tensor, ids: Tensor) -> Tensor:
        """Give the maps of one class an image, as `AcolHead.class_maps`."""
        return self.acol_head.class_maps(features, ids)


def put_acol_head(model: Backbone, threshold: float) -> None:
    """Give a network the two classifiers in the place of its own.

    Args:
        model: changed in place, its `spec` and `settings` too
        threshold: of `AcolHead`

    Raises:
        ValueError: as `put_head`, or a threshold out of range
    """
    classes = model.settings["num_classes"]
    put_head(model, AcolHeaded, lambda channels: AcolHead(channels, classes, threshold))
    model.settings["acol_threshold"] = threshold


def acol(network: Callable[..., Any], images: Tensor, wanted: Tensor, recipe: Recipe) -> Tensor:
    """Sum up the cross-entropies of the two classifiers, with the recipe's label smoothing.

    A loss of `tdam.training.losses`, for networks whose head is `acol`.
    """
    cost = partial(functional.cross_entropy, target=wanted, label_smoothing=recipe.label_smoothing)
    first, second = network(images, wanted)
    total: Tensor = cost(first.float()) + cost(second.float())
    return total


def _build_classifier(channels: int, classes: int) -> nn.Sequential:
    last = nn.Conv2d(_WIDTH, classes, 1)
    layers = nn.Sequential(
        nn.Conv2d(channels, _WIDTH, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1),
        nn.ReLU(),
        last,
    )
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(layer.get_parameter("bias"))
    nn.init.zeros_(last.weight)
    return layers


def _mean(maps: Tensor) -> Tensor:
    return maps.mean(dim=(2, 3))


def _choose(maps: Tensor, ids: Tensor) -> Tensor:
    """Take each image's map of its class out of (N, K, h, w)."""
    index = ids[:, None, None, None].expand(-1, 1, *maps.shape[2:])
    return maps.gather(1, index)[:, 0]
