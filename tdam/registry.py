"""Networks by name: what builds them, what they want as input, where their map comes from."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from tdam.attentions import ATTENTIONS, find_attention
from tdam.named_weights import PRETRAINED, fetch_named, is_named
from tdam.preprocessing import Preprocessing
from tdam.spec import CONVOLUTIONS, HEADS, ModelSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from torch import Tensor, nn

    from tdam.backbones.base import Backbone

_RESNETS = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnext50_32x4d")

MODELS: dict[str, ModelSpec] = {
    spec.name: spec
    for spec in (
        ModelSpec(
            "efficientnet_lite0",
            "efficientnet_lite",
            "bn2",
            "classifier",
            method="gradcampp",
            map_layer="blocks.6.0.bn1",
            pretrained="in the installed packages",
            preprocessing=Preprocessing(mean=(127 / 255,) * 3, std=(128 / 255,) * 3),
        ),
        *(ModelSpec(name, "resnet", "layer4", "fc") for name in _RESNETS),
        ModelSpec(
            "mobilenet_v3_large",
            "mobilenet",
            "features.16",
            "classifier.3",
            cam=False,
            method="layercam",
        ),
        ModelSpec(
            "convnext_tiny",
            "convnext",
            "features.7",
            "classifier.2",
            cam=False,
            method="layercam",
        ),
        ModelSpec("vgg16", "vgg", "features", "classifier", pretrained=CONVOLUTIONS),
        ModelSpec("vgg16_conv6", "vgg", "relu", "fc", pretrained=CONVOLUTIONS, added=("conv6",)),
        ModelSpec(
            "inception_v3",
            "inception",
            "SPG_A3_2b",
            "fc",
            pretrained=CONVOLUTIONS,
            added=("SPG_A3_1b", "SPG_A3_2b"),
        ),
    )
}


def list_models() -> list[str]:
    """Name every registered network.

    Returns:
        the names, the default network first

    >>> list_models()[0]
    'efficientnet_lite0'
    """
    return list(MODELS)


def find_spec(name: str) -> ModelSpec:
    """Look a network up.

    Args:
        name: one of `list_models()`, or `timm:NAME` or `torchvision:NAME` of these libraries

    Raises:
        ValueError: no network has this name; the message lists those there are
    """
    if is_outside(name):
        from tdam.backbones.outside import describe

        return describe(name)
    try:
        return MODELS[name]
    except KeyError:
        raise ValueError(
            f"Expected model to be one of {', '.join(MODELS)}, or timm:NAME or torchvision:NAME, "
            f"but got {name!r}"
        ) from None


def is_outside(name: str) -> bool:
    """Tell whether a network's name is one of another library's."""
    return name.startswith(("timm:", "torchvision:"))


def is_added(name: str) -> bool:
    """Tell from its name whether a tensor belongs to what attention adds to a network."""
    return ".top_down." in name or ".attention." in name


def create_model(
    name: str,
    *,
    attention: str | Callable[[int], nn.Module] | None = None,
    steps: int = 2,
    distance: int = 1,
    searchlight: str = "joint",
    order: str = "channel->spatial",
    pooling: str = "average",
    regularizer: str | Callable[[int], nn.Module] | None = None,
    regularized: Sequence[str] | None = None,
    adl_rate: float = 0.75,
    adl_threshold: float = 0.9,
    num_classes: int = 1000,
    output_stride: int = 32,
    dilated: bool = True,
    head: str = "own",
    acol_threshold: float = 0.7,
    weights: str | Path | None = None,
    new_head: bool = False,
) -> Backbone:
    """Build a network.

    Args:
        name: one of `list_models()`, or `timm:NAME` or `torchvision:NAME` of these libraries
        attention: None or `none`; `tdam` in the blocks of the last two stages; or, after the
            branch of every block, `se`, `cbam`, `eca`, `fca`, or a class or function of your own
            from channels to a module whose output has the shape of its input, (N, C, H, W). Its
            method `start_as_identity`, if it has one, is called where attention starts from
            weights without it; otherwise it starts as it is initialised
        steps: T, how often the end of a block runs; `tdam` only, as are the next four
        distance: m, how many of a block's last convolutions run again; the family's file says
            what counts
        searchlight: `top`, `joint` or `joint_sum`
        order: of the modulations, `channel->spatial`, `spatial->channel`, `channel` or `spatial`
        pooling: `average`, `max` or `both`
        regularizer: None or `none`; `adl`, attention-based dropout; or a class or function of your
            own from channels to a module that acts in training only, put after whole blocks,
            attention and all; its output has the shape of its input, (N, C, H, W), and equals it
            in evaluation mode
        regularized: names of these blocks; None for the layer's usual places
        adl_rate: probability of ADL's drop mask; of `adl` only, as is the next
        adl_threshold: gamma, share of the strongest attention from which on it drops
        num_classes: width of the classifier
        output_stride: 32, 16 or 8: pixels of the input per pixel of the map
        dilated: reach an output stride below 32 by dilation, which keeps weights valid, or by
            stride 1 alone, as the standard evaluation's networks do
        head: `own`; `mean`, a linear head on the mean of the last map, as class activation maps
            need, where the network's own is another; `acol`, the two classifiers of adversarial
            complementary learning; or `spg`, a linear one on that mean with the branches of
            self-produced guidance. Class scores of all of them start at zero
        acol_threshold: share of its range from which on `acol` erases the first one's map
        weights: None or `random` for random weights; `pretrained` for the network's ImageNet
            weights, or torchvision's `imagenet1k_v1` or `imagenet1k_v2` (with another number of
            classes all but the classifier's); or a file or folder of weights, as `load_checkpoint`
            takes it. Those without attention fill the plain network; attention starts as identity
        new_head: take all but the classifier from the weights

    Returns:
        the network, in evaluation mode; `spec` says what it wants as input, `settings` repeats
        the arguments, with the name in place of a class or function

    Raises:
        ValueError: an unknown name, a number out of range, weights that do not fit, or a lambda
        WeightsError: weights that could not be obtained

    >>> model = create_model("resnet18", attention="tdam", steps=3, distance=2, num_classes=5)
    >>> import torch
    >>> model.forward_steps(torch.zeros(1, 3, 64, 64)).logits.shape
    torch.Size([1, 3, 5])
    """
    from tdam.attach import start_as_identity
    from tdam.recurrence import check_steps
    from tdam.regularizers import add_regularizer, find_regularizer, is_of_layer
    from tdam.stride import set_output_stride
    from tdam.weights import fill

    label = find_attention(attention)
    check_steps(steps)
    layer = find_regularizer(regularizer)
    if layer == "none" and regularized is not None:
        raise ValueError("Expected a regularizer for the blocks of regularized but got none")
    model = _build_plain(name, num_classes)
    model.settings = {
        "name": name,
        "attention": label,
        "steps": steps,
        "distance": distance,
        "searchlight": searchlight,
        "order": order,
        "pooling": pooling,
        "num_classes": num_classes,
        "output_stride": output_stride,
        "dilated": dilated,
        "head": head,
    }
    _put_head(model, head, acol_threshold)
    state, source = _read_weights(model, weights, new_head)
    whole = state is not None and any(map(is_added, state))
    if whole and label == "none":
        raise ValueError(
            f"Expected weights of a network without attention but {weights} has some: name its "
            "attention, or load the file as a checkpoint"
        )
    if output_stride != 32:
        set_output_stride(model.shrinking_stages(), output_stride, dilated)
    if state is not None and not whole:
        fill(model, state, source)
    _add_attention(model, attention)
    if regularizer is not None and layer != "none":
        options = {"rate": adl_rate, "threshold": adl_threshold} if layer == "adl" else {}
        add_regularizer(model, regularizer, regularized, **options)
    if state is not None and whole:
        fill(model, state, source)
    elif state is not None:
        start_as_identity(model)
        layers = {name: tensor for name, tensor in state.items() if is_of_layer(name)}
        if layers:
            fill(model, {**model.state_dict(), **layers}, source)
    return model.eval()


def _build_plain(name: str, num_classes: int) -> Backbone:
    """Build a network as its family has it, with random weights."""
    spec = find_spec(name)
    if num_classes < 1:
        raise ValueError(f"Expected num_classes to be at least 1 but got {num_classes}")
    family = import_module(spec.family if "." in spec.family else f"tdam.backbones.{spec.family}")
    model: Backbone = family.build(name, num_classes)
    model.spec = spec
    return model


def _put_head(model: Backbone, head: str, acol_threshold: float) -> None:
    """Give a network the head that its settings name, where that is not its own."""
    from tdam.acol import put_acol_head
    from tdam.mean_head import put_mean_head
    from tdam.spg import put_spg_head

    if head == "mean":
        put_mean_head(model)
    elif head == "spg":
        put_spg_head(model)
    elif head == "acol":
        put_acol_head(model, acol_threshold)
    elif head not in HEADS:
        raise ValueError(f"Expected head to be one of {', '.join(HEADS)} but got {head!r}")


def _read_weights(
    model: Backbone, weights: str | Path | None, new_head: bool
) -> tuple[dict[str, Tensor] | None, str]:
    """Read the weights that a network starts from, its classifier's as zeros if they do not fit.

    Returns:
        tensors by name, None where they are random; and what they are from, for messages
    """
    if weights is None or weights == "random":
        return None, ""
    from tdam.heads import Headed
    from tdam.published import rename
    from tdam.weights import (
        WeightsError,
        check_tensors,
        find_weights,
        fit_classifier,
        read_file,
    )

    name = model.settings["name"]
    if is_named(weights):
        if model.spec.pretrained == CONVOLUTIONS and weights != PRETRAINED and not new_head:
            raise WeightsError(
                f"{weights} weights of {name} are its convolutions alone, to train from: with "
                "new_head, the rest begins anew"
            )
        state = fetch_named(name, str(weights))
        try:
            check_tensors(state)
        except ValueError as error:
            raise WeightsError(f"{weights} weights of {name}: {error}") from error
        source = f"{weights} weights of {name}"
    else:
        content, _, source = read_file(weights, model.state_dict())
        state = rename(content)
        model.weights_file = find_weights(weights).absolute()
    if isinstance(model, Headed):
        return model.fit_weights(state, new_head), source
    if is_named(weights) or new_head:
        state = fit_classifier(model, state, new_head)
    return state, source


def _add_attention(model: Backbone, attention: str | Callable[[int], nn.Module] | None) -> None:
    """Put attention where its kind belongs, as a network's settings say."""
    from tdam.attach import attach_top_down, replace_blocks
    from tdam.attention_block import AttentionBlock

    if model.settings["attention"] == "tdam":
        keys = ("steps", "distance", "searchlight", "order", "pooling")
        options = {key: model.settings[key] for key in keys}
        attach_top_down(model, model.top_down_blocks(), **options)
        return
    gates: tuple[str, ...] = ()
    if attention is None or isinstance(attention, str):
        entry = ATTENTIONS[model.settings["attention"]]
        if entry is None:
            return
        build, gates = entry.build, entry.gates
    else:
        build = attention
    blocks = [block for stage in model.stage_blocks() for block in stage]
    replace_blocks(model, blocks, lambda block, plan: AttentionBlock(block, plan, build, gates))
