"""Which network tensors belong to, told from their names and shapes."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import torch

from tdam.acol import NAME as ACOL_HEAD
from tdam.acol import AcolHead
from tdam.backbones.outside import draw_outline
from tdam.mean_head import NAME as MEAN_HEAD
from tdam.outline import outlining
from tdam.published import LIGHT, NORM
from tdam.recurrence import check_steps
from tdam.registry import MODELS, create_model, find_spec, is_outside
from tdam.spg import NAME as SPG_HEAD
from tdam.toml_records import show
from tdam.weights import find_misfits, read_file

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from torch import Tensor

_MOST_HEADS = 2  # of a network that was distilled
# Heads that stand in for a network's own: name, a weight that tells the channels, what builds one.
_OTHER_HEADS: dict[str, tuple[str, str, Callable[[int, int], torch.nn.Module]]] = {
    "mean": (MEAN_HEAD, "weight", torch.nn.Linear),
    "acol": (ACOL_HEAD, "first.0.weight", AcolHead),
    "spg": (f"{SPG_HEAD}.classifier", "weight", torch.nn.Linear),
}


def tell_settings(
    state: Mapping[str, Tensor], given: Mapping[str, Any]
) -> tuple[str, dict[str, Any]]:
    """Tell a network from the names and shapes of its tensors.

    Args:
        state: tensors by name, as published
        given: settings that the caller knows; they stand in for what cannot be told

    Returns:
        `published` for a TDAM checkpoint, else `plain`; and arguments of `create_model`

    Raises:
        ValueError: tensors of no registered network, or steps and distance that cannot be told
    """
    plain = {k: v for k, v in state.items() if not (LIGHT.fullmatch(k) or NORM.fullmatch(k))}
    name, classes = _tell_name(plain, given.get("name"))
    told: dict[str, Any] = {"name": name, "num_classes": classes}
    lights = [light for key in state if (light := LIGHT.fullmatch(key))]
    if not lights:
        return "plain", told
    told["attention"] = "tdam"
    told["searchlight"] = _tell_searchlight(state, [light["block"] for light in lights])
    norms = [norm for key in state if (norm := NORM.fullmatch(key))]
    if norms:
        told["steps"] = 1 + max(int(norm["step"]) for norm in norms)
        check_steps(told["steps"])
        one = norms[0]["block"]
        told["distance"] = len({norm["norm"] for norm in norms if norm["block"] == one})
    elif not {"steps", "distance"} <= set(given):
        raise ValueError(
            "Expected norms of later steps but the file has none, so that T and m cannot be told; "
            "pass steps=1 and its distance, or distance=0 and its steps"
        )
    return "published", told


def list_classifiers(name: str | None = None) -> set[str]:
    """Name a tensor of every registered network, or of one, by which its files can be told."""
    specs = MODELS.values() if name is None else (find_spec(name),)
    return {f"{spec.classifier}.weight" for spec in specs}


def count_classes(name: str, path: str | Path) -> int:
    """Count the classes of a network's weights, by the classifier that a file has.

    Args:
        name: of the network
        path: as `read_file` takes it

    Returns:
        the classifier's width; ImageNet's 1000 where the file has none of this network

    Raises:
        ValueError: no such network
        WeightsError: a file that cannot be read
    """
    last = f"{find_spec(name).classifier}.weight"
    with warnings.catch_warnings():  # the file is read again
        warnings.simplefilter("ignore")
        state, _, _ = read_file(path, {last})
    weight = state.get(last)
    return 1000 if weight is None or weight.ndim == 0 else len(weight)


def check_classifier(
    name: str, num_classes: int, state: Mapping[str, Tensor], head: str = "own"
) -> None:
    """Check that a file has the classifier that a network is to have, before any is built.

    Its size is the only one that a file may choose, so that no network is larger than its file. Of
    another library's networks a file chooses one of any size: all of its tensors have to be there.

    Args:
        name: of a registered network
        num_classes: width of the classifier
        state: tensors of the file, by name
        head: of the network, as `create_model` takes it

    Raises:
        ValueError: no such network, or tensors that are missing or of another shape
    """
    if is_outside(name):
        outline, part = draw_outline(name, num_classes), ""
    else:
        with outlining():
            outline = create_model(name, num_classes=num_classes)
        part = f"{find_spec(name).classifier}."
    wanted = {key: t for key, t in outline.state_dict().items() if key.startswith(part)}
    if other := _outline_head(head, num_classes, state):
        ends = [
            f"{name}."
            for name, module in outline.named_modules()
            if isinstance(module, (torch.nn.Linear, torch.nn.Conv2d))
            and (len(module.weight), f"{name}.weight" in state) == (num_classes, False)
        ][-_MOST_HEADS:]
        wanted = {key: tensor for key, tensor in wanted.items() if not key.startswith(tuple(ends))}
        wanted |= other
    misfits = find_misfits(wanted, {k: t for k, t in state.items() if k in wanted})
    if misfits:
        raise ValueError(f"weights do not fit {name} with {num_classes} classes: tensors {misfits}")


def _outline_head(head: str, num_classes: int, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Draw the tensors of a head that is not a network's own, for the channels that a file has.

    Returns:
        without values, by name; none where the head is the own one, or the file has none
    """
    name, first, build = _OTHER_HEADS.get(head, ("", "", torch.nn.Linear))
    weight = state.get(f"{name}.{first}")
    if weight is None or weight.ndim < 2 or not weight.shape[1]:
        return {}
    with outlining():
        outline = build(weight.shape[1], num_classes).state_dict()
    return {f"{name}.{key}": tensor for key, tensor in outline.items()}


def _tell_searchlight(state: Mapping[str, Tensor], blocks: list[str]) -> str:
    """Tell the searchlight from the first block that has the layers to tell it by."""
    for block in blocks:
        hidden = state.get(f"{block}RA_block.Ug_top_mlp.0.weight")
        last = state.get(f"{block}RA_block.Ug_mlp.0.weight")
        if f"{block}RA_block.Ug_mlp.2.weight" in state:
            return "top"
        if hidden is not None and last is not None and hidden.ndim == last.ndim == 4:
            return "joint" if last.shape[1] == 2 * hidden.shape[0] else "joint_sum"
    raise ValueError("Expected the layers of a searchlight but no block has them all")


def _describe_strangers(plain: Mapping[str, Tensor]) -> str:
    first = next(iter(plain), "")
    begin = f", which begins with {show(first)}" if first else ""
    return f"no classifier of theirs is in the file{begin}"


def _tell_name(plain: Mapping[str, Tensor], name: str | None) -> tuple[str, int]:
    """Find the registered network that has just these tensors, whatever its classifier's width."""
    candidates = [find_spec(name)] if name else list(MODELS.values())
    nearest: tuple[int, str] | None = None
    for spec in candidates:
        weight = plain.get(f"{spec.classifier}.weight")
        if weight is None or weight.ndim == 0:
            continue
        with outlining():
            wanted = create_model(spec.name, num_classes=weight.shape[0]).state_dict()
        misfits = find_misfits(wanted, plain)
        if not misfits:
            return spec.name, weight.shape[0]
        if nearest is None or len(misfits) < nearest[0]:
            nearest = len(misfits), f"nearest is {spec.name}, tensors {misfits}"
    known = ", ".join(spec.name for spec in candidates)
    detail = nearest[1] if nearest else _describe_strangers(plain)
    raise ValueError(f"Expected the tensors of one of {known} but got others: {detail}")
