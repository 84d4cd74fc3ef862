"""Maps whose weights are gradients of the class score."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from wsol.maps.core import MapExtractor

if TYPE_CHECKING:
    from torch import Tensor


class GradientExtractor(MapExtractor):
    """A map from activations and the gradients of the class score with respect to them.

    The forward pass has to run with gradients enabled. Gradients are taken with `autograd.grad`,
    so no parameter's `.grad` is written, and they may be taken again for another class.
    """

    needs_gradients = True

    def _compute(self, activations: list[Tensor], ids: Tensor, scores: Tensor) -> list[Tensor]:
        if not scores.requires_grad:
            raise RuntimeError(
                f"{type(self).__name__} needs scores that carry gradients: pass what the model "
                "returned, not a detached copy"
            )
        chosen = scores.gather(1, ids[:, None]).sum()
        gradients = torch.autograd.grad(chosen, activations, retain_graph=True)
        return [
            self._weigh(a.detach().float(), g.float())
            for a, g in zip(activations, gradients, strict=True)
        ]

    def _weigh(self, activation: Tensor, gradient: Tensor) -> Tensor:
        raise NotImplementedError


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
