"""Maps whose weights come from the classifier: class activation mapping."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from wsol.maps.core import MapExtractor, default_layer, find_layer

_ALIKE = 1e-3  # share by which sum and class score may differ, of float32

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor, nn

    OwnMaps = Callable[
        [Tensor, Tensor], Tensor
    ]  # of features, (N, C, h, w), and one class an image


class CAM(MapExtractor):
    r"""Class activation map (B. Zhou et al., CVPR 2016): $\frac{1}{C}\sum_c w_{kc} A_c$.

    No bias and no ReLU: a negative value is evidence against the class, and thresholds refer to
    the whole range. Works in any gradient mode. A network with class maps of its own, such as those
    that the two classifiers of `create_model(head="acol")` make together, gives these.

    Args:
        model: ends in global average pooling and one linear layer, or has `class_maps`
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
    takes_own_maps = True  # of networks that have some

    def __init__(
        self,
        model: nn.Module,
        target_layer: str | nn.Module | Sequence[str | nn.Module] | None = None,
        fc_layer: str | nn.Module | None = None,
    ) -> None:
        super().__init__(model, target_layer)
        self.own_maps: OwnMaps | None = None
        if self.takes_own_maps and fc_layer is None:
            self.own_maps = getattr(self.model, "class_maps", None)
        if self.own_maps is not None:
            pooled = default_layer(self.model, self.usual_layer, "target_layer")
            if self.layers != [find_layer(self.model, pooled)]:
                raise ValueError(
                    f"Expected target_layer to be {pooled}, of which this network makes class maps "
                    "of its own; use layercam or gradcam elsewhere"
                )
            return
        if fc_layer is None:
            try:
                fc_layer = default_layer(model, "classifier", "fc_layer")
            except ValueError as error:
                raise ValueError(f"{error}; gradcampp, layercam and others need none") from error
        self.classifier = find_layer(model, fc_layer)
        if getattr(self.classifier, "weight", None) is None:
            raise ValueError(f"Expected fc_layer to have a weight but got {self.classifier}")

    def _compute(self, activations: list[Tensor], ids: Tensor, scores: Tensor) -> list[Tensor]:
        if self.own_maps is not None:
            return [self.own_maps(each, ids) for each in activations]
        weight, _ = read_linear(self.classifier)
        for activation in activations:
            if activation.shape[1] != weight.shape[1]:
                raise ValueError(
                    f"Expected as many channels as the classifier has inputs ({weight.shape[1]}) "
                    f"but the target layer has {activation.shape[1]}; use LayerCAM there"
                )
        return [
            torch.einsum("nc,nchw->nhw", weight[ids], each.float()) / each.shape[1]
            for each in activations
        ]

    def _check(self, activations: list[Tensor], ids: Tensor, scores: Tensor) -> None:
        if self.own_maps is not None:
            return
        weight, bias = read_linear(self.classifier)
        for activation in activations:
            if activation.shape[1] != weight.shape[1] or len(activation) != len(scores):
                continue
            parts = weight[ids] * activation.float().mean(dim=(2, 3))
            logits = scores.detach().gather(1, ids[:, None])[:, 0]
            _check_sum(torch.cat([parts, bias[ids, None]], dim=1), logits)


def read_linear(layer: nn.Module) -> tuple[Tensor, Tensor]:
    """Read the weight and the bias of a linear layer of whatever kind.

    One logit counts as two classes, as `tdam.outputs.find_scores` has it.

    Args:
        layer: a linear layer, a convolution of one pixel, or a quantised one

    Returns:
        (K, C) and (K,)
    """
    found: list[Any] = [getattr(layer, name, None) for name in ("weight", "bias")]
    weight, bias = (each() if callable(each) else each for each in found)  # where quantised
    if weight.is_quantized:
        weight = weight.dequantize()
    weight = weight.detach().float().flatten(1)
    bias = weight.new_zeros(len(weight)) if bias is None else bias.detach().float()
    if len(weight) == 1:
        return torch.cat([-weight, weight]) / 2, torch.cat([-bias, bias]) / 2
    return weight, bias


def _check_sum(parts: Tensor, logits: Tensor) -> None:
    """Check that what channels and bias give sums up to what the network says of the classes.

    Args:
        parts: (N, C + 1)
        logits: (N,)

    Raises:
        ValueError: it does not, so that the maps say nothing of the class scores
    """
    loose = _ALIKE if torch.finfo(logits.dtype).eps < _ALIKE else 20 * _ALIKE
    sums, logits = parts.sum(dim=1), logits.float()
    apart = (sums - logits).abs() > loose * (parts.abs().sum(dim=1) + logits.abs())
    if bool(apart.any()):
        row = int(apart.int().argmax())
        raise ValueError(
            "Expected the mean of a class activation map, with the bias, to be the class score but "
            f"got {float(sums[row]):.3f} against {float(logits[row]):.3f}: something lies between "
            "the layer and the classifier; use layercam or gradcam"
        )
