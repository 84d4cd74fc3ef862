"""Map methods of other libraries, torch-cam and grad-cam, made of what our passes see.

A library's extractor is put before a stand-in for the network, whose one layer gives it activations
that our own hooks took: (N, C, h, w), whatever the layer puts out, of the step and class that a map
is of. So the network keeps no hook, mode or gradient of theirs, and a batch can have any classes.
What comes back is the map as the library computes it from the layer, before it stretches and
enlarges it: with the ReLU that it applies to every map, or with none for torch-cam's CAM.

Methods that draw random numbers draw the same ones for every image, and so give the same map again.

Not here are what makes its maps of several layers, of the whole network or of other methods' maps
(FullGrad, LeGrad, RefineCAM, SESS), and grad-cam's FinerCAM, of which a batch has one class
(torch-cam's has one an image).
"""

from __future__ import annotations

import sys
from contextlib import contextmanager, redirect_stderr
from copy import copy
from functools import cache
from importlib import import_module
from importlib.metadata import version
from threading import get_ident
from typing import TYPE_CHECKING, Any, TextIO, cast

import numpy as np
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from tdam.layout import hooked
from wsol.maps.activation import CAM, read_linear
from wsol.maps.core import MapExtractor
from wsol.maps.gradient import GradientExtractor, check_gradients, find_scale
from wsol.maps.masking import MaskingExtractor, RunningExtractor
from wsol.maps.names import GET_OTHERS, LIBRARIES, OTHER_METHODS
from wsol.maps.passes import run_pass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor


@cache
def adapt(method: str) -> type[MapExtractor]:
    """Make the class that computes maps by another library.

    Args:
        method: a name in `wsol.maps.names.OTHER_METHODS`

    Returns:
        a class of this name, whose qualified name has the library's version too

    Raises:
        ValueError: the library cannot be imported, or is of a version without this method
    """
    library, _, name = method.partition(":")
    try:
        module = import_module(LIBRARIES[library])
        extractors = import_module("torchcam.methods") if library == "torchcam" else module
    except ImportError as error:
        raise ValueError(
            f"Expected {library} to be importable for the method {method} but {error}: {GET_OTHERS}"
        ) from error
    wraps = getattr(extractors, name, None)
    if wraps is None:
        raise ValueError(
            f"Expected a {library} that has {name} but {version(library)} is installed: "
            f"{GET_OTHERS} --upgrade"
        )
    adapter: type[MapExtractor] = globals()[OTHER_METHODS[method]]
    own = {"wraps": wraps, "__module__": __name__, "__doc__": adapter.__doc__}
    made = cast("type[MapExtractor]", type(method, (adapter,), own))
    made.__qualname__ = f"{method} {version(library)}"  # which fingerprints have
    return made


class _Stand(nn.Module):
    """Stands for a network: one layer, which a library hooks, and class scores of images.

    Args:
        device: that the network computes on
        say: gives the class scores of images, (B, K)
    """

    def __init__(self, device: torch.device, say: Callable[[Tensor], Tensor] | None = None) -> None:
        super().__init__()
        self.layer = nn.Identity()
        self.place = nn.Parameter(torch.empty(0, device=device))  # which tells grad-cam the device
        self.say = say

    def forward(self, images: Tensor) -> Tensor:
        if self.say is None:
            raise RuntimeError("Expected a method that does not run the network but it does")
        return self.say(images)


class _OneStep(RunningExtractor):
    """A map for which the library runs the network, and sees the layer as often as it runs."""

    needs_one_step = True

    def _compute(self, activations: list[Tensor], ids: Tensor, scores: Tensor) -> list[Tensor]:
        made = []
        with self._running() as images:
            for layer, activation in zip(self.layers, activations, strict=False):
                rows = zip(activation.split(1), images.split(1), ids.tolist(), strict=True)
                made.append(torch.cat([self._see(layer, *row) for row in rows]))
        return made

    def _see(self, layer: nn.Module, activation: Tensor, image: Tensor, label: int) -> Tensor:
        """Make the map of an image, (1, 3, H, W), from a layer; (1, h, w)."""
        raise NotImplementedError


def _ask_torchcam(
    extractor: Any, ids: list[int], scores: Tensor | None = None, **options: Any
) -> Tensor:
    """Have maps of the layer's last activations made, (N, h, w), neither stretched nor checked."""
    maps: Tensor = extractor.compute_cams(ids, scores, normalized=False, **options)[0]
    return maps


class TorchcamPooled(CAM):
    """Maps by torch-cam from the classifier's weights, whatever kind of layer holds these."""

    wraps: Any
    takes_own_maps = False

    def _compute(self, activations: list[Tensor], ids: Tensor, scores: Tensor) -> list[Tensor]:
        super()._compute(activations, ids, scores)  # which refuses layers that do not fit
        made = []
        for activation in activations:
            stand = _Stand(activation.device)
            stand.head = nn.Module()
            stand.head.weight = nn.Parameter(read_linear(self.classifier)[0], requires_grad=False)
            with self.wraps(stand, stand.layer, stand.head) as extractor:
                stand.layer(activation)
                made.append(_ask_torchcam(extractor, ids.tolist()))
        return made


class TorchcamGradient(GradientExtractor):
    """Maps by torch-cam from activations and the gradients of the class score."""

    wraps: Any

    def _weigh(self, activation: Tensor, gradient: Tensor) -> Tensor:
        stand = _Stand(activation.device)
        with self.wraps(stand, stand.layer) as extractor, torch.enable_grad():
            shown = stand.layer(activation.requires_grad_())
            # Of this score the extractor takes the very gradients that were found.
            score = (shown * gradient).flatten(1).sum(dim=1, keepdim=True)
            return _ask_torchcam(extractor, [0] * len(score), score)


class TorchcamContrast(MapExtractor):
    """Maps by torch-cam from gradients of what sets the class score off from others."""

    wraps: Any
    needs_gradients = True

    def _compute(self, activations: list[Tensor], ids: Tensor, scores: Tensor) -> list[Tensor]:
        check_gradients(self, scores)
        scale = find_scale(scores)  # with which these maps grow
        made = []
        for activation in activations:
            stand = _Stand(activation.device)
            with self.wraps(stand, stand.layer) as extractor, torch.enable_grad():
                stand.layer(activation)
                scaled = scale * scores.float()
                maps = _ask_torchcam(extractor, ids.tolist(), scaled, retain_graph=True)
            made.append(maps.float() / scale)
        return made


class TorchcamMasking(MaskingExtractor):
    """Maps by torch-cam from class scores of masked images."""

    wraps: Any

    def _weigh(
        self, activation: Tensor, images: Tensor, ids: Tensor, step: int, steps: int
    ) -> Tensor:
        maps = []
        stand = _Stand(images.device, lambda masked: self._say(masked, step, steps).float())
        for part, image, label in zip(
            activation.float().split(1), images.split(1), ids.tolist(), strict=True
        ):
            with self.wraps(stand, stand.layer) as extractor, _same_numbers():
                stand(image)  # which the extractor keeps
                stand.layer(part)
                maps.append(_ask_torchcam(extractor, [label]))
        return torch.cat(maps)


class TorchcamNoise(_OneStep):
    """Maps by torch-cam from gradients of noisy images, of networks of one step, in float32."""

    wraps: Any

    def _see(self, layer: nn.Module, activation: Tensor, image: Tensor, label: int) -> Tensor:
        def keep(index: int, output: Tensor) -> Tensor:
            shown: Tensor = stand.layer(output if output.requires_grad else output.requires_grad_())
            return shown

        def say(images: Tensor) -> Tensor:
            with hooked(self.model, [layer], keep, tuple(images.shape), self.reshape):
                return again.run(images)

        again = copy(self)
        again.precision = "float32"
        stand = _Stand(image.device, say)
        with self.wraps(stand, stand.layer) as extractor, torch.enable_grad(), _same_numbers():
            stand(image)
            return _ask_torchcam(extractor, [label])


def _ask_gradcam(
    extractor: Any,
    stand: _Stand,
    activation: Any,
    gradient: Any = None,
    image: Tensor | None = None,
    label: int = 0,
) -> Tensor:
    """Have the map of one image made, (1, h, w), with the ReLU that the library gives every map."""
    targets: list[Callable[[Tensor], Tensor]] = [lambda output: output[label]]
    with _same_numbers(), _no_bars():
        made = extractor.get_cam_image(image, stand.layer, targets, activation, gradient, False)
    return torch.from_numpy(np.maximum(made, 0)).to(stand.place.device)


def _to_numpy(tensor: Tensor) -> np.ndarray:
    array: np.ndarray = tensor.detach().float().cpu().numpy()
    return array


class GradcamActivation(MapExtractor):
    """Maps by grad-cam from activations alone, the same for every class."""

    wraps: Any

    def _compute(self, activations: list[Tensor], ids: Tensor, scores: Tensor) -> list[Tensor]:
        return [torch.cat(list(map(self._see, each.split(1)))) for each in activations]

    def _see(self, activation: Tensor) -> Tensor:
        stand, seen = _Stand(activation.device), _to_numpy(activation)
        return _ask_gradcam(self.wraps(stand, [stand.layer]), stand, seen, seen)


class GradcamGradient(GradientExtractor):
    """Maps by grad-cam from activations and the gradients of the class score."""

    wraps: Any

    def _weigh(self, activation: Tensor, gradient: Tensor) -> Tensor:
        stand, maps = _Stand(activation.device), []
        for part, slope in zip(activation.split(1), gradient.split(1), strict=True):
            extractor = self.wraps(stand, [stand.layer])
            maps.append(_ask_gradcam(extractor, stand, _to_numpy(part), _to_numpy(slope)))
        return torch.cat(maps)


class GradcamMasking(MaskingExtractor):
    """Maps by grad-cam from class scores of masked images."""

    wraps: Any

    def _weigh(
        self, activation: Tensor, images: Tensor, ids: Tensor, step: int, steps: int
    ) -> Tensor:
        maps = []
        stand = _Stand(images.device, lambda masked: self._say(masked, step, steps))
        for part, image, label in zip(
            activation.split(1), images.split(1), ids.tolist(), strict=True
        ):
            extractor = self.wraps(stand, [stand.layer])
            maps.append(_ask_gradcam(extractor, stand, _to_numpy(part), None, image, label))
        return torch.cat(maps)


class GradcamAblation(_OneStep):
    """Maps by grad-cam from class scores without a channel, of networks of one step."""

    wraps: Any

    def _see(self, layer: nn.Module, activation: Tensor, image: Tensor, label: int) -> Tensor:
        shown: list[Tensor] = []

        def swap(module: nn.Module, args: Any, output: Tensor) -> Tensor:
            shown[:] = [output]
            changed: Tensor = stand.layer(output)
            return changed

        def say(images: Tensor) -> Tensor:
            handle = layer.register_forward_hook(swap)
            try:
                return self.run(images)
            finally:
                handle.remove()

        stand = _Stand(image.device, say)
        with torch.no_grad():
            say(image)
            kind = "AblationLayer" if _is_same(shown[0], activation) else "AblationLayerVit"
            if kind == "AblationLayerVit" and shown[0].shape[-1] != activation.shape[1]:
                raise ValueError(
                    f"Expected {type(self).__name__} to have a layer whose channels come first or "
                    f"last but got {tuple(shown[0].shape)}"
                )
            ablation = getattr(import_module(LIBRARIES["grad-cam"]), kind)()
            extractor = self.wraps(stand, [stand.layer], ablation_layer=ablation)
            return _ask_gradcam(extractor, stand, _to_numpy(activation), None, image, label)


def _is_same(output: Tensor, activation: Tensor) -> bool:
    """Tell whether a layer puts out what the map's activation is, and not the same turned."""
    alike = output.shape == activation.shape
    return alike and torch.allclose(output.float(), activation.detach().float(), 1e-2, 1e-3)


class GradcamHessian(_OneStep):
    """Maps by grad-cam from second derivatives of the class score, of networks of one step.

    The network runs once more for every class, in float32: the library gives its graph up. Of
    tokens, those of the patches count.
    """

    wraps: Any
    needs_gradients = True

    def _see(self, layer: nn.Module, activation: Tensor, image: Tensor, label: int) -> Tensor:
        again = copy(self)
        again.layers, again.precision = [layer], "float32"
        with sdpa_kernel(SDPBackend.MATH):  # fused attention has no second derivatives
            seen = run_pass(again, image)
        (shown,) = seen.features
        stand = _Stand(image.device)
        with torch.enable_grad():
            (slope,) = torch.autograd.grad(seen.scores[0, label], shown, create_graph=True)
            return _ask_gradcam(self.wraps(stand, [stand.layer]), stand, shown, slope)


@contextmanager
def _same_numbers() -> Iterator[None]:
    """Let the random numbers on the CPU be the same every time, and nobody else's be touched."""
    state = np.random.get_state()  # noqa: NPY002 -- grad-cam draws from this one
    try:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)
            np.random.seed(0)  # noqa: NPY002
            yield
    finally:
        np.random.set_state(state)  # noqa: NPY002


class _Others:
    """A stream without what one thread writes.

    Args:
        stream: that the other threads go on to write on
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream, self.silent = stream, get_ident()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        """Write what comes from another thread."""
        return len(text) if get_ident() == self.silent else self.stream.write(text)


@contextmanager
def _no_bars() -> Iterator[None]:
    """Keep grad-cam's progress bars, one for every image, off standard error."""
    with redirect_stderr(cast("TextIO", _Others(sys.stderr))):
        yield
