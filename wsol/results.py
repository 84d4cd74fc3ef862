"""What a localizer found on one image: a frozen record that can describe and save itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tdam.strict_json import dumps
from wsol.heatmap import to_heatmap
from wsol.out_files import save_file, write_file

if TYPE_CHECKING:
    from wsol.regions import BoxRule


@dataclass(frozen=True)
class Prediction:
    """A class that the network put first.

    Args:
        label: index of the class
        name: of the class
        score: probability of the class, in [0, 1]
    """

    label: int
    name: str
    score: float


@dataclass(frozen=True, eq=False)
class Step:
    """One step's map.

    Args:
        map: (h, w), float, in [0, 1], at the size of the features
        score: probability of the class after this step, in [0, 1]
        region: part of the photograph that the map covers, x0 y0 x1 y1, outer edges in pixels
        raw: (h, w), float32, the map before it was stretched, on the scale that all steps of an
            image share; None where only `map` is known
        top: the most probable class after this step, which need not be the map's; None where it
            is not known
    """

    map: np.ndarray
    score: float
    region: tuple[float, float, float, float]
    raw: np.ndarray | None = None
    top: Prediction | None = None

    def heatmap(self, size: tuple[int, int]) -> np.ndarray:
        """Upsample the map.

        Args:
            size: width, height of the result, which shows `region`

        Returns:
            (height, width), float64, in [0, 1]
        """
        return to_heatmap(self.map if self.raw is None else self.raw, size)


@dataclass(frozen=True, eq=False)
class Localization:
    """One class found on one image.

    Args:
        label: index of the class
        name: of the class
        score: probability of the class, in [0, 1]
        boxes: (B, 4), float64, x0 y0 x1 y1, outer edges in pixels of the original image: a box
            around everything is (0, 0, width, height); that of the highest score first
        box_scores: (B,), the class's probability times the peak of the map inside the box
        steps: the map of every step, the last being the one that the boxes come from
        width: of the original image, in pixels
        height: of the original image, in pixels
        path: of the image, or None for one that came from memory
        others: the next classes on the same image, most probable first
        searchlights: (M, h, w), float32, in [0, 1], by the name of a top-down block: its
            searchlight maps in order, for the blocks that the localizer was asked for
        rule: how the boxes were cut out of the last step's map, for `wsol.regions.find_regions`;
            None where that is not known
    """

    label: int
    name: str
    score: float
    boxes: np.ndarray
    box_scores: np.ndarray
    steps: tuple[Step, ...]
    width: int
    height: int
    path: Path | None = None
    others: tuple[Localization, ...] = field(default=(), repr=False)
    searchlights: dict[str, np.ndarray] = field(default_factory=dict, repr=False)
    rule: BoxRule | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.boxes.ndim != 2 or self.boxes.shape[1] != 4:
            raise ValueError(f"Expected boxes to be of shape (B, 4) but got {self.boxes.shape}")
        if self.box_scores.shape != (len(self.boxes),):
            raise ValueError(
                f"Expected {len(self.boxes)} box_scores but got shape {self.box_scores.shape}"
            )

    @property
    def classes(self) -> tuple[Localization, ...]:
        """This class and the others."""
        return (self, *self.others)

    def to_dict(self) -> dict[str, Any]:
        """Describe everything but the maps in plain values.

        Returns:
            a dict that `json` can write, floats unrounded
        """
        return {
            "file": None if self.path is None else str(self.path),
            "width": self.width,
            "height": self.height,
            "predictions": [
                {
                    "label": each.label,
                    "name": each.name,
                    "score": each.score,
                    "step_scores": [step.score for step in each.steps],
                    "boxes": each.boxes.tolist(),
                    "box_scores": each.box_scores.tolist(),
                }
                for each in self.classes
            ],
        }

    def to_supervision(self) -> Any:
        """Convert the boxes of this class and the others for the package `supervision`.

        Returns:
            `supervision.Detections`, one a box: xyxy float32 in pixels of the original image,
            confidence float32 (the box's score), class_id int, data `class_name`

        Raises:
            ImportError: `supervision` is not installed
        """
        try:
            supervision = import_module("supervision")
        except ImportError as error:
            raise ImportError("supervision is missing: pip install supervision") from error
        counts = [len(each.boxes) for each in self.classes]
        return supervision.Detections(
            xyxy=np.concatenate([each.boxes for each in self.classes]).astype(np.float32),
            confidence=np.concatenate([each.box_scores for each in self.classes]).astype(
                np.float32
            ),
            class_id=np.repeat([each.label for each in self.classes], counts),
            data={"class_name": np.repeat([each.name for each in self.classes], counts)},
        )

    def save(self, folder: str | Path) -> Path:
        """Write the maps as `step<t>.npy` and everything else as `localization.json`, last.

        Args:
            folder: created; must not exist yet

        Returns:
            the folder

        Raises:
            FileExistsError: the folder exists
        """
        folder = Path(folder)
        folder.mkdir(parents=True)
        for number, step in enumerate(self.steps, start=1):
            save = partial(np.save, arr=step.map, allow_pickle=False)
            save_file(folder / f"step{number}.npy", save)
        record = {
            "schema": 1,
            "wsol-tdam": version("wsol-tdam"),
            "region": list(self.steps[-1].region),
            **self.to_dict(),
        }
        write_file(folder / "localization.json", dumps(record, indent=2))
        return folder
