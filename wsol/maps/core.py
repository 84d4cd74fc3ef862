"""The life of a map extractor: hook a layer, remember its output, leave the model as it was."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import ExitStack, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch.utils._pytree import tree_leaves

from tdam.describe import find_layers
from tdam.layout import hooked
from tdam.outputs import find_scores, fit_images, uncompiled, unwrap
from tdam.precision import autocast, warn_of_few_bits
from tdam.recurrence import TopDownBlock
from tdam.spec import name_network
from tdam.stretch import stretch

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager
    from types import TracebackType

    from torch import Tensor, nn

    from tdam.layout import Reshape

UNUSED = "Expected a target layer that the class scores depend on but they do not"


class MapExtractor(ABC):
    """Class maps from the activations of one or more layers.

    Used as a context manager around forward passes; the hooks are gone afterwards, also after an
    exception. The model's parameters and gradients are never touched, its modes left as they were.
    Of a model in evaluation mode gradients are recorded from the first target layer on, and of no
    parameter, which takes a fraction of the memory and hardly longer than without: a `backward` of
    its scores gives parameters none. In training mode, or where images want one, all are recorded.

    A method of your own is a subclass that overrides `_compute`, and says by `needs_gradients` and
    `needs_images` what it uses:

    >>> class MeanCAM(MapExtractor):
    ...     def _compute(self, activations, ids, scores):
    ...         return [activation.mean(1) for activation in activations]

    Args:
        model: any network that ends in class scores, (N, K), or in one logit; out of what
            compiles or spreads it
        target_layer: module or its name, or several, whose output is (N, C, h, w), (N, h, w, C)
            or tokens, (N, L, C); by default the registered network's own map layer, of others
            the last that classes depend on

    Raises:
        TypeError: a layer that is neither a name nor a module
        ValueError: a layer that the model does not have, or no default to fall back on
    """

    precision = "float32"  # that the network computes in, one of `tdam.precision.PRECISIONS`
    channels_last = False  # memory layout that its images come in, and convolutions keep
    smooth = "none"  # one of `wsol.maps.smoothing.SMOOTH`, of the maps of `wsol.maps.passes`
    needs_gradients = False
    needs_images = False
    needs_one_step = False  # of networks with top-down attention
    reshape: Reshape | None = None  # of a layer's output into (N, C, h, w); None: it is told
    usual_layer = "map_layer"  # what a registered network's record calls the default

    def __init__(
        self,
        model: nn.Module,
        target_layer: str | nn.Module | Sequence[str | nn.Module] | None = None,
    ) -> None:
        self.model = model = unwrap(model)
        self.check_network(model)
        warn_of_few_bits(model)
        if target_layer is None:
            target_layer = default_layer(model, self.usual_layer, "target_layer")
        if isinstance(target_layer, (list, tuple)):
            self.layers = [find_layer(model, layer) for layer in target_layer]
        else:
            self.layers = [find_layer(model, target_layer)]
        self.activations: dict[int, Tensor] = {}
        self.images: Tensor | None = None  # that the model saw last, where they are needed
        self._hooks = ExitStack()
        self._depth = 0  # of calls of the model that go on
        self._frozen: list[Tensor] = []  # parameters that ask for no gradients meanwhile

    @classmethod
    def check_network(cls, model: nn.Module) -> None:
        """Refuse a network that the method cannot see right.

        Args:
            model: any network

        Raises:
            ValueError: it runs layers more than once, and the method does not tell their steps
        """
        if not cls.needs_one_step:
            return
        steps = max((m.steps for m in model.modules() if isinstance(m, TopDownBlock)), default=1)
        if steps > 1:
            raise ValueError(
                f"Expected a network of one step for the method {cls.__name__}, which runs it by "
                f"itself, but this one has {steps}; gradcampp, layercam and others see each"
            )

    @property
    def layer_names(self) -> list[str]:
        """Names of the target layers in the model."""
        names = {id(module): name for name, module in self.model.named_modules()}
        return [names[id(layer)] for layer in self.layers]

    def __repr__(self) -> str:
        layers = ", ".join(map(repr, self.layer_names))
        return f"{type(self).__name__}({name_network(self.model)}, {layers})"

    def run(self, images: Tensor) -> Tensor:
        """Run the network in the extractor's precision and memory layout.

        Args:
            images: (N, 3, H, W)

        Returns:
            class scores, (N, K), or (T N, K) within `tdam.steps.every_step`
        """
        images = fit_images(self.model, images)
        if self.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        with self.autocast(images.device), uncompiled(self.model):
            return find_scores(self.model(images))

    def autocast(self, device: torch.device) -> AbstractContextManager[object]:
        """Return the context of the precision; of float32 the caller's own stays."""
        return nullcontext() if self.precision == "float32" else autocast(self.precision, device)

    def __enter__(self) -> MapExtractor:
        self._hooks.enter_context(hooked(self.model, self.layers, self._keep, None, self.reshape))
        if self.needs_images:
            handle = self.model.register_forward_pre_hook(self._keep_images, with_kwargs=True)
            self._hooks.callback(handle.remove)
        if self.needs_gradients:
            handle = self.model.register_forward_pre_hook(self._begin, with_kwargs=True)
            self._hooks.callback(handle.remove)
            handle = self.model.register_forward_hook(self._end, always_call=True)
            self._hooks.callback(handle.remove)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._hooks.close()
        self._depth = 0
        self._thaw()  # also after what no hook is called for, such as Ctrl-C
        self.activations.clear()
        self.images = None

    def _keep_images(
        self, model: nn.Module, args: tuple[Tensor, ...], named: dict[str, Tensor]
    ) -> None:
        self.images = args[0] if args else next(iter(named.values()))

    def _begin(self, model: nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> None:
        """Let parameters ask for no gradients while the model runs, unless somebody wants them."""
        self._depth += 1  # a model may call itself
        if self._depth > 1 or model.training or not torch.is_grad_enabled():
            return
        if not any(getattr(each, "requires_grad", False) for each in tree_leaves((args, named))):
            self._frozen = [each for each in model.parameters() if each.requires_grad]
            for parameter in self._frozen:
                parameter.requires_grad_(False)

    def _end(self, model: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        self._depth = max(self._depth - 1, 0)
        if not self._depth:
            self._thaw()

    def _thaw(self) -> None:
        for parameter in self._frozen:
            parameter.requires_grad_()
        self._frozen = []

    def _keep(self, index: int, output: Tensor) -> Tensor:
        if self.needs_gradients and not output.requires_grad:
            if not torch.is_grad_enabled() or output.is_inference():
                raise RuntimeError(
                    f"{type(self).__name__} needs gradients: run the model outside no_grad "
                    "and inference_mode, or within torch.enable_grad()"
                )
            output.requires_grad_()
        self.activations[index] = output
        return output

    def __call__(
        self,
        class_ids: int | Sequence[int] | Tensor,
        scores: Tensor,
        normalized: bool = True,
    ) -> list[Tensor]:
        """Compute the maps of one class an image, for the last forward pass.

        Args:
            class_ids: one class for all images, or one an image
            scores: (N, K), what the model returned
            normalized: stretch every map to [0, 1]; a constant map becomes zeros

        Returns:
            one (N, h, w) tensor a target layer

        Raises:
            ValueError: no forward pass yet, or classes that do not fit the scores
        """
        if len(self.activations) != len(self.layers):
            raise ValueError(
                "Expected a forward pass of the model inside the `with` block, through every "
                "target layer, but saw none"
            )
        activations = [self.activations[index] for index in range(len(self.layers))]
        return self.maps_of(activations, class_ids, scores, normalized)

    def maps_of(
        self,
        activations: list[Tensor],
        class_ids: int | Sequence[int] | Tensor,
        scores: Tensor,
        normalized: bool = True,
    ) -> list[Tensor]:
        """Compute the maps of one class an image from activations at hand, without hooks.

        Args:
            activations: each (N, C, h, w); where gradients are needed, `scores` must come from
                them
            class_ids: one class for all images, or one an image
            scores: (N, K)
            normalized: stretch every map to [0, 1]; a constant map becomes zeros

        Returns:
            one (N, h, w) tensor an activation

        Raises:
            ValueError: classes that do not fit the scores
        """
        if scores.ndim != 2:
            raise ValueError(f"Expected scores to be of shape (N, K) but got {tuple(scores.shape)}")
        ids = torch.as_tensor(class_ids, device=scores.device).long().reshape(-1)
        if len(ids) not in (1, len(scores)):
            raise ValueError(f"Expected one class or {len(scores)} but got {len(ids)}")
        ids = ids.expand(len(scores))
        if not bool(((ids >= 0) & (ids < scores.shape[1])).all()):
            raise ValueError(
                f"Expected class_ids from 0 to {scores.shape[1] - 1} but got {ids.tolist()}"
            )
        self._check(activations, ids, scores)
        maps = self.trace(activations, ids, scores)
        return [stretch(m) for m in maps] if normalized else maps

    def trace(self, activations: list[Tensor], ids: Tensor, scores: Tensor) -> list[Tensor]:
        """Compute the maps of classes that fit, as operations that do not ask for any value.

        Args:
            activations: as for `maps_of`
            ids: one class an image, (N,)
            scores: (N, K)

        Returns:
            one (N, h, w) tensor an activation, not stretched
        """
        made = self._compute(activations, ids, scores)
        self._check_made(made, activations)
        return [m.detach().float() for m in made]

    def _check(self, activations: list[Tensor], ids: Tensor, scores: Tensor) -> None:  # noqa: B027
        """See to it that the numbers are such as the method asks for, if it asks for any."""

    def _check_made(self, made: Any, activations: list[Tensor]) -> None:
        """See to it that a method of whoever's writing gives maps."""
        several = isinstance(made, (list, tuple)) and len(made) == len(activations)
        if not several or not all(
            isinstance(each, torch.Tensor) and each.ndim == 3 for each in made
        ):
            raise ValueError(
                f"Expected {type(self).__name__}._compute to return one (N, h, w) tensor for each "
                "activation, in a list"
            )

    @abstractmethod
    def _compute(self, activations: list[Tensor], ids: Tensor, scores: Tensor) -> list[Tensor]:
        """Turn each (N, C, h, w) activation into (N, h, w) maps of the classes `ids`, (N,)."""


def find_layer(model: nn.Module, layer: Any) -> nn.Module:
    """Look a layer up.

    Raises:
        TypeError: neither a name nor a module
        ValueError: the model has no such layer; the message lists its children
    """
    if isinstance(layer, torch.nn.Module):
        if not any(layer is module for module in model.modules()):
            raise ValueError("Expected target_layer to be a module of the model but it is not")
        return layer
    if not isinstance(layer, str):
        raise TypeError(f"Expected a layer to be a name or a module but got {type(layer).__name__}")
    try:
        return model.get_submodule(layer)
    except AttributeError:
        children = ", ".join(name for name, _ in model.named_children())
        raise ValueError(
            f"Expected a layer of the model (at the top: {children}) but got {layer!r}"
        ) from None


def default_layer(model: nn.Module, attribute: str, argument: str) -> str:
    """Return what a registered network names for a layer, or what another shows in one run.

    Args:
        model: any network
        attribute: of its record: `map_layer`, `pooled_layer` or `classifier`
        argument: by which the caller can give it

    Raises:
        ValueError: it cannot be told; the message lists the network's children
    """
    spec = getattr(model, "spec", None)
    if spec is not None:
        name: str = getattr(spec, attribute)
        return name
    children = ", ".join(name for name, _ in model.named_children())
    try:
        layers = find_layers(model)
    except ValueError as error:
        raise ValueError(
            f"Expected {argument} for a network that is not registered ({error}); at its top: "
            f"{children}"
        ) from error
    found = layers.classifier if attribute == "classifier" else layers.pooled
    if not found:
        raise ValueError(
            f"Expected {argument} for a network that is not registered and whose last layer is no "
            f"linear one; at its top: {children}"
        )
    return found
