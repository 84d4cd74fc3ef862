"""What a localizer found on one image: a frozen record that can describe and save itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tdam.reprs import brief_repr
from tdam.strict_json import dumps
from wsol.heatmap import stretch_map
from wsol.out_files import save_file, write_file
from wsol.pictures import find_photograph, to_png
from wsol.text import count_things, list_choices

if TYPE_CHECKING:
    from PIL import Image

    from wsol.regions import BoxRule

_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".pdf", ".svg")
_MOST = 3  # boxes of a line


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

    __repr__ = brief_repr


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

    __repr__ = brief_repr

    def heatmap(self, size: tuple[int, int]) -> np.ndarray:
        """Upsample the map.

        Args:
            size: width, height of the result, which shows `region`

        Returns:
            (height, width), float64, in [0, 1]
        """
        return stretch_map(self.map if self.raw is None else self.raw, size)


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
        image: what a call of the localizer was given, where that was no path: the array, tensor or
            PIL image itself, not a copy; None for a file, which pictures read again, and for
            results of `Localizer.stream`, which has the images beside them

    In a notebook it shows itself as the picture that `draw` gives.
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
    image: Any = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.boxes.ndim != 2 or self.boxes.shape[1] != 4:
            raise ValueError(f"Expected boxes to be of shape (B, 4) but got {self.boxes.shape}")
        if self.box_scores.shape != (len(self.boxes),):
            raise ValueError(
                f"Expected {len(self.boxes)} box_scores but got shape {self.box_scores.shape}"
            )

    def __repr__(self) -> str:
        others = f", others={[each.name for each in self.others]}" if self.others else ""
        path = "" if self.path is None else f", path={str(self.path)!r}"
        return (
            f"Localization(name={self.name!r}, score={self.score:.3f}, "
            f"boxes={write_boxes(self.boxes)}, width={self.width}, height={self.height}, "
            f"steps={len(self.steps)}{others}{path})"
        )

    def _repr_png_(self) -> bytes | None:
        return to_png(self)

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

    def draw(self, image: Any = None, true_boxes: np.ndarray | None = None) -> Image.Image:
        """Draw the photograph with its boxes, and beside it the map that they came from.

        It is the picture that `predict(..., save_images=True)` writes.

        Args:
            image: the photograph, as the localizer takes one; None for the one that was kept, or
                for its file, which is read again
            true_boxes: (k, 4), x0 y0 x1 y1, outer edges in original pixels, to draw too

        Returns:
            RGB

        Raises:
            ImageError: a file that can be read no more
            ValueError: no photograph, or one of another size
        """
        from wsol.figures import draw_picture

        return draw_picture(self._find_photograph(image), self, true_boxes)

    def save(self, path: str | Path) -> Path:
        """Write the picture that `draw` gives, or everything else into a folder.

        Args:
            path: of a picture, where it ends in .png, .jpg, .webp, .tif, .pdf or .svg: one that is
                there is replaced; without a suffix of a folder, which must not exist yet, for the
                maps as `step<t>.npy` and the rest as `localization.json`, which is written last

        Returns:
            the path

        Raises:
            FileExistsError: the folder exists, or the picture would replace the photograph
            ImageError: a file that can be read no more
            ValueError: a suffix that is of no picture that is written, or no photograph to draw on
        """
        path = Path(path)
        if path.suffix.lower() in _PICTURES:
            return self._save_picture(path)
        if any(map(str.isalpha, path.suffix)):  # that of v1.2 is none of a file
            raise ValueError(
                f"Expected a picture, {list_choices(_PICTURES)}, or a folder without a suffix but "
                f"got {path}"
            )
        path.mkdir(parents=True)
        for number, step in enumerate(self.steps, start=1):
            save = partial(np.save, arr=step.map, allow_pickle=False)
            save_file(path / f"step{number}.npy", save)
        record = {
            "schema": 1,
            "wsol-tdam": version("wsol-tdam"),
            "region": list(self.steps[-1].region),
            **self.to_dict(),
        }
        write_file(path / "localization.json", dumps(record, indent=2))
        return path

    def _find_photograph(self, given: Any = None) -> Image.Image:
        """Find what a picture is drawn on, if there is a map to draw."""
        if not self.steps:
            raise ValueError("Expected the map that the boxes came from but this result has none")
        return find_photograph(self, given)

    def _save_picture(self, path: Path) -> Path:
        from wsol.figures import draw_localization, draw_picture, save_figure, save_picture

        own = self.path or getattr(self.image, "filename", None)
        if own and path.exists() and Path(own).exists() and path.samefile(own):
            raise FileExistsError(f"{path} is the photograph itself; choose another name")
        photograph = self._find_photograph()
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix.lower() == ".png":
            save_picture(draw_picture(photograph, self), path)
        else:
            save_figure(draw_localization(photograph, self), path)
        return path


def write_boxes(boxes: np.ndarray) -> str:
    """Write boxes in a line, to a tenth of a pixel; of many the first ones, and their number.

    >>> write_boxes(np.array([[1.25, 0, 30, 40]])), write_boxes(np.zeros((0, 4)))
    ('[[1.2, 0.0, 30.0, 40.0]]', '[]')
    """
    shown = boxes[:_MOST].round(1).tolist()
    if len(boxes) <= _MOST:
        return str(shown)
    return f"[{str(shown)[1:-1]}, ... {count_things(len(boxes), 'box', 'boxes')}]"
