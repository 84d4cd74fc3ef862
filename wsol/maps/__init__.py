"""Class maps: extractors by the names that the ecosystem knows them under."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsol.maps.names import METHODS, find_method

if TYPE_CHECKING:
    from wsol.maps.activation import CAM
    from wsol.maps.core import MapExtractor
    from wsol.maps.gradient import GradCAM, GradCAMpp, LayerCAM, XGradCAM
    from wsol.maps.masking import ScoreCAM

__all__ = [
    "CAM",
    "METHODS",
    "GradCAM",
    "GradCAMpp",
    "LayerCAM",
    "MapExtractor",
    "ScoreCAM",
    "XGradCAM",
    "find_method",
]


def __getattr__(name: str) -> type[MapExtractor]:
    if name == "MapExtractor":
        from wsol.maps.core import MapExtractor

        return MapExtractor
    if name in {path.rpartition(":")[2] for path in METHODS.values()}:
        return find_method(name)
    raise AttributeError(f"module 'wsol.maps' has no attribute {name!r}")
