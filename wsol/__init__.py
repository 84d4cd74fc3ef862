"""Weakly-supervised object localization: boxes from classifiers trained with image labels only.

Names are imported when they are first used, so that `import wsol` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wsol.boxes import sweep_boxes, threshold_boxes
    from wsol.evaluation.evaluate import evaluate, evaluate_maps
    from wsol.localizer import Localizer
    from wsol.results import Localization

__all__ = [
    "Localization",
    "Localizer",
    "evaluate",
    "evaluate_maps",
    "sweep_boxes",
    "threshold_boxes",
]

_HOMES = {
    "Localization": "wsol.results",
    "Localizer": "wsol.localizer",
    "evaluate": "wsol.evaluation.evaluate",
    "evaluate_maps": "wsol.evaluation.evaluate",
    "sweep_boxes": "wsol.boxes",
    "threshold_boxes": "wsol.boxes",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'wsol' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
