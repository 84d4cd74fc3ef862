"""Class maps: extractors by the names that the ecosystem knows them under."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsol.maps.names import METHODS, find_method

if TYPE_CHECKING:
    from wsol.maps.core import MapExtractor

_METHOD_OF = {path.rpartition(":")[2]: method for method, path in METHODS.items()}  # by class name

__all__ = ["METHODS", "MapExtractor", "find_method"]
__all__ += _METHOD_OF


def __getattr__(name: str) -> type[MapExtractor]:
    if name == "MapExtractor":
        from wsol.maps.core import MapExtractor

        return MapExtractor
    if name in _METHOD_OF:
        return find_method(_METHOD_OF[name])
    raise AttributeError(f"module 'wsol.maps' has no attribute {name!r}")
