"""One forward pass, seen from the layer that maps are made of: what it put out at every step."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from tdam.layout import hooked
from tdam.modes import evaluation_mode
from tdam.outputs import to_probabilities
from tdam.steps import Steps, every_step
from wsol.maps.core import UNUSED
from wsol.maps.names import find_method
from wsol.maps.smoothing import list_views

if TYPE_CHECKING:
    from torch import Tensor, nn

    from wsol.maps.core import MapExtractor


@dataclass(frozen=True, eq=False)
class Pass:
    """What a forward pass left for the maps.

    Args:
        extractor: makes the maps
        features: outputs of the layer, (T N, C, h, w), step behind step; or one tensor a step,
            the first N images of which count
        scores: (T N, K), step behind step
        steps: T
        images: (N, 3, H, W), that the network saw
        searchlights: one (N, S, H, W) tensor a top-down block, S maps each
        stepwise: whether the pass was asked for every step
    """

    extractor: MapExtractor
    features: list[Tensor]
    scores: Tensor
    steps: int
    images: Tensor
    searchlights: tuple[Tensor, ...] = ()
    stepwise: bool = False

    @property
    def probabilities(self) -> Tensor:
        """Probabilities of the classes at every step, (N, T, K)."""
        likely = to_probabilities(self.scores)
        return likely.unflatten(0, (self.steps, -1)).transpose(0, 1)

    def maps(self, class_ids: Tensor, traced: bool = False) -> Tensor:
        """Compute the maps of one class an image at every step, or of each step's own.

        Where the extractor smooths, they are the mean over its views of the images, for which the
        network runs again: one after the other, so that memory does not grow.

        Args:
            class_ids: (N,), or (T, N)
            traced: the classes are the network's own, and no value may be asked for

        Returns:
            (N, T, h, w), as the method gives them, not stretched
        """
        maps = self._own_maps(class_ids, traced)
        views = list_views(self.extractor.smooth, self.images.shape[2], self.images.shape[3])
        for view in views:
            seen = run_pass(self.extractor, view.alter(self.images), self.stepwise)
            size = (maps.shape[2], maps.shape[3])
            maps = maps + view.restore(seen._own_maps(class_ids), size)
        return maps / (1 + len(views))

    def _own_maps(self, class_ids: Tensor, traced: bool = False) -> Tensor:
        ids = class_ids.expand(self.steps, -1).flatten()
        rows = self.scores.shape[0] // len(self.features)
        self.extractor.images = self.images if self.extractor.needs_images else None
        try:
            if traced:
                made = self.extractor.trace(self.features, ids, self.scores)
            else:
                made = self.extractor.maps_of(self.features, ids, self.scores, normalized=False)
        finally:
            self.extractor.images = None
        maps = torch.cat([maps[:rows] for maps in made])
        return maps.unflatten(0, (self.steps, -1)).transpose(0, 1)


def run_pass(extractor: MapExtractor, images: Tensor, stepwise: bool = False) -> Pass:
    """Run an extractor's network and keep what its maps need.

    Gradients are recorded from the layer on and not before, which saves their memory. A layer that
    a recurrent block runs several times is seen at its last run for each step.

    Args:
        extractor: its first layer counts
        images: (N, 3, H, W)
        stepwise: keep every step of a registered network, not the last alone

    Raises:
        RuntimeError: gradients are needed within inference_mode
        ValueError: the pass missed the layer, or the axes of what it put out cannot be told
    """
    gradients = extractor.needs_gradients
    if gradients and torch.is_inference_mode_enabled():
        raise RuntimeError("Expected gradients but inference_mode is on: call outside of it")
    features: list[Tensor] = []

    def keep(index: int, output: Tensor) -> Tensor:
        features.append(output.detach().requires_grad_(gradients))
        if gradients:
            torch.set_grad_enabled(True)  # until the end of no_grad below
        return features[-1]

    with ExitStack() as stack:
        model, layers = extractor.model, extractor.layers[:1]
        steps = stack.enter_context(every_step(model)) if stepwise else Steps(1)
        pass_of = tuple(images.shape), extractor.reshape, steps.count
        stack.enter_context(hooked(model, layers, keep, *pass_of))
        stack.enter_context(torch.no_grad())
        scores = extractor.run(images)
    if not features:
        raise ValueError("Expected the network to run the target layer but it did not")
    if gradients and not scores.requires_grad:
        raise ValueError(UNUSED)  # and nothing else that would have gradients
    lights = tuple(light.detach() for light in steps.searchlights)
    if not stepwise:
        features = features[-1:]
    count = images.shape[0]  # len would fix it where the pass is traced
    rows, rest = count * steps.count // len(features), count * steps.count % len(features)
    if rest or any(each.shape[0] < rows for each in features):  # it runs before the steps part
        return Pass(extractor, features[-1:], scores[-count:], 1, images, lights, stepwise)
    return Pass(extractor, features, scores, steps.count, images, lights, stepwise)


def check_layer(
    network: nn.Module,
    method: str | type[MapExtractor],
    layer: str | None,
    *,
    size: int | None = None,
    **options: Any,
) -> None:
    """Make one map of a layer, to see that it can be done.

    Args:
        network: the network
        method: of the maps, as `find_method` takes it
        layer: module of the network; None for its own, which was checked as it was loaded
        size: side of the input, in pixels; None for that of a registered network
        options: further arguments of the method

    Raises:
        ValueError: no such layer, one that gives no (N, C, h, w), one of a single pixel, or one
            that the method cannot use
    """
    if layer is None:
        return
    model: Any = network
    side = model.spec.preprocessing.size if size is None else size
    parameter = next(network.parameters(), torch.empty(0))
    with evaluation_mode(network):
        extractor = find_method(method)(network, layer, **options)
        seen = run_pass(extractor, torch.zeros(1, 3, side, side, device=parameter.device))
        if not extractor.needs_images:  # whose maps take a pass a channel
            seen.maps(torch.zeros(1, dtype=torch.long, device=parameter.device))
        if seen.features[-1].shape[2:].numel() == 1:
            raise ValueError(
                f"Expected a layer before the pooling but {layer} has one pixel, which has no box"
            )


def check_sizes(extractor: MapExtractor, side: int) -> None:
    """Run a network on one image of each size that smoothing shows it, to see that it takes them.

    Args:
        extractor: that smooths, or not
        side: of the input, in pixels

    Raises:
        ValueError: it does not
    """
    parameter = next(extractor.model.parameters(), torch.empty(0))
    own = (side, side)
    sizes = {view.size for view in list_views(extractor.smooth, side, side)} - {own}
    for rows, columns in sorted(sizes):
        try:
            with evaluation_mode(extractor.model):
                run_pass(extractor, torch.zeros(1, 3, rows, columns, device=parameter.device))
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # any network may stand here, which fails as it likes
            why = str(error).strip().partition("\n")[0] or type(error).__name__
            raise ValueError(
                f"Expected smooth to be none or flip, as the network runs on images of {side} x "
                f"{side} but not of {rows} x {columns}: {why}"
            ) from error
