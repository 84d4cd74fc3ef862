"""From TOML to the fields of a frozen record, with every fault in one sentence."""

from __future__ import annotations

import sys
import tomllib
from dataclasses import MISSING, fields
from difflib import get_close_matches
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

_MOST_BYTES = 2**22  # of a file; what is longer is cut, and so no TOML
_MOST_LEVELS = 32  # of tables and lists in tables and lists
_WORDS = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
_SHOWN = 5  # unknown keys that a message lists
_SEVERAL = {int: "whole numbers", float: "numbers", str: "texts", bool: "true or false"}


def read_toml(path: Path, what: str) -> tuple[dict[str, Any], str]:
    """Read a TOML file.

    Args:
        path: of the file
        what: what the file should be, for messages, such as `a recipe`

    Returns:
        its content, and the text itself

    Raises:
        ValueError: a file that cannot be read, is not UTF-8 or not TOML; the message names it
    """
    try:
        with path.open("rb") as file:
            text = file.read(_MOST_BYTES).decode("utf-8-sig").replace("\r\n", "\n")
        content = tomllib.loads(text)
    except OSError as error:
        raise ValueError(f"Expected {what} but {path}: {error.strerror}") from error
    except RecursionError as error:
        raise ValueError(f"Expected {what} but {path} is nested too deep") from error
    except ValueError as error:  # of the encoding, or of TOML
        raise ValueError(f"Expected {what} but {path}: {str(error)[:200]}") from error
    if _count_levels(content) > _MOST_LEVELS:
        raise ValueError(f"Expected {what} but {path} is nested too deep")
    return content, text


def _count_levels(content: Any) -> int:
    levels, level = 0, [content]
    while level and levels <= _MOST_LEVELS:
        levels += 1
        inner = (each.values() if isinstance(each, dict) else each for each in level)
        level = [value for values in inner for value in values if isinstance(value, (dict, list))]
    return levels


def show(value: Any) -> str:
    """Quote a value in a message, shortened if need be."""
    try:
        text = repr(value)
    except RecursionError:
        text = type(value).__name__
    return text if len(text) <= 60 else f"{text[:57]}..."


def _is_plain(key: str) -> bool:
    """Tell whether a key can stand in a message without quotes."""
    return key.isprintable() and len(key) <= 60


def check_keys(what: str, content: Any, known: Collection[str]) -> None:
    """Check the keys of a table.

    Args:
        what: what the table is, for messages, such as `a recipe`
        content: the table
        known: keys that it may have

    Raises:
        ValueError: no table, or another key; the message lists those there are, and near ones
    """
    if not isinstance(content, dict):
        raise ValueError(f"Expected {what} to be a table but got {show(content)}")
    unknown = sorted(set(content) - set(known))
    if unknown:
        few = ", ".join(key if _is_plain(key) else show(key) for key in unknown[:_SHOWN])
        more = ", ..." if len(unknown) > _SHOWN else ""
        near = [key for each in unknown[:_SHOWN] for key in get_close_matches(each[:60], known)]
        hint = f"; near it: {', '.join(dict.fromkeys(near))}" if near else ""
        raise ValueError(
            f"Expected {what} to have keys among {', '.join(known)} but got {few}{more}{hint}"
        )


def fit_fields(what: str, record: type, content: Any) -> dict[str, Any]:
    """Turn a table into arguments of a record.

    Args:
        what: what the table is, for messages
        record: a dataclass, whose fields are the keys
        content: the table; keys may be missing whose fields have a default

    Raises:
        ValueError: no table, a key that is no field, a missing one, or a value of another type

    >>> from tdam.preprocessing import Preprocessing
    >>> fit_fields("an input", Preprocessing, {"size": 64, "mode": "crop"})
    {'size': 64, 'mode': 'crop'}
    """
    every = [each.name for each in fields(record)]
    check_keys(what, content, every)
    needed = [
        each.name
        for each in fields(record)
        if each.default is MISSING and each.default_factory is MISSING
    ]
    for name in needed:
        if name not in content:
            raise ValueError(f"Expected {what} to have {', '.join(needed)} but {name} is missing")
    kinds = get_type_hints(record)
    return {name: _fit(name, value, kinds[name]) for name, value in content.items()}


def _fit(name: str, value: Any, kind: Any) -> Any:
    """Give a value a field's type, where nothing is lost; None is what a missing key gives."""
    options = [each for each in _options(kind) if each is not NoneType]
    kind = options[0] if get_origin(kind) is UnionType and len(options) == 1 else kind
    if get_origin(kind) is tuple and isinstance(value, (list, tuple)):
        each = get_args(kind)[0]
        if all(_fits(one, each) for one in value):
            return tuple(float(one) if each is float else one for one in value)
    elif _fits(value, kind):
        return float(value) if kind is float else value
    raise ValueError(f"Expected {name} to be {_describe(kind)} but got {show(value)}")


def _fits(value: Any, kind: Any) -> bool:
    """Tell whether a value is of a type: whole numbers are numbers, truth values are not."""
    allowed = {type(each) if get_origin(kind) is Literal else each for each in _options(kind)}
    if type(value) is int and float in allowed and int not in allowed:
        return abs(value) <= sys.float_info.max
    return type(value) in allowed


def _options(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if get_origin(kind) in (Literal, UnionType) else (kind,)


def _describe(kind: Any) -> str:
    """Say in words what type a field has."""
    if get_origin(kind) is tuple:
        return "a list of " + " or ".join(_SEVERAL[each] for each in _options(get_args(kind)[0]))
    if get_origin(kind) is Literal:
        return _WORDS[type(get_args(kind)[0])]
    return " or ".join(_WORDS[each] for each in _options(kind))
