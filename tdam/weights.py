"""Weights by name: from files, read without running code in them, from servers, into networks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from tdam.averaged import warn_averaged
from tdam.published import rename
from tdam.regularizers import match_layers
from tdam.shipped_weights import list_shipped, shipped_path
from tdam.tensor_files import INDEXES, WeightsError, load
from tdam.unfinished import warn_unfinished
from tdam.wrapped_weights import name_tensors, unwrap

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from torch import Tensor, nn

    from tdam.backbones.base import Backbone


_SHOWN = 3  # tensors of a kind that a message names
_LONGEST_SHOWN = 60  # characters of such a name
_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_INTEGERS = (torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8, torch.bool)
RESULT = "model.safetensors"  # of a training run, in its folder
SETTINGS = "wsol-tdam"  # key of our settings among the metadata of our files


def fit_classifier(
    model: Backbone, state: Mapping[str, torch.Tensor], new_head: bool = False
) -> dict[str, torch.Tensor]:
    """Replace a classifier with another number of classes by zeros.

    With zeros all classes are equally likely, and the features, which know more than random
    weights, are not spoiled by the first steps.

    Args:
        model: a registered network
        state: its weights
        new_head: replace it whatever its number of classes, even where there is none; modules that
            no weights of others have stay as they are then
    """
    own = model.state_dict()
    last = f"{model.spec.classifier}."
    added = tuple(f"{name}." for name in (model.spec.classifier, *model.spec.added))
    begun = {
        key: torch.zeros_like(tensor) if key.startswith(last) else tensor.clone()
        for key, tensor in own.items()
        if new_head and key.startswith(added) and key not in state
    }
    return begun | {
        key: torch.zeros_like(own[key])
        if key.startswith(last) and key in own and (new_head or own[key].shape != tensor.shape)
        else tensor
        for key, tensor in state.items()
    }


def find_weights(name: str | Path) -> Path:
    """Tell which file is meant: shipped weights by their name, or a path."""
    path = Path(name)
    return shipped_path(str(name)) if str(name) in list_shipped() and not path.exists() else path


def read_file(
    path: str | Path, wanted: Collection[str] = ()
) -> tuple[dict[str, torch.Tensor], dict[str, Any], str]:
    """Read a file of weights; warnings tell what of it is not final, or not taken.

    Nothing in the file is run: torch unpickles tensors and plain values, numpy's numbers as plain
    ones, and one class more, `argparse.Namespace`, in which timm's trainer keeps its arguments.

    Trainers put weights into dicts, and prefixes before the names of tensors. Those that
    `tdam.wrapped_weights` lists are taken off, except in our own files: dicts under `state_dict`,
    `model` and the like, also one in another; prefixes such as `module.`, `_orig_mod.` and
    `model.`, also several, where all tensors have them. Averaged weights beside the plain ones stay
    where they are, with an `AveragedWeightsWarning`; where there are no others they are taken.

    Args:
        path: `.safetensors`, or a file that `torch.save` wrote; an index of several such files,
            `*.index.json`; the folder of a training run, or of an index; or the name of shipped
            weights
        wanted: names of tensors of the network that the weights are for, as far as they are known:
            a prefix that is part of them is kept

    Returns:
        tensors by name, on the CPU; what else the file holds; and for messages the path, with what
        was taken off

    Raises:
        WeightsError: the file is missing, broken, or holds something else, weights in several
            places between which no rule decides, or tensors that no network has: sparse, complex,
            quantised, or with numbers that are not finite
    """
    named, path = path, find_file(path)
    warn_unfinished(named)
    content, rest = load(path)
    if not isinstance(content, dict):
        raise WeightsError(f"{path}: expected tensors by name but got {type(content).__name__}")
    try:
        found = unwrap(content)
        rest |= found.rest
        if SETTINGS in rest:
            wanted = found.content
        state, notes = name_tensors(found.content, wanted)
        check_tensors(state)
    except ValueError as error:
        raise WeightsError(f"{path}: {error}") from error
    warn_averaged(path, found.under, found.averaged)
    if found.under:
        notes = [f"under {found.under}", *notes]
    return state, rest, f"{named} ({'; '.join(notes)})" if notes else str(named)


def find_file(path: str | Path) -> Path:
    """Find the file that weights are in.

    Args:
        path: of a file, the folder of a training run or of weights in several files, whose index
            it is then, or the name of shipped weights

    Raises:
        WeightsError: there is none
    """
    path = find_weights(path)
    try:
        if path.is_dir():
            names = (name for name in INDEXES if (path / name).is_file())
            path = path / (RESULT if (path / RESULT).is_file() else next(names, RESULT))
        if path.is_file():
            return path
    except (OSError, ValueError) as error:  # a name too long, or none for this system
        raise WeightsError(f"{path}: no such file ({error})") from error
    named = f" (by name there is {', '.join(list_shipped())})" if not path.suffix else ""
    raise WeightsError(f"{path}: no such file{named}")


def check_tensors(state: Mapping[str, Tensor]) -> None:
    """Check that a network can work with tensors: dense numbers, all of them finite as float32.

    Args:
        state: tensors by name

    Raises:
        ValueError: the first tensor that is sparse, complex, quantised, without memory of its own
            for every number, not finite, or a negative variance; the message names it. Or more
            names that share their numbers than a network has, so that a small file takes hours
    """
    for name, tensor in state.items():
        if tensor.layout != torch.strided or tensor.is_nested or tensor.device.type == "meta":
            raise ValueError(f"expected a dense tensor but {name} is none")
        if tensor.dtype not in (*_FLOATS, *_INTEGERS):
            raise ValueError(f"expected numbers but {name} has {tensor.dtype}")
        room = tensor.untyped_storage().nbytes()
        if tensor.device.type == "cpu" and room < tensor.numel() * tensor.element_size():
            raise ValueError(f"expected memory for every number but {name} repeats some")
    stored = [each.untyped_storage() for each in state.values()]
    sizes = {each.data_ptr(): each.nbytes() for each in stored}  # of shared memory once
    named = sum(each.numel() * each.element_size() for each in state.values())
    if named > 2 * sum(sizes.values()):
        raise ValueError(f"expected numbers of its own for each of {len(state)} names")
    for name, tensor in state.items():
        if tensor.dtype not in _FLOATS:
            continue
        numbers = tensor.detach().float()  # what is finite as float64 need not be so here
        bad = int((~torch.isfinite(numbers)).sum())
        if bad:
            raise ValueError(
                f"expected finite numbers but {name} has {bad} of {tensor.numel()} that are not"
            )
        if name.endswith(".running_var") and bool((numbers < 0).any()):
            raise ValueError(f"expected a variance from 0 but {name} has a negative one")


def read_state_dict(path: str | Path) -> dict[str, torch.Tensor]:
    """Read the tensors of a file of weights under this project's names.

    Raises:
        WeightsError: the file is missing, broken, or holds something else
    """
    return rename(read_file(path)[0])


@dataclass(frozen=True)
class Misfits:
    """Tensors by which weights and a network differ; its text counts them and names the first.

    Args:
        missing: names of those that only the network has
        unexpected: names of those that only the weights have
        misshapen: a text for each of another shape, beginning with its name
    """

    missing: list[str]
    unexpected: list[str]
    misshapen: list[str]

    def __len__(self) -> int:
        return len(self.missing) + len(self.unexpected) + len(self.misshapen)

    def __str__(self) -> str:
        kinds = {"missing": self.missing, "unexpected": self.unexpected}
        kinds["of another shape"] = self.misshapen
        return "; ".join(
            f"{len(names)} {kind} ({', '.join(names[:_SHOWN])}{', ...' * (len(names) > _SHOWN)})"
            for kind, names in kinds.items()
            if names
        )


def find_misfits(wanted: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> Misfits:
    """Find every missing, unexpected and misshapen tensor.

    Args:
        wanted: tensors of the network, by name
        state: tensors of the file, by name

    >>> wanted = {"a": torch.zeros(1), "b": torch.zeros(2), "c": torch.zeros(3)}
    >>> print(find_misfits(wanted, {"b": torch.zeros(1), "c": torch.zeros(3)}))
    1 missing (a); 1 of another shape (b is (1,), expected (2,))
    """
    return Misfits(
        [name for name in wanted if name not in state],
        [_shorten(name) for name in state if name not in wanted],
        [
            f"{name} is {tuple(state[name].shape)}, expected {tuple(tensor.shape)}"
            for name, tensor in wanted.items()
            if name in state and state[name].shape != tensor.shape
        ],
    )


def _shorten(name: str) -> str:
    return name if len(name) <= _LONGEST_SHOWN else f"{name[: _LONGEST_SHOWN - 3]}..."


def fill(
    model: nn.Module, state: Mapping[str, torch.Tensor], source: str | Path | None = None
) -> None:
    """Fill a network with weights that fit it exactly, regularizing layers aside.

    Those of a layer count where network and weights both have some.

    Args:
        model: changed in place
        state: tensors by name
        source: file that they are from, for messages

    Raises:
        ValueError: missing, unexpected or misshapen tensors; the message names the first ones
    """
    own = model.state_dict()
    state = match_layers(own, state)
    misfits = find_misfits(own, state)
    if misfits:
        spec = getattr(model, "spec", None)
        head = () if spec is None else f"{spec.classifier}."
        other = [each for each in misfits.misshapen if each.startswith(head)]
        hint = "; for other classes leave its classifier out (new_head)"
        named = "" if source is None else f"{source}: "
        raise ValueError(
            f"{named}weights do not fit the network: tensors {misfits}"
            f"{hint if len(other) == len(misfits) else ''}"
        )
    for name, tensor in state.items():
        if own[name].is_floating_point() and not tensor.is_floating_point():
            named = "" if source is None else f"{source}: "
            raise ValueError(
                f"{named}weights do not fit the network: {name} has {tensor.dtype} for numbers "
                "with fractions; weights that were quantised have to be scaled back first"
            )
    model.load_state_dict(state)
