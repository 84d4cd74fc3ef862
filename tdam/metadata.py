"""What one of our files of weights says of its network: read as a stranger's, field by field."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from tdam.attention import ORDERS, POOLINGS
from tdam.attentions import SEARCHLIGHTS
from tdam.preprocessing import MAX_SIDE, MIN_SIDE
from tdam.recurrence import MAX_STEPS
from tdam.spec import HEADS
from tdam.strict_json import dumps, loads
from tdam.toml_records import check_keys, fit_fields, show

if TYPE_CHECKING:
    from collections.abc import Sequence

LEARNED = "learned"  # key, among the settings, of what training adds: input, names, threshold
_INPUT = "preprocessing"  # key, among what training adds, of the input
_LONGEST = 4 * 2**20  # characters of the whole text; the names of 100,000 classes need fewer
_LONGEST_NAME = 1000  # characters

_RANGES: dict[str, tuple[float, float]] = {
    "num_classes": (1, 1_000_000),
    "steps": (1, MAX_STEPS),
    "distance": (0, MAX_STEPS),
    "threshold": (0, 1),
    "acol_threshold": (0, 1),
    "adl_rate": (0, 1),
    "adl_threshold": (0, 1),
    "size": (MIN_SIDE, MAX_SIDE),
    "resize": (MIN_SIDE, 2 * MAX_SIDE),
    "mean": (-1000, 1000),
    "std": (1e-6, 1e6),
}
_CHOICES: dict[str, tuple[Any, ...]] = {
    "searchlight": tuple(SEARCHLIGHTS),
    "order": ORDERS,
    "pooling": POOLINGS,
    "output_stride": (32, 16, 8),
    "head": HEADS,
    "mode": ("squash", "crop"),
    "interpolation": ("bilinear", "bicubic"),
}
_WORDS = ("name", "attention", "regularizer", "method")  # of registries, or a class's name


@dataclass(frozen=True)
class _Settings:
    """Arguments of `create_model` that a file may name; it names no other file."""

    name: str
    num_classes: int
    attention: str = "none"
    steps: int = 2
    distance: int = 1
    searchlight: str = "joint"
    order: str = "channel->spatial"
    pooling: str = "average"
    output_stride: int = 32
    dilated: bool = True
    head: str = "own"
    regularizer: str = "none"
    regularized: tuple[str, ...] = ()
    acol_threshold: float = 0.7
    adl_rate: float = 0.75
    adl_threshold: float = 0.9


@dataclass(frozen=True)
class _Learned:
    """What training adds, the input aside."""

    method: str
    map_layer: str
    class_names: tuple[str, ...] | None = None
    threshold: float | None = None


@dataclass(frozen=True)
class _Input:
    """The input, as `Preprocessing` has it."""

    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    mode: str
    resize: int | None = None
    interpolation: str = "bilinear"


def read_metadata(text: Any) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Read what a file of ours says of its network, and take nothing that breaks a rule.

    Args:
        text: as `save_checkpoint` wrote it

    Returns:
        arguments of `create_model`, none of which names a file; and what training added:
        `class_names`, `threshold`, `method`, `map_layer` and the arguments of `Preprocessing`
        under `preprocessing`, or None where nothing was

    Raises:
        ValueError: too long, no JSON, an unknown key, or a value of another type or out of range
    """
    if not isinstance(text, str) or len(text) > _LONGEST:
        raise ValueError(f"Expected metadata to be a text of at most {_LONGEST} characters")
    content = loads(text)
    check_keys("metadata", content, [*(each.name for each in fields(_Settings)), LEARNED])
    learned = content.pop(LEARNED, None)
    settings = _fit("settings", _Settings, content)
    if learned is None:
        return settings, None
    check_keys("what is learned", learned, [*(each.name for each in fields(_Learned)), _INPUT])
    shown = _fit("the input", _Input, learned.pop(_INPUT, None))
    added = _fit("what is learned", _Learned, learned)
    names, count = added["class_names"], settings["num_classes"]
    if names is not None and len(names) != count:
        raise ValueError(f"Expected class_names to be {count} names but got {len(names)}")
    return settings, {**added, _INPUT: shown}


def check_class_names(names: Sequence[str]) -> None:
    """Check that a file of weights can hold the names of classes.

    Args:
        names: by label

    Raises:
        ValueError: no name, one with half a character, as bytes that are not UTF-8 give, or one
            too long; or more of them than a file holds
    """
    _check("class_names", tuple(names))
    if len(dumps(list(names))) > _LONGEST // 2:
        raise ValueError(f"Expected class_names of at most {_LONGEST // 2} characters in all")


def _fit(what: str, record: type, content: Any) -> dict[str, Any]:
    """Fit a table to a record, values in their range; null stands for a default of None."""
    optional = {each.name for each in fields(record) if each.default is None}
    if isinstance(content, dict):
        content = {k: v for k, v in content.items() if v is not None or k not in optional}
    values = fit_fields(what, record, content)
    for name, value in values.items():
        _check(name, value)
    if "std" in values and not len(values["mean"]) == len(values["std"]) == 3:
        raise ValueError("Expected mean and std to be three numbers each")
    return {**dict.fromkeys(optional), **values}


def _check(name: str, value: Any) -> None:
    if name in _CHOICES and value not in _CHOICES[name]:
        known = ", ".join(map(str, _CHOICES[name]))
        raise ValueError(f"Expected {name} to be one of {known} but got {show(value)}")
    if name in _RANGES:
        low, high = _RANGES[name]
        for each in value if isinstance(value, tuple) else (value,):
            if not low <= each <= high:
                raise ValueError(
                    f"Expected {name} to be from {low:g} to {high:g} but got {show(each)}"
                )
    if name in _WORDS and not (value.isprintable() and 0 < len(value) <= 100):
        raise ValueError(f"Expected {name} to be a name but got {show(value)}")
    texts = value if isinstance(value, tuple) else (value,)
    for text in texts:
        if isinstance(text, str) and any("\ud800" <= char <= "\udfff" for char in text):
            raise ValueError(f"Expected {name} to be text but got {show(text)}, half a character")
        if name == "class_names" and not text.strip():
            raise ValueError(f"Expected class_names to be names but one is {show(text)}")
        if isinstance(text, str) and len(text) > _LONGEST_NAME:
            raise ValueError(
                f"Expected {name} of at most {_LONGEST_NAME} characters but got {len(text)}"
            )
    if name == "map_layer" and not value:
        raise ValueError("Expected map_layer to name a module but it is empty")
