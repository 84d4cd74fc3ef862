"""What trainers put around weights: dicts that hold the state dict, prefixes of tensor names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from tdam.toml_records import show

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from torch import Tensor

WRAPPERS = (
    *("state_dict", "model_state_dict", "model_state", "model", "module"),
    *("net", "network", "params", "weights"),
)
AVERAGED = ("state_dict_ema", "model_ema", "ema_state_dict", "ema", "params_ema")
PREFIXES = ("module.", "model.", "net.", "network.", "backbone.", "encoder.")
_COMPILED = "_orig_mod."  # of torch.compile, before the names in any module that it compiled
_COMPILED_ANYWHERE = re.compile(rf"(?:^|(?<=\.)){re.escape(_COMPILED)}")
_COUNTERS = ("n_averaged",)  # of torch's AveragedModel
_DEEPEST = 4  # dicts in dicts; a pickle can hold one that holds itself
_LONGEST_NAME = 500  # characters of a tensor's name
_SHOWN = 5  # names that a message lists


@dataclass(frozen=True)
class Unwrapped:
    """Weights taken out of the dicts around them.

    Args:
        content: what should be tensors by name
        rest: what else these dicts hold
        under: keys of the dicts that were opened, joined by dots; empty where none was
        averaged: keys of averaged weights that were left, likewise
    """

    content: Mapping[Any, Any]
    rest: dict[str, Any]
    under: str
    averaged: tuple[str, ...]


def unwrap(content: Mapping[Any, Any]) -> Unwrapped:
    """Take weights out of the dicts around them.

    A dict is opened where it is under one of `WRAPPERS` and holds tensors, or, where none is, under
    one of `AVERAGED`.

    Args:
        content: of a file

    Raises:
        ValueError: no weights, or several between which no rule decides; the message names them

    >>> found = unwrap({"model": {"state_dict": {"fc.bias": torch.zeros(2)}}, "epoch": 3})
    >>> found.under, list(found.content), found.rest
    ('model.state_dict', ['fc.bias'], {'epoch': 3})
    """
    rest: dict[str, Any] = {}
    keys: list[str] = []
    averaged: list[str] = []
    for _ in range(_DEEPEST):
        under = ".".join(keys)
        inside = f"{under}." if under else ""
        plain = [key for key in WRAPPERS if _holds_weights(content.get(key))]
        means = [key for key in AVERAGED if _holds_weights(content.get(key))]
        own = _is_state(content)
        if plain or own:
            averaged += [inside + key for key in means]
        choice = plain or ([] if own else means)
        if not choice:
            _check_content(content, inside)
            return Unwrapped(content, rest, under, tuple(averaged))
        if own or len(choice) > 1:
            places = [*([under or "the top"] if own else []), *(inside + key for key in choice)]
            raise ValueError(
                f"expected weights in one place but got some at {_list(places)}; save those that "
                "are meant as a file of their own"
            )
        rest = {key: value for key, value in content.items() if key != choice[0]} | rest
        keys += choice
        content = content[choice[0]]
    raise ValueError(f"expected at most {_DEEPEST - 1} dicts around the weights but got more")


def _is_state(content: Mapping[Any, Any]) -> bool:
    """Tell whether a dict has tensors of a network's layers: beside weights lie numbers, too."""
    return any(
        isinstance(key, str) and "." in key and isinstance(value, torch.Tensor) and value.ndim > 0
        for key, value in content.items()
    )


def _holds_weights(content: Any) -> bool:
    """Tell whether a value is a state dict, or has one under the keys of the table."""
    found = [content]
    for _ in range(_DEEPEST):
        dicts = {id(each): each for each in found if isinstance(each, dict)}  # a pickle shares them
        if any(map(_is_state, dicts.values())):
            return True
        found = [each.get(key) for each in dicts.values() for key in (*WRAPPERS, *AVERAGED)]
    return False


def _check_content(content: Mapping[Any, Any], inside: str) -> None:
    """Refuse a dict that is no state dict, by the name of what it is.

    Raises:
        ValueError: it is empty, of an optimizer, or holds weights under keys of no rule
    """
    if not content:
        raise ValueError("expected tensors by name but got an empty dict")
    if _is_state(content):
        return
    dicts = {id(value): key for key, value in content.items() if isinstance(value, dict)}
    others = [key for key in dicts.values() if _is_state(content[key])]
    if others:
        raise ValueError(
            f"expected weights under one of {', '.join(WRAPPERS)} but got some under "
            f"{_list(others)}; save those that are meant as a file of their own"
        )
    empty = [key for key in (*WRAPPERS, *AVERAGED) if content.get(key) == {}]
    if empty:
        raise ValueError(f"expected tensors by name but {inside}{empty[0]} is an empty dict")
    nested = (content[key] for key in dicts.values())
    if not inside and any("param_groups" in each for each in (content, *nested)):
        raise ValueError("expected tensors by name but got an optimizer's state and no weights")
    if any(isinstance(value, torch.Tensor) for value in content.values()):
        return
    raise ValueError(f"expected tensors by name but got none, only {_list(list(content))}")


def _list(names: Sequence[Any]) -> str:
    shown = (
        name if isinstance(name, str) and name.isprintable() and len(name) <= 60 else show(name)
        for name in names[:_SHOWN]
    )
    return ", ".join(shown) + ", ..." * (len(names) > _SHOWN)


def name_tensors(
    content: Mapping[Any, Any], wanted: Collection[str] = ()
) -> tuple[dict[str, Tensor], list[str]]:
    """Name tensors as their network does, without what trainers put before the names.

    `_orig_mod.` goes wherever it stands, as `torch.compile` also puts it before submodules. Other
    `PREFIXES` go, one after another, while all tensors have them, and none is called as one of the
    network's own. Counts that are of no network, such as `n_averaged`, go as well.

    Args:
        content: what should be tensors by name
        wanted: names of tensors of the network, as far as they are known

    Returns:
        tensors by name, and what was dropped, or kept although some have it, in words for messages

    Raises:
        ValueError: a name that no tensor has, or one that comes twice; or no tensor

    >>> name_tensors({"n_averaged": torch.zeros(()), "module.net.fc.bias": torch.zeros(2)})
    ({'fc.bias': tensor([0., 0.])}, ['without the prefix module.', 'without the prefix net.'])
    """
    state: dict[str, Tensor] = {}
    for key, value in content.items():
        if not isinstance(key, str) or len(key) > _LONGEST_NAME or not key.isprintable():
            raise ValueError(f"expected tensors by name but got {show(key)}")
        if not isinstance(value, torch.Tensor):
            raise ValueError(f"expected tensors by name but {show(key)} is not one")
        name = key if key in wanted else _COMPILED_ANYWHERE.sub("", key)
        if name in state:
            raise ValueError(f"expected every tensor once but {name} comes twice")
        if name in wanted or name.rpartition(".")[2] not in _COUNTERS:
            state[name] = value
    if not state:
        raise ValueError("expected tensors by name but got none of a network")
    compiled = any(_COMPILED_ANYWHERE.search(key) for key in content if key not in state)
    dropped = [_COMPILED] if compiled else []
    while prefix := _find_prefix(state, wanted):
        dropped.append(prefix)
        state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    notes = [f"without the prefix {prefix}" for prefix in dropped]
    for prefix in PREFIXES:
        having = sum(name.startswith(prefix) for name in state)
        if having and not any(name.startswith(prefix) for name in wanted):
            notes.append(f"with the prefix {prefix}, which {having} of {len(state)} tensors have")
    return state, notes


def _find_prefix(names: Collection[str], wanted: Collection[str]) -> str | None:
    """Find a prefix that all tensors have though none is named as the network's own."""
    if any(name in wanted for name in names):
        return None
    for prefix in PREFIXES:
        if all(name.startswith(prefix) and name != prefix for name in names):
            return prefix
    return None
