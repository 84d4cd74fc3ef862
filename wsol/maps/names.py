"""The registry of map methods, which needs no torch until a method is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

    from wsol.maps.core import MapExtractor

METHODS: dict[str, str] = {
    "cam": "wsol.maps.activation:CAM",
    "gradcam": "wsol.maps.gradient:GradCAM",
    "gradcampp": "wsol.maps.gradient:GradCAMpp",
    "xgradcam": "wsol.maps.gradient:XGradCAM",
    "layercam": "wsol.maps.gradient:LayerCAM",
    "scorecam": "wsol.maps.masking:ScoreCAM",
}


def check_method(name: str) -> str:
    """Return a method's registered name.

    Args:
        name: in any case, with or without `-` and `_`, and with `++` for `pp`

    Raises:
        ValueError: no method has this name; the message lists those there are
    """
    key = name.lower().replace("-", "").replace("_", "").replace("++", "pp")
    if key not in METHODS:
        raise ValueError(f"Expected method to be one of {', '.join(METHODS)} but got {name!r}")
    return key


def settle_method(name: str, model: nn.Module) -> str:
    """Return a method's registered name.

    Args:
        name: as for `check_method`, or `auto` for the one that the network names, else CAM
        model: the network

    Raises:
        ValueError: no method has this name, or the network's head rules it out
    """
    spec = getattr(model, "spec", None)
    if name == "auto":
        return "cam" if spec is None else str(spec.method)
    method = check_method(name)
    if method == "cam" and spec is not None and not spec.cam:
        raise ValueError(
            "Expected method to be another than cam, which asks for one linear layer behind the "
            f"pooling, as {spec.name} has none; use {spec.method}"
        )
    return method


def find_method(name: str) -> type[MapExtractor]:
    """Look a map method up.

    Args:
        name: as for `check_method`

    Returns:
        the extractor's class

    Raises:
        ValueError: no method has this name; the message lists those there are
    """
    module, _, attribute = METHODS[check_method(name)].partition(":")
    found: type[MapExtractor] = getattr(import_module(module), attribute)
    return found
