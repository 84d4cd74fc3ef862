"""Weights from files, read without running code that the file brings along."""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from tdam.published import list_misfits, rename, tell_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

    from tdam.backbones.base import Backbone

_SETTINGS = "wsol-tdam"  # key of our settings among the metadata of our files


class WeightsError(RuntimeError):
    """Weights that could not be had or read."""


def torchvision_weights(name: str) -> dict[str, torch.Tensor]:
    """Fetch a network's default ImageNet weights from torchvision's cache or its server.

    Raises:
        WeightsError: they are not cached and could not be downloaded
    """
    from torchvision import models

    weights = models.get_model_weights(name).DEFAULT
    try:
        return weights.get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError) as error:
        raise WeightsError(f"no weights for {name}: {weights.url} gave {error}") from error


def pretrained_weights(
    model: Backbone, state: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Fit ImageNet weights to a network's number of classes: other classifiers stay random.

    Args:
        model: a registered network
        state: its ImageNet weights
    """
    own = model.state_dict()
    last = f"{model.spec.classifier}."
    return {
        key: own[key] if key.startswith(last) and own[key].shape != tensor.shape else tensor
        for key, tensor in state.items()
    }


def read_file(path: str | Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Read a file of weights.

    Nothing in the file is run: torch unpickles tensors and plain values, and one class more,
    `argparse.Namespace`, in which timm's trainer keeps its arguments.

    Args:
        path: `.safetensors`, or a file that `torch.save` wrote: a state dict, or a dict that
            holds one under `state_dict` or `model`

    Returns:
        tensors by name, on the CPU, without the prefix `module.` of a parallel trainer; and what
        else the file holds

    Raises:
        WeightsError: the file is missing, broken, or holds something else
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"{path}: no such file")
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                return {k: file.get_tensor(k) for k in file.keys()}, file.metadata() or {}  # noqa: SIM118
        with torch.serialization.safe_globals([argparse.Namespace]):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise WeightsError(f"{path}: not a file of weights ({reason})") from error
    if not isinstance(content, dict) or not content:
        raise WeightsError(f"{path}: expected tensors by name but got {type(content).__name__}")
    rest: dict[str, Any] = {}
    for key in ("state_dict", "model"):
        if isinstance(content.get(key), dict):
            rest = {k: v for k, v in content.items() if k != key}
            content = content[key]
            break
    strays = [key for key, value in content.items() if not isinstance(value, torch.Tensor)]
    if strays:
        raise WeightsError(f"{path}: expected tensors by name but {strays[0]!r} is not one")
    return {str(key).removeprefix("module."): tensor for key, tensor in content.items()}, rest


def read_state_dict(path: str | Path) -> dict[str, torch.Tensor]:
    """Read the tensors of a file of weights under this project's names.

    Raises:
        WeightsError: the file is missing, broken, or holds something else
    """
    return rename(read_file(path)[0])


def fill(model: nn.Module, state: Mapping[str, torch.Tensor]) -> None:
    """Fill a network with weights that fit it exactly.

    Args:
        model: changed in place
        state: tensors by name

    Raises:
        ValueError: a missing, unexpected or misshapen tensor; the message lists every one
    """
    faults = list_misfits(model.state_dict(), state)
    if faults:
        raise ValueError(f"weights do not fit the network: {'; '.join(faults)}")
    model.load_state_dict(state)


@dataclass(frozen=True)
class CheckpointInfo:
    """What a file of weights said, and what was told from its tensors.

    Args:
        source: `wsol-tdam` for our own files, `published` for TDAM's, else `plain`
        settings: arguments of `create_model` that build the network
        epoch: of its training, where the file says so
        metric: that its trainer chose it by, in that trainer's unit, where the file says so
    """

    source: str
    settings: dict[str, Any]
    epoch: int | None = None
    metric: float | None = None


def load_checkpoint(
    path: str | Path, *, num_classes: int | None = None, **settings: Any
) -> tuple[Backbone, CheckpointInfo]:
    """Build the network that a file of weights belongs to, and fill it.

    Our own files name their network. For others it is told from names and shapes: published TDAM
    checkpoints, and torchvision's or timm's plain networks. What those do not tell (the order of
    the modulations; T with m = 0; m with T = 1) has to be given where it is not as published.

    Args:
        path: `.safetensors`, or a file that torch saved
        num_classes: that the file must have; None takes what it has
        settings: arguments of `create_model` to set or correct

    Returns:
        the network, in evaluation mode, and what is known of it

    Raises:
        ValueError: tensors of no registered network (what is next to it is listed), another
            number of classes, or settings that cannot be told
        WeightsError: a file that cannot be read
    """
    from tdam.registry import create_model

    state, rest = read_file(path)
    if _SETTINGS in rest:
        source, told = "wsol-tdam", json.loads(rest[_SETTINGS])
    else:
        source, told = tell_settings(state, settings)
    wanted = {**told, **settings}
    if num_classes is not None and num_classes != wanted["num_classes"]:
        found = wanted["num_classes"]
        raise ValueError(
            f"Expected a classifier of {num_classes} classes but {path} has {found}; pass "
            f"num_classes={found}"
        )
    model = create_model(**wanted)
    fill(model, rename(state))
    metric = rest.get("metric")
    epoch = rest.get("epoch")
    return model, CheckpointInfo(
        source=source,
        settings=model.settings,
        epoch=epoch if isinstance(epoch, int) else None,
        metric=float(metric) if isinstance(metric, (int, float)) else None,
    )


def save_checkpoint(model: Backbone, path: str | Path) -> Path:
    """Write a network's weights and settings, so that `load_checkpoint` needs nothing else.

    Args:
        model: from `create_model`
        path: ends in `.safetensors`; replaced as a whole once the new file is complete

    Returns:
        the path

    Raises:
        ValueError: another suffix
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(f"Expected a path that ends in .safetensors but got {path}")
    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    unfinished = path.with_name(f".{path.name}.part")
    save_file(state, unfinished, metadata={_SETTINGS: json.dumps(model.settings)})
    os.replace(unfinished, path)  # noqa: PTH105, atomic
    return path
