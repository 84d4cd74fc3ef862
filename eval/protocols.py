"""Localization protocols as frozen records: every choice that a score depends on, with a name."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from eval.geometry import Convention
from eval.parsing import read_toml, show
from eval.splits import ManifestError

ClassMap = Literal["ground_truth", "predicted"]


@dataclass(frozen=True)
class Protocol:
    """How a map becomes a box, and when a box counts as right.

    Args:
        name: what the results are printed under
        source: where the protocol is defined
        image: what a network sees, the whole image squashed to a square (`squash`), or the centre
            of the image resized to 256 (`crop`)
        size: side of the square that maps and boxes are compared in, in pixels
        interpolation: how a small map is resized to that square, before it is stretched to [0, 1]
        levels: number of steps between 0 and 1 that a map is quantised to
        rounding: whether to quantise to the level below or to the nearest one
        interval: step of the grid of thresholds
        threshold: the protocol's own, where none is asked for; None means the best on the split
            that is scored
        contours: the contour whose box GT-known, Top-1 and Top-5 Loc use: the one with the largest
            polygon area, or the one with the most points after straight runs are shortened
        least_points: points that this contour must exceed, or there is no box
        convention: what a box's four numbers mean when overlaps are computed
        strict: whether an overlap must exceed a limit instead of reaching it
        class_map: whose map makes the boxes, where nothing else is asked for
        deltas: overlaps that count as a hit, in percent
        centre_box: the baseline box in the middle, x0 y0 x1 y1
    """

    name: str
    source: str = field(compare=False)  # a file may have many paths
    image: Literal["squash", "crop"] = "squash"
    size: int = 224
    interpolation: Literal["bicubic", "bilinear"] = "bicubic"
    levels: int = 255
    rounding: Literal["below", "nearest"] = "below"
    interval: float = 0.001
    threshold: float | None = None
    contours: Literal["largest", "most_points"] = "largest"
    least_points: int = 0
    convention: Convention = "inclusive"
    strict: bool = False
    class_map: ClassMap = "ground_truth"
    deltas: tuple[int, ...] = (30, 50, 70)
    centre_box: tuple[int, int, int, int] = (33, 33, 191, 191)

    def __post_init__(self) -> None:
        for name, kinds in _TYPES.items():
            value = getattr(self, name)
            if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
                wanted = " or ".join(kind.__name__ for kind in kinds)
                raise ValueError(f"Expected {name} to be {wanted} but got {show(value)}")
        for name, value, allowed in (
            ("image", self.image, ("squash", "crop")),
            ("interpolation", self.interpolation, ("bicubic", "bilinear")),
            ("rounding", self.rounding, ("below", "nearest")),
            ("contours", self.contours, ("largest", "most_points")),
            ("convention", self.convention, get_args(Convention)),
            ("class_map", self.class_map, get_args(ClassMap)),
        ):
            if value not in list(allowed):
                raise ValueError(f"Expected {name} to be one of {allowed} but got {show(value)}")
        for name, good, wanted in (
            ("size", 1 <= self.size <= 4096, "from 1 to 4096"),
            ("levels", 1 <= self.levels <= 255, "from 1 to 255"),
            ("interval", 1e-4 <= self.interval <= 0.5, "from 0.0001 to 0.5"),
            ("threshold", self.threshold is None or 0 <= self.threshold <= 1, "from 0 to 1"),
            ("deltas", _are_percent(self.deltas), "whole percentages, 50 among them"),
            ("centre_box", _is_box(self.centre_box), "four whole numbers"),
        ):
            if not good:
                raise ValueError(
                    f"Expected {name} to be {wanted} but got {show(getattr(self, name))}"
                )

    @property
    def thresholds(self) -> np.ndarray:
        """The grid of thresholds from 0 to below 1, float64."""
        return np.arange(0, 1, self.interval)

    @property
    def baselines(self) -> dict[str, tuple[int, int, int, int]]:
        """Boxes that need no network, in pixels of the square."""
        last = self.size - 1 if self.convention == "inclusive" else self.size
        return {"centre_box": self.centre_box, "full_image": (0, 0, last, last)}

    def hits(self, overlaps: np.ndarray, delta: float) -> np.ndarray:
        """Tell which overlaps count.

        Args:
            overlaps: intersection over union, any shape
            delta: the limit, in percent
        """
        return overlaps > delta / 100 if self.strict else overlaps >= delta / 100


def _are_percent(deltas: tuple[Any, ...]) -> bool:
    whole = all(type(delta) is int and 0 < delta <= 100 for delta in deltas)
    return whole and 50 in deltas and len(set(deltas)) == len(deltas)


def _is_box(box: tuple[Any, ...]) -> bool:
    return len(box) == 4 and all(type(number) is int for number in box)


_TYPES: dict[str, tuple[type, ...]] = {
    "name": (str,),
    "source": (str,),
    "size": (int,),
    "levels": (int,),
    "least_points": (int,),
    "interval": (int, float),
    "threshold": (int, float, type(None)),
    "strict": (bool,),
    "deltas": (tuple,),
    "centre_box": (tuple,),
}

PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            name="wsoleval",
            source="J. Choe et al., Evaluating Weakly Supervised Object Localization Methods "
            "Right, CVPR 2020",
        ),
        Protocol(
            name="tdam",
            source="S. Jaiswal et al., TDAM: Top-Down Attention Module for Contextually Guided "
            "Feature Selection in CNNs, ECCV 2022, published helpers",
            image="crop",
            interpolation="bilinear",
            levels=155,
            rounding="nearest",
            threshold=36.5 / 155,
            contours="most_points",
            least_points=15,
            convention="edges",
            class_map="predicted",
            centre_box=(33, 33, 192, 192),
        ),
        Protocol(
            name="clean",
            source="this project: outer pixel edges, areas without a pixel added",
            convention="edges",
            centre_box=(33, 33, 192, 192),
        ),
    )
}


def find_protocol(name: str | Protocol) -> Protocol:
    """Look a protocol up.

    Args:
        name: of a protocol, or the path of a TOML file that describes one: the keys are the fields
            of `Protocol`, and `base` names the protocol whose values hold where a key is missing

    Raises:
        ValueError: no protocol has this name, or the file is wrong; the message says what there is
    """
    if isinstance(name, Protocol):
        return name
    if name in PROTOCOLS:
        return PROTOCOLS[name]
    if name.endswith(".toml"):
        return _read(Path(name))
    raise ValueError(
        f"Expected protocol to be one of {', '.join(PROTOCOLS)} or a .toml file but got {name!r}"
    )


def _read(path: Path) -> Protocol:
    try:
        content = read_toml(path)
    except ManifestError as error:
        if isinstance(error.__cause__, OSError):
            reason = f"{path}: {error.__cause__.strerror}"
            raise ValueError(f"Expected protocol to be a file but {reason}") from error
        raise ValueError(f"Expected protocol to be a TOML file but {error}") from error
    base = content.pop("base", "wsoleval")
    if not isinstance(base, str) or base not in PROTOCOLS:
        raise ValueError(
            f"Expected base to be one of {', '.join(PROTOCOLS)} but {path} has {show(base)}"
        )
    known = [each.name for each in fields(Protocol)]
    unknown = sorted(set(content) - set(known))
    if unknown:
        raise ValueError(
            f"Expected protocol to have keys among base, {', '.join(known)} but {path} has "
            f"{', '.join(unknown)}"
        )
    content.setdefault("name", path.stem)
    content.setdefault("source", str(path))
    if content["name"] in list(PROTOCOLS):
        raise ValueError(
            f"Expected protocol to have a name of its own but {path} has {show(content['name'])}"
        )
    for key in ("deltas", "centre_box"):
        if isinstance(content.get(key), list):
            content[key] = tuple(content[key])
    try:
        return replace(PROTOCOLS[base], **content)
    except ValueError as error:
        raise ValueError(f"Expected protocol to hold in {path} but: {error}") from error
