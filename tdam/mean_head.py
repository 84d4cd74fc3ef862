"""A linear head on the mean of the last map, where a network's own is another: CAM of it is exact.

A transformer's own head looks at a class token, a ConvNeXt's at a normalised mean; their scores are
no sums over places. Those of this head are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from tdam.heads import Headed, put_head

if TYPE_CHECKING:
    from torch import Tensor

    from tdam.backbones.base import Backbone

NAME = "mean_head"  # of the linear layer


class MeanHeaded(Headed):
    """A network whose classes are linear in the mean of its last map."""

    head_name = NAME

    def forward(self, x: Tensor) -> Tensor:
        """Classify the mean of `spec.pooled_layer`'s output over its places.

        Args:
            x: (N, 3, H, W)

        Returns:
            (N, K)
        """
        scores: Tensor = self.get_submodule(NAME)(self.last_map(x).flatten(2).mean(dim=2))
        return scores


def put_mean_head(model: Backbone) -> None:
    """Give a network a linear head on the mean of its last map, unless its own is one.

    It starts at zero.

    Args:
        model: changed in place, its `spec` too

    Raises:
        ValueError: as `put_head`
    """

    def build(channels: int) -> nn.Module:
        head = nn.Linear(channels, model.settings["num_classes"])
        nn.init.zeros_(head.weight)
        nn.init.zeros_(head.bias)
        return head

    if not model.spec.cam:
        put_head(model, MeanHeaded, build)
