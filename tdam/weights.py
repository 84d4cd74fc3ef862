"""Weights by name: from files, read without running code in them, from servers, into networks."""

from __future__ import annotations

import argparse
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open

from tdam.published import rename
from tdam.regularizers import match_layers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

    from tdam.backbones.base import Backbone


SHIPPED = Path(__file__).parent / "shipped"  # weights of our own training, each with its card
_SHOWN = 8  # tensors that a message lists
RESULT = "model.safetensors"  # of a training run, in its folder


class WeightsError(RuntimeError):
    """Weights that could not be obtained or read."""


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


def fit_classifier(
    model: Backbone, state: Mapping[str, torch.Tensor], new_head: bool = False
) -> dict[str, torch.Tensor]:
    """Replace a classifier with another number of classes by zeros.

    With zeros all classes are equally likely, and the features, which know more than random
    weights, are not spoiled by the first steps.

    Args:
        model: a registered network
        state: its weights
        new_head: replace it whatever its number of classes
    """
    own = model.state_dict()
    last = f"{model.spec.classifier}."
    return {
        key: torch.zeros_like(own[key])
        if key.startswith(last) and key in own and (new_head or own[key].shape != tensor.shape)
        else tensor
        for key, tensor in state.items()
    }


def list_shipped() -> list[str]:
    """Name the weights that ship with the package."""
    return sorted(path.stem for path in SHIPPED.glob("*.safetensors"))


def find_weights(name: str | Path) -> Path:
    """Tell which file is meant: shipped weights by their name, or a path."""
    path = Path(name)
    return shipped_path(str(name)) if str(name) in list_shipped() and not path.exists() else path


def shipped_path(name: str) -> Path:
    """Return the file of shipped weights, whatever lies in the current folder."""
    return SHIPPED / f"{name}.safetensors"


def read_file(path: str | Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Read a file of weights.

    Nothing in the file is run: torch unpickles tensors and plain values, and one class more,
    `argparse.Namespace`, in which timm's trainer keeps its arguments.

    Args:
        path: `.safetensors`, or a file that `torch.save` wrote: a state dict, or a dict that
            holds one under `state_dict` or `model`; the folder of a training run; or the name of
            shipped weights

    Returns:
        tensors by name, on the CPU, without the prefix `module.` of a parallel trainer; and what
        else the file holds

    Raises:
        WeightsError: the file is missing, broken, or holds something else
    """
    path = find_weights(path)
    if path.is_dir():
        path = path / RESULT
    if not path.is_file():
        named = f" (by name there is {', '.join(list_shipped())})" if not path.suffix else ""
        raise WeightsError(f"{path}: no such file{named}")
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                return {k: file.get_tensor(k) for k in file.keys()}, file.metadata() or {}  # noqa: SIM118
        with torch.serialization.safe_globals([argparse.Namespace]):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:  # whose own text advises to run the file's code
        raise WeightsError(
            f"{path}: not a file of weights (expected tensors and plain values and nothing else)"
        ) from error
    except (SafetensorError, RuntimeError, EOFError, ValueError, OSError) as error:
        reason = (str(error).splitlines() or ["it ends too early"])[0]
        raise WeightsError(f"{path}: not a file of weights ({reason})") from error
    except Exception as error:  # text, read as a pickle, breaks its reader in many ways
        raise WeightsError(
            f"{path}: not a file of weights (expected one of torch.save or safetensors)"
        ) from error
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


def list_misfits(wanted: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> list[str]:
    """List every missing, unexpected and misshapen tensor.

    Args:
        wanted: tensors of the network, by name
        state: tensors of the file, by name
    """
    faults = [f"missing {name}" for name in wanted if name not in state]
    faults += [f"unexpected {name}" for name in state if name not in wanted]
    faults += [
        f"{name} is {tuple(state[name].shape)}, expected {tuple(tensor.shape)}"
        for name, tensor in wanted.items()
        if name in state and state[name].shape != tensor.shape
    ]
    return faults


def fill(model: nn.Module, state: Mapping[str, torch.Tensor]) -> None:
    """Fill a network with weights that fit it exactly, regularizing layers aside.

    Those of a layer count where network and weights both have some.

    Args:
        model: changed in place
        state: tensors by name

    Raises:
        ValueError: missing, unexpected or misshapen tensors; the message lists the first ones
    """
    own = model.state_dict()
    state = match_layers(own, state)
    faults = list_misfits(own, state)
    if faults:
        spec = getattr(model, "spec", None)
        other = spec is not None and any(f.startswith(f"{spec.classifier}.") for f in faults)
        hint = "; for other classes leave its classifier out (new_head)" if other else ""
        more = f"; and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        shown = "; ".join(faults[:_SHOWN])
        raise ValueError(f"weights do not fit the network: {shown}{more}{hint}")
    model.load_state_dict(state)
