"""Maps whose weights come from the classifier: class activation mapping."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from wsol.maps.core import MapExtractor, default_layer, find_layer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor, nn


class CAM(MapExtractor):
    r"""Class activation map (B. Zhou et al., CVPR 2016): $\frac{1}{C}\sum_c w_{kc} A_c$.

    No bias and no ReLU: a negative value is evidence against the class, and thresholds refer to
    the whole range. Works in any gradient mode.

    Args:
        model: ends in global average pooling and one linear layer
        target_layer: whose output is pooled, (N, C, h, w)
        fc_layer: the linear layer, weight (K, C); by default the registered network's own

    Raises:
        ValueError: layers that do not exist or do not fit each other

    >>> from tdam import create_model
    >>> model = create_model("resnet18")
    >>> with CAM(model) as extractor:
    ...     maps = extractor(3, model(torch.zeros(2, 3, 64, 64)))
    >>> maps[0].shape
    torch.Size([2, 2, 2])
    """

    usual_layer = "pooled_layer"

    def __init__(
        self,
        model: nn.Module,
        target_layer: str | nn.Module | Sequence[str | nn.Module] | None = None,
        fc_layer: str | nn.Module | None = None,
    ) -> None:
        super().__init__(model, target_layer)
        if fc_layer is None:
            try:
                fc_layer = default_layer(model, "classifier", "fc_layer")
            except ValueError as error:
                raise ValueError(f"{error}; gradcampp, layercam and others need none") from error
        self.classifier = find_layer(model, fc_layer)
        if getattr(self.classifier, "weight", None) is None:
            raise ValueError(f"Expected fc_layer to have a weight but got {self.classifier}")

    def _compute(self, activations: list[Tensor], ids: Tensor, scores: Tensor) -> list[Tensor]:
        weight = self.classifier.get_parameter("weight").flatten(1)
        for activation in activations:
            if activation.shape[1] != weight.shape[1]:
                raise ValueError(
                    f"Expected as many channels as the classifier has inputs ({weight.shape[1]}) "
                    f"but the target layer has {activation.shape[1]}; use LayerCAM there"
                )
        return [
            torch.einsum("nc,nchw->nhw", weight[ids].float(), a.float()) / a.shape[1]
            for a in activations
        ]
