"""Maps whose weights are gradients of the class score."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from wsol.maps.core import UNUSED, MapExtractor

if TYPE_CHECKING:
    from torch import Tensor

_SCALE = 256


class GradientExtractor(MapExtractor):
    """A map from activations and the gradients of the class score with respect to them.

    The forward pass has to run with gradients enabled. Gradients are taken with `autograd.grad`,
    so no parameter's `.grad` is written, and they may be taken again for another class.
    """

    needs_gradients = True

    def _compute(self, activations: list[Tensor], ids: Tensor, scores: Tensor) -> list[Tensor]:
        check_gradients(self, scores)
        scale = find_scale(scores)
        with torch.enable_grad():
            chosen = scale * scores.gather(1, ids[:, None]).float().sum()
        gradients = torch.autograd.grad(chosen, activations, retain_graph=True, allow_unused=True)
        if any(gradient is None for gradient in gradients):
            raise ValueError(UNUSED)
        return [
            self._weigh(a.detach().float(), g.float() / scale)
            for a, g in zip(activations, gradients, strict=True)
        ]

    def _weigh(self, activation: Tensor, gradient: Tensor) -> Tensor:
        raise NotImplementedError


def find_scale(scores: Tensor) -> int:
    """Give what to multiply class scores by: in float16 small gradients would be zero."""
    return _SCALE if scores.dtype == torch.float16 else 1


def check_gradients(extractor: MapExtractor, scores: Tensor) -> None:
    """Refuse class scores of which there are no gradients.

    Raises:
        RuntimeError: they carry none
    """
    if not scores.requires_grad:
        raise RuntimeError(
            f"{type(extractor).__name__} needs scores that carry gradients: pass what the model "
            "returned, not a detached copy"
        )


class GradCAM(GradientExtractor):
    r"""Grad-CAM (R. Selvaraju et al., ICCV 2017): $ReLU(\sum_c \overline{g}_c A_c)$.

    $g = \partial y_k / \partial A$, its mean taken over the pixels.

    >>> from tdam import create_model
    >>> model = create_model("resnet18")
    >>> with GradCAM(model) as extractor:
    ...     maps = extractor(3, model(torch.zeros(2, 3, 64, 64)))
    >>> maps[0].shape
    torch.Size([2, 2, 2])
    """

    def _weigh(self, activation: Tensor, gradient: Tensor) -> Tensor:
        weights = gradient.mean(dim=(2, 3), keepdim=True)
        return (weights * activation).sum(dim=1).relu()


class GradCAMpp(GradientExtractor):
    r"""Grad-CAM++ (A. Chattopadhyay et al., WACV 2018): $ReLU(\sum_c w_c A_c)$.

    $w_c = \sum_{ij} \alpha\,ReLU(g)$ with $\alpha = g^2 / (2 g^2 + g^3 \sum_{ij} A_c)$, which is
    $\sum_{ij} g^+ / (2 + g^+ \sum_{ij} A_c)$: where g is not positive it has no part. A channel
    whose sum is negative, for which the formula has a pole, counts as if its sum were zero.

    >>> from tdam import create_model
    >>> model = create_model("resnet18")
    >>> with GradCAMpp(model) as extractor:
    ...     maps = extractor(3, model(torch.zeros(2, 3, 64, 64)))
    >>> maps[0].shape
    torch.Size([2, 2, 2])
    """

    def _weigh(self, activation: Tensor, gradient: Tensor) -> Tensor:
        rising = gradient.relu()
        total = activation.sum(dim=(2, 3), keepdim=True).relu()
        weights = (rising / (2 + rising * total)).sum(dim=(2, 3), keepdim=True)
        return (weights * activation).sum(dim=1).relu()


class HiResCAM(GradientExtractor):
    r"""HiResCAM (R. Draelos, L. Carin, arXiv:2011.08891): $ReLU(\sum_c g_c A_c)$.

    Gradient and activation are multiplied pixel by pixel, so that the map shows nothing that the
    class score does not come from: where only one linear layer follows, what the ReLU is given
    sums up to the score without its bias.

    >>> from tdam import create_model
    >>> model = create_model("resnet18")
    >>> with HiResCAM(model) as extractor:
    ...     maps = extractor(3, model(torch.zeros(2, 3, 64, 64)))
    >>> maps[0].shape
    torch.Size([2, 2, 2])
    """

    def _weigh(self, activation: Tensor, gradient: Tensor) -> Tensor:
        return (gradient * activation).sum(dim=1).relu()


class XGradCAM(GradientExtractor):
    r"""XGrad-CAM (R. Fu et al., BMVC 2020): $ReLU(\sum_c w_c A_c)$.

    $w_c = \sum_{ij} g A_c / \sum_{ij} A_c$; a channel whose sum is zero has no part.

    >>> from tdam import create_model
    >>> model = create_model("resnet18")
    >>> with XGradCAM(model) as extractor:
    ...     maps = extractor(3, model(torch.zeros(2, 3, 64, 64)))
    >>> maps[0].shape
    torch.Size([2, 2, 2])
    """

    def _weigh(self, activation: Tensor, gradient: Tensor) -> Tensor:
        total = activation.sum(dim=(2, 3), keepdim=True)
        shares = (gradient * activation).sum(dim=(2, 3), keepdim=True) / total
        weights = torch.where(total == 0, 0, shares)
        return (weights * activation).sum(dim=1).relu()


class LayerCAM(GradientExtractor):
    r"""LayerCAM (P. Jiang et al., TIP 2021): $ReLU(\sum_c ReLU(\partial y_k/\partial A_c) A_c)$.

    Every pixel has its own weight, so earlier and larger layers give usable maps.

    >>> from tdam import create_model
    >>> model = create_model("resnet18")
    >>> with LayerCAM(model, "layer3") as extractor:
    ...     maps = extractor([3, 5], model(torch.zeros(2, 3, 64, 64)))
    >>> maps[0].shape
    torch.Size([2, 4, 4])
    """

    def _weigh(self, activation: Tensor, gradient: Tensor) -> Tensor:
        return (gradient.relu() * activation).sum(dim=1).relu()
