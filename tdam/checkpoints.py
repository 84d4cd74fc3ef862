"""Weights from files, read without running code that the file brings along."""

from __future__ import annotations

from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn


class WeightsError(RuntimeError):
    """Weights that could not be had or read."""


def read_state_dict(path: str | Path) -> dict[str, torch.Tensor]:
    """Read a state dict from a file.

    Args:
        path: `.safetensors`, or a file that `torch.save` wrote: a state dict, or a dict that
            holds one under `state_dict`

    Returns:
        tensors by name, on the CPU

    Raises:
        WeightsError: the file is missing, broken, or holds something else
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"{path}: no such file")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise WeightsError(f"{path}: not a file of weights ({reason})") from error
    if isinstance(content, dict):
        content = content.get("state_dict", content)
    if not isinstance(content, dict) or not content:
        raise WeightsError(f"{path}: expected tensors by name but got {type(content).__name__}")
    strays = [key for key, value in content.items() if not isinstance(value, torch.Tensor)]
    if strays:
        raise WeightsError(f"{path}: expected tensors by name but {strays[0]!r} is not one")
    return content


def load_weights(model: nn.Module, weights: str | Path | Mapping[str, torch.Tensor]) -> None:
    """Fill a network with weights that fit it exactly.

    Args:
        model: changed in place
        weights: tensors by name, or the path of a file that holds them

    Raises:
        ValueError: a missing, unexpected or misshapen tensor; the message lists every one
        WeightsError: the file cannot be read
    """
    state = read_state_dict(weights) if isinstance(weights, (str, Path)) else dict(weights)
    wanted = model.state_dict()
    faults = [f"missing {name}" for name in wanted if name not in state]
    faults += [f"unexpected {name}" for name in state if name not in wanted]
    faults += [
        f"{name} is {tuple(state[name].shape)}, expected {tuple(tensor.shape)}"
        for name, tensor in wanted.items()
        if name in state and state[name].shape != tensor.shape
    ]
    if faults:
        raise ValueError(f"weights do not fit the network: {'; '.join(faults)}")
    model.load_state_dict(state)
