"""Records in one line: arrays and tensors by type and shape, many things by their number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import PurePath
from typing import Any

_MOST = 4  # things that are written one by one
_LONGEST = 80  # characters of any other value


def brief_repr(record: Any) -> str:
    """Write a dataclass in one line, for `__repr__ = brief_repr` in its body.

    Args:
        record: a dataclass; fields with `repr=False` are left out

    >>> from dataclasses import dataclass
    >>> import numpy as np
    >>> @dataclass
    ... class Seen:
    ...     map: np.ndarray
    ...     names: tuple
    ...     __repr__ = brief_repr
    >>> Seen(np.zeros((7, 7)), ("cat",)), Seen(np.ones(3), tuple("abcdef"))
    (Seen(map=float64 (7, 7), names=('cat',)), Seen(map=[1, 1, 1], names=<6 of str>))
    """
    names = [each.name for each in fields(record) if each.repr]
    shown = ", ".join(f"{name}={_brief(getattr(record, name))}" for name in names)
    return f"{type(record).__name__}({shown})"


def _brief(value: Any) -> str:
    shape = getattr(value, "shape", ())
    if len(shape) == 1 and len(value) <= _MOST:
        return _brief(value.tolist())
    if len(shape):
        return f"{str(value.dtype).removeprefix('torch.')} {tuple(shape)}"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, PurePath):
        return repr(str(value))
    if isinstance(value, Mapping):
        parts = [f"{key!r}: {_brief(each)}" for key, each in list(value.items())[:_MOST]]
        more = ["..."] if len(value) > _MOST else []
        return f"{{{', '.join(parts + more)}}}"
    if isinstance(value, (tuple, list)) and value:
        if len(value) > _MOST or any(is_dataclass(each) for each in value):
            return f"<{len(value)} of {' and '.join(_kinds(value))}>"
        inside = ", ".join(map(_brief, value))
        comma = "," if len(value) == 1 else ""
        return f"[{inside}]" if isinstance(value, list) else f"({inside}{comma})"
    text, half = repr(value), _LONGEST // 2
    if len(text) <= _LONGEST or is_dataclass(value):
        return text
    return f"{text[:half]}...{text[-half:]}"


def _kinds(values: tuple[Any, ...] | list[Any]) -> list[str]:
    return list(dict.fromkeys(type(each).__name__ for each in values))
