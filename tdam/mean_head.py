"""A linear head on the mean of the last map, where a network's own is another: CAM of it is exact.

A transformer's own head looks at a class token, a ConvNeXt's at a normalised mean; their scores are
no sums over places. Those of this head are.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from tdam.backbones.base import Backbone
from tdam.describe import find_last_map
from tdam.layout import find_reshape, watching
from tdam.recurrence import stand_ins
from tdam.steps import count_steps

if TYPE_CHECKING:
    from torch import Tensor

NAME = "mean_head"  # of the linear layer


class MeanHeaded(Backbone):
    """A network whose classes are linear in the mean of its last map.

    `own_heads` names what its own head ended in, and is gone.
    """

    own_heads: tuple[str, ...] = ()

    def forward(self, x: Tensor) -> Tensor:
        """Classify the mean of `spec.pooled_layer`'s output over its places.

        Args:
            x: (N, 3, H, W)

        Returns:
            (N, K)
        """
        outputs: list[Tensor] = []

        def keep(module: Any, args: Any, output: Tensor) -> Tensor:
            outputs.append(output)
            return output.clone()  # what follows may write into it

        layer = self.get_submodule(self.spec.pooled_layer)
        each = [module.register_forward_hook(keep) for module in (layer, *stand_ins(self, layer))]
        try:
            with watching(self, tuple(x.shape), count_steps(self)) as view:
                super().forward(x)  # what follows the layer runs in vain, and is little
        finally:
            for handle in each:
                handle.remove()
        turn = find_reshape(self, layer, outputs[-1], view)
        maps = outputs[-1] if turn is None else turn(outputs[-1])
        scores: Tensor = self.get_submodule(NAME)(maps.flatten(2).mean(dim=2))
        return scores


def put_mean_head(model: Backbone) -> None:
    """Give a network a linear head on the mean of its last map, unless its own is one.

    The layer is the last that puts out rows and columns; of the network's own head the last linear
    layers go. The new one starts at zero.

    Args:
        model: changed in place, its `spec` too

    Raises:
        ValueError: no layer whose output has rows and columns, or a head that is of other parts
    """
    spec = model.spec
    if spec.cam:
        return
    layer, channels = find_last_map(model, spec.preprocessing.size)
    own = list_own_heads(model, spec.classifier)
    for name in own:
        model.set_submodule(name, nn.Identity())
    head = nn.Linear(channels, model.settings["num_classes"])
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    model.add_module(NAME, head)
    kind = type(type(model).__name__, (MeanHeaded, type(model)), {"own_heads": own})
    model.__class__ = kind
    model.spec = replace(
        spec, pooled_layer=layer, map_layer=layer, classifier=NAME, cam=True, method="cam"
    )
    side = spec.preprocessing.size
    try:
        with torch.no_grad():
            model.eval()(torch.zeros(1, 3, side, side))
    except (AttributeError, LookupError, RuntimeError, TypeError) as error:
        raise ValueError(
            f"Expected a network that runs without {', '.join(own)}, which head=mean stands in "
            f"for, but {spec.name} does not ({error})"
        ) from error


def list_own_heads(network: nn.Module, classifier: str) -> tuple[str, ...]:
    """Name the last linear layers of a network, of which distilled ones have two.

    Args:
        network: before it is changed
        classifier: name of the one that is known; may be empty
    """
    names = {id(module): name for name, module in network.named_modules()}
    get: Any = getattr(network, "get_classifier", None)
    told = get() if callable(get) else None
    several = told if isinstance(told, (tuple, list)) else (told,)
    found = [classifier, *(names.get(id(module), "") for module in several)]
    return tuple(dict.fromkeys(filter(None, found)))


def fit_mean_head(model: Backbone, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Leave a network's own classifier out of weights that were made with it.

    Args:
        model: with this head, or without
        state: tensors by name

    Returns:
        tensors by name, the head's as zeros where there are none
    """
    if not isinstance(model, MeanHeaded):
        return state
    zeros = {
        name: torch.zeros_like(tensor)
        for name, tensor in model.state_dict().items()
        if name.startswith(f"{NAME}.")
    }
    own = tuple(f"{name}." for name in model.own_heads)
    return zeros | {name: tensor for name, tensor in state.items() if not name.startswith(own)}
