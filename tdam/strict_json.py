"""JSON as the standard has it: no NaN and no Infinity, neither written nor read."""

from __future__ import annotations

import json
from math import isfinite
from typing import Any, NoReturn


def dumps(value: Any, **options: Any) -> str:
    """Write a value as JSON; a number that is not finite is undefined, and becomes null.

    Args:
        value: plain values
        options: of `json.dumps`

    >>> dumps({"iou": float("nan"), "images": 0})
    '{"iou": null, "images": 0}'
    """
    try:
        return json.dumps(value, allow_nan=False, **options)
    except ValueError:  # rare, so that only then everything is copied
        return json.dumps(_without_undefined(value), allow_nan=False, **options)


def loads(text: str | bytes) -> Any:
    """Read JSON, every number of which is finite.

    Raises:
        ValueError: no JSON, NaN, Infinity, a number beyond the range of floats, a key that comes
            twice in an object, or lists in lists too deep to be read
    """
    try:
        return json.loads(
            text, parse_constant=_refuse, parse_float=_to_float, object_pairs_hook=_to_object
        )
    except RecursionError:
        raise ValueError("Expected JSON but its lists and objects are nested too deeply") from None


def _without_undefined(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_undefined(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_undefined(each) for each in value]
    return None if isinstance(value, float) and not isfinite(value) else value


def _to_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"Expected JSON with every key once but got {twice[:60]!r} twice")
    return content


def _to_float(text: str) -> float:
    value = float(text)
    return value if isfinite(value) else _refuse(text)


def _refuse(text: str) -> NoReturn:
    shown = text if len(text) <= 20 else f"{text[:17]}..."
    raise ValueError(f"Expected JSON with finite numbers but got {shown}")
