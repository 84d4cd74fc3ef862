"""Heads that stand in for a network's own, and see its last map as rows and columns."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import nn

from tdam.backbones.base import Backbone
from tdam.describe import find_last_map
from tdam.layout import find_reshape, watching
from tdam.recurrence import stand_ins
from tdam.steps import count_steps

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor


class Headed(Backbone):
    """A network whose classes come from its last map by a head that is not its own.

    `head_name` names the head, `own_heads` what its own head ended in, and is gone.
    """

    head_name: ClassVar[str]
    own_heads: tuple[str, ...] = ()

    def last_map(self, x: Tensor) -> Tensor:
        """Give what `spec.pooled_layer` puts out.

        Args:
            x: (N, 3, H, W)

        Returns:
            (N, C, h, w)
        """
        return self.maps_of(x, [self.spec.pooled_layer])[0]

    def maps_of(self, x: Tensor, names: Sequence[str]) -> list[Tensor]:
        """Give what layers put out in one run.

        Args:
            x: (N, 3, H, W)
            names: of layers

        Returns:
            (N, C, h, w) each
        """
        outputs: dict[str, Tensor] = {}

        def keep(name: str, module: Any, args: Any, output: Tensor) -> Tensor:
            outputs[name] = output
            return output.clone()  # what follows may write into it

        layers = {name: self.get_submodule(name) for name in names}
        each = [
            module.register_forward_hook(partial(keep, name))
            for name, layer in layers.items()
            for module in (layer, *stand_ins(self, layer))
        ]
        try:
            with watching(self, tuple(x.shape), count_steps(self)) as view:
                super().forward(x)  # what follows the last layer runs in vain, and is little
        finally:
            for handle in each:
                handle.remove()
        turns = {name: find_reshape(self, layers[name], outputs[name], view) for name in names}
        return [
            outputs[name] if (turn := turns[name]) is None else turn(outputs[name])
            for name in names
        ]

    def fit_weights(self, state: dict[str, Tensor], new_head: bool = False) -> dict[str, Tensor]:
        """Fit weights that were made with the network's own head, or with one of this kind.

        Args:
            state: tensors by name
            new_head: leave a head of this kind out too

        Returns:
            tensors by name, without the own head's; those of this one as they are, if there are
            none
        """
        begun = {
            name: tensor.clone()
            for name, tensor in self.state_dict().items()
            if name.startswith(tuple(f"{name}." for name in (self.head_name, *self.spec.added)))
        }
        gone = (*self.own_heads, *((self.head_name,) if new_head else ()))
        left_out = tuple(f"{name}." for name in gone)
        return begun | {n: tensor for n, tensor in state.items() if not n.startswith(left_out)}


def put_head(model: Backbone, kind: Any, build: Callable[[int], nn.Module]) -> None:
    """Give a network another head in the place of its own, of which the last linear layers go.

    It sees the map that the network's own classifier takes the mean of; if that is another kind,
    the last one that has rows and columns.

    Args:
        model: changed in place, its `spec` too
        kind: subclass of `Headed` that it becomes one of too
        build: makes the head for a number of channels

    Raises:
        ValueError: no layer whose output has rows and columns, or a head that is of other parts
    """
    spec, side = model.spec, model.spec.preprocessing.size
    layer = spec.pooled_layer if spec.cam else find_last_map(model, side)[0]
    own = list_own_heads(model, spec.classifier)
    for name in own:
        model.set_submodule(name, nn.Identity())
    settled = type(type(model).__name__, (kind, type(model)), {"own_heads": own})
    model.__class__ = settled
    model.spec = replace(
        spec,
        pooled_layer=layer,
        map_layer=spec.map_layer if spec.cam else layer,
        classifier=kind.head_name,
        cam=True,
        method="cam",
    )
    try:
        with torch.no_grad():
            maps = model.eval().last_map(torch.zeros(1, 3, side, side))  # type: ignore[operator]
    except (AttributeError, LookupError, RuntimeError, TypeError) as error:
        raise ValueError(
            f"Expected a network that runs without {', '.join(own)}, which another head stands in "
            f"for, but {spec.name} does not ({error})"
        ) from error
    model.add_module(kind.head_name, build(maps.shape[1]))


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
