"""Weakly-supervised object localization: boxes from classifiers trained with image labels only.

Names are imported when they are first used, so that `import wsol` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wsol.attention_shift.run import shift
    from wsol.boxes import sweep_boxes, threshold_boxes
    from wsol.localizer import Localizer
    from wsol.results import Localization
    from wsol.workflows.benchmark import benchmark
    from wsol.workflows.calibrate import calibrate
    from wsol.workflows.compare import compare
    from wsol.workflows.evaluate import evaluate, evaluate_maps
    from wsol.workflows.export import export_network
    from wsol.workflows.reproduce import reproduce
    from wsol.workflows.train import train

__all__ = [
    "Localization",
    "Localizer",
    "benchmark",
    "calibrate",
    "compare",
    "evaluate",
    "evaluate_maps",
    "export_network",
    "reproduce",
    "shift",
    "sweep_boxes",
    "threshold_boxes",
    "train",
]

_HOMES = {
    "Localization": "wsol.results",
    "Localizer": "wsol.localizer",
    "benchmark": "wsol.workflows.benchmark",
    "calibrate": "wsol.workflows.calibrate",
    "compare": "wsol.workflows.compare",
    "evaluate": "wsol.workflows.evaluate",
    "evaluate_maps": "wsol.workflows.evaluate",
    "export_network": "wsol.workflows.export",
    "reproduce": "wsol.workflows.reproduce",
    "shift": "wsol.attention_shift.run",
    "sweep_boxes": "wsol.boxes",
    "threshold_boxes": "wsol.boxes",
    "train": "wsol.workflows.train",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'wsol' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return list(__all__)
