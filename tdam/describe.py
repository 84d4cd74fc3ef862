"""What a network that nobody registered wants and has, told from it and from one run of it."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from math import floor
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakKeyDictionary

import torch
from torch import nn

from tdam.layout import find_reshape, watching
from tdam.modes import evaluation_mode
from tdam.outputs import find_scores, fit_images, uncompiled
from tdam.preprocessing import Preprocessing
from tdam.spec import ModelSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from tdam.layout import View

_USUAL = 224  # side of the input, in pixels, where nothing tells it
_NO_MAPS = "no module puts out maps, (N, C, h, w), that its classes depend on"
_MOST_BEHIND = 0.5  # share of layers behind the last map, of which AlexNet has 3 of 8
_ALIKE = 1e-3  # share of the largest value by which two ways of computing features may differ


class NoScoresError(ValueError):
    """A network that puts out no class scores, or those of several heads."""


@dataclass(frozen=True)
class Layers:
    """Where a network's maps come from.

    Args:
        pooled: name of the last module with maps that classes depend on
        classifier: name of the last linear layer; empty where it cannot be told
        cam: whether the means of the maps are what the classifier sees
        last: name of the last module with maps, whether classes depend on them or not
        channels: of these maps
        behind: share of the network's layers with weights that run behind it
    """

    pooled: str
    classifier: str
    cam: bool
    last: str
    channels: int
    behind: float


_known: WeakKeyDictionary[nn.Module, tuple[tuple[int, ...], Layers]] = WeakKeyDictionary()


def spec_of(model: nn.Module, preprocessing: Preprocessing | None = None) -> ModelSpec:
    """Give a network's record: its own where it is registered, else what it shows in one run.

    Args:
        model: any network
        preprocessing: what it wants as input; None where it has to tell

    Raises:
        ValueError: something cannot be told; the message lists all of it, and what it may be
    """
    own = getattr(model, "spec", None)
    if isinstance(own, ModelSpec):
        return own
    faults = []
    wanted = preprocessing or find_preprocessing(model)
    if wanted is None:
        faults.append(
            "preprocessing, a tdam.preprocessing.Preprocessing with the size, mean and std it was "
            f"trained on (most often size={_USUAL} and ImageNet's mean and std, which are its "
            "defaults)"
        )
    layers = None
    try:
        layers = find_layers(model, _USUAL if wanted is None else wanted.size)
    except NoScoresError:
        raise
    except ValueError as error:
        faults.append(f"target_layer, the module whose maps are wanted ({error})")
    if wanted is None or layers is None:
        raise ValueError(
            f"Expected {' and '.join(faults)} for {type(model).__name__}, which is not registered"
        )
    method = "cam" if layers.cam else "layercam"
    return ModelSpec(
        type(model).__name__, "", layers.pooled, layers.classifier, layers.cam, method,
        preprocessing=wanted,
    )  # fmt: skip


def find_preprocessing(model: nn.Module) -> Preprocessing | None:
    """Read what a network wants as input off the configuration that timm gives it.

    Raises:
        ValueError: one that is not square, or not of three colours
    """
    told: Any = getattr(model, "pretrained_cfg", None)
    return None if not told or "input_size" not in told else read_config(dict(told))


def read_config(told: dict[str, Any]) -> Preprocessing:
    """Turn timm's configuration of a network's input into ours.

    Args:
        told: with `input_size`, `mean`, `std`, `crop_pct` and `interpolation`

    Raises:
        ValueError: an input that is not square, or not of three colours
    """
    channels, height, width = told["input_size"]
    if channels != 3 or height != width:
        raise ValueError(
            f"Expected a network of square images of three colours but got {told['input_size']}"
        )
    share = told.get("crop_pct") or 1.0
    return Preprocessing(
        height,
        tuple(told["mean"]),
        tuple(told["std"]),
        resize=max(height, floor(height / share)),
        interpolation="bilinear" if told.get("interpolation") == "bilinear" else "bicubic",
    )


def find_layers(model: nn.Module, size: int = _USUAL) -> Layers:
    """Run a network once on noise, and see where maps become class scores.

    The layer is the last module whose output has rows and columns of an image, in whatever layout,
    and that classes depend on there; of several, one with as many channels as the classifier takes.

    Args:
        model: left as it was
        size: side of the image, in pixels

    Raises:
        ValueError: no such layer, or a run that fails
    """
    modules = tuple(map(id, model.modules()))
    known = _known.get(model)
    if known is None or known[0] != modules:
        _known[model] = known = modules, _look(model, size)
    return known[1]


def find_last_map(model: nn.Module, size: int = _USUAL) -> tuple[str, int]:
    """Name the last module that puts out rows and columns, and count its channels.

    Raises:
        ValueError: there is none near the end of the network, or a run that fails
    """
    layers = find_layers(model, size)
    if layers.behind > _MOST_BEHIND:
        raise ValueError(
            f"Expected a network that ends with maps, or with tokens whose places can be told, but "
            f"{layers.last} is the last such module of {type(model).__name__}, with "
            f"{layers.behind:.0%} of its layers behind it"
        )
    return layers.last, layers.channels


@dataclass
class _Run:
    """What is noted of a run.

    Args:
        seen: outputs that have rows and columns
        heads: what layers took and gave, by name, of those that put out one number a channel
        lengths: of sequences of tokens
        identity: name and output of the last `nn.Identity` that put out one row an image
        layers: how many with weights ran
    """

    seen: list[_Seen] = field(default_factory=list)
    heads: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)
    lengths: set[int] = field(default_factory=set)
    identity: tuple[str, Tensor] | None = None
    layers: int = 0

    def relates_tokens(self, seen: _Seen) -> bool:
        """Tell whether rows and columns are tokens that attend to tokens, and no places."""
        rows, columns = seen.output.shape[-2:]
        return seen.turn is None and rows == columns and rows in self.lengths


@dataclass
class _Seen:
    """A module's output in the run, how it becomes (N, C, h, w), and how many layers ran so far."""

    name: str
    output: Tensor
    turn: Any
    layers: int

    def turned(self, values: Tensor) -> Tensor:
        return values if self.turn is None else cast("Tensor", self.turn(values))


def _look(model: nn.Module, size: int) -> Layers:
    noise = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    noise = fit_images(model, noise).requires_grad_()
    run = _Run()
    with ExitStack() as stack:
        for context in (
            evaluation_mode(model), uncompiled(model), torch.inference_mode(mode=False),
            torch.enable_grad(), _watched(model, noise, run),
        ):  # fmt: skip
            stack.enter_context(context)
        try:
            output = model(noise)
        except (RuntimeError, AssertionError, TypeError, IndexError) as error:
            colours = next((m.in_channels for m in model.modules() if isinstance(m, nn.Conv2d)), 3)
            if colours != 3:  # some networks rearrange the three before their first convolution
                raise NoScoresError(
                    "Expected a network of images of three colours but the first convolution of "
                    f"{type(model).__name__} takes {colours} channels"
                ) from error
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ValueError(
                f"a run on images of {size} x {size} pixels failed: {reason}"
            ) from error
        try:
            scores = find_scores(output)
        except ValueError as error:
            raise NoScoresError(str(error)) from error
        heads = run.heads
        seen = [each for each in run.seen if not run.relates_tokens(each)]
        head = _find_head(model, heads, scores)
        if head is None and run.identity and _are_alike(run.identity[1], scores):
            raise NoScoresError(
                f"Expected class scores but the classifier of {type(model).__name__}, "
                f"{run.identity[0]}, is an nn.Identity, which hands on {scores.shape[1]} features; "
                "give it one, such as by num_classes in timm"
            )
        aim = scores if head is None else heads[head][0]
        if not aim.requires_grad or not seen:
            raise ValueError(_NO_MAPS)
        weights = torch.randn(aim.shape, generator=torch.Generator().manual_seed(1)).to(aim)
        gradients = torch.autograd.grad(
            (aim * weights).sum(), [each.output for each in seen], allow_unused=True
        )
    pairs = [(each, g) for each, g in zip(seen, gradients, strict=True) if g is not None]
    used = [each for each, gradient in pairs if _share_used(each, gradient) > 0.5]
    # Of a maximum over all places, each channel depends on one alone.
    used = used or [each for each, g in pairs if each.turn is None and _share_used(each, g) > 0]
    if not used:
        raise ValueError(_NO_MAPS)
    taken = None if head is None else heads[head][0].shape[-1]
    fitting = [each for each in used if each.turned(each.output).shape[1] == taken]
    chosen = (fitting or used)[-1]
    cam = False
    if head is not None and fitting:
        means = chosen.turned(chosen.output.detach()).flatten(2).mean(2)
        cam = _are_alike(means, heads[head][0]) and _are_alike(heads[head][1], scores)
    last = seen[-1]
    channels = last.turned(last.output.detach()).shape[1]
    behind = 1 - last.layers / run.layers
    return Layers(chosen.name, head or "", cam, last.name, channels, behind)


def _share_used(seen: _Seen, gradient: Tensor) -> float:
    """Tell at which share of a map's places classes depend on it."""
    return float((seen.turned(gradient).abs().amax(dim=1) > 0).float().mean())


def _are_alike(one: Tensor, other: Tensor) -> bool:
    if one.numel() != other.numel():
        return False
    one, other = one.detach().float(), other.detach().float().reshape(one.shape)
    loose = _ALIKE if torch.finfo(other.dtype).eps < _ALIKE else 20 * _ALIKE
    return float((one - other).abs().max()) <= loose * float(other.abs().max())


def _find_head(
    model: nn.Module, heads: dict[str, tuple[Tensor, Tensor]], scores: Tensor
) -> str | None:
    """Find the last linear layer among those that ran: the one timm names, or that gives scores."""
    names = {id(module): name for name, module in model.named_modules()}
    get = getattr(model, "get_classifier", None)
    told = get() if callable(get) else None
    several = told if isinstance(told, (tuple, list)) else (told,)  # of a distilled network two
    for module in several:
        if (name := names.get(id(module))) in heads:
            return name
    for name, (_, output) in reversed(heads.items()):
        if _are_alike(find_scores(output.flatten(1)), scores):
            return name
    return None


@contextmanager
def _watched(model: nn.Module, images: Tensor, run: _Run) -> Iterator[None]:
    """Note every output that has rows and columns, and what linear layers take and give."""
    with ExitStack() as stack:
        view = stack.enter_context(watching(model, tuple(images.shape)))
        for name, module in model.named_modules():
            if name:
                handle = module.register_forward_hook(partial(_note, model, view, run, name))
                stack.callback(handle.remove)
        yield


def _note(
    model: nn.Module,
    view: View,
    run: _Run,
    name: str,
    module: nn.Module,
    args: tuple[Any, ...],
    output: Any,
) -> Tensor | None:
    own = next(module.parameters(recurse=False), None) is not None
    run.layers += own
    if not isinstance(output, torch.Tensor):
        return None
    if output.ndim == 2 and isinstance(module, nn.Identity):
        run.identity = name, output
    if output.ndim == 3:
        run.lengths.add(output.shape[1])
    if (
        isinstance(module, (nn.Linear, nn.Conv2d))
        and output.flatten(1).shape[1:] == (output.shape[1:2])
    ):
        run.heads[name] = args[0].flatten(1), output
        return None
    try:
        turn = find_reshape(model, module, output, view)
    except ValueError:
        return None
    shape = output.shape if turn is None else turn(output.detach()).shape
    if len(shape) != 4 or min(shape[2:]) == 1 or not output.requires_grad:
        return None
    run.seen.append(_Seen(name, output, turn, run.layers))
    return output.clone()  # what follows may write into it
