"""One evaluation as a report sees it: scores, images, names, and the maps that were kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from eval.parsing import read_json
from eval.splits import ManifestError
from wsol.evaluation.comparison import ResultError, Results, read_results, trusting
from wsol.evaluation.folder_maps import read_map
from wsol.evaluation.image_results import NAMES
from wsol.evaluation.kept_maps import KeptMap, MapKeeper
from wsol.evaluation.metric_names import is_of_given_boxes
from wsol.evaluation.resume_file import SETTINGS
from wsol.images import ImageError
from wsol.levels import quantise

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, eq=False)
class Run:
    """One evaluation.

    Args:
        name: short, told from the other runs' names
        results: scores and images
        what: was scored, in a line
        labels: class names by label
        outputs: names of the network's outputs, or None without a network
        keeper: of the maps, where they were kept for the report
        maps: folder of saved maps, where they were not
        root: of the images as the run had it, or None
        by_number: what is told where labels were taken for the outputs' numbers
    """

    name: str
    results: Results
    what: str = ""
    labels: Mapping[int, str] | None = None
    outputs: Sequence[str] | None = None
    keeper: MapKeeper | None = None
    maps: Path | None = None
    root: Path | None = None
    by_number: str = ""

    def __repr__(self) -> str:
        return f"Run(name={self.name!r}, what={self.what!r}, results={self.results!r})"

    @property
    def scores(self) -> dict[str, Any]:
        """The JSON output."""
        return self.results.scores

    @property
    def given(self) -> bool:
        """Whether its boxes came without maps, and so without a threshold."""
        return is_of_given_boxes(self.scores)

    @property
    def rows(self) -> dict[str, dict[str, Any]]:
        """One record an image, by id."""
        return self.results.rows

    @property
    def of_boxes(self) -> bool:
        """Whether boxes were scored, and not masks."""
        return self.scores.get("box_acc") is not None

    @property
    def has_maps(self) -> bool:
        """Whether maps were kept."""
        return self.keeper is not None or self.maps is not None

    def label_name(self, label: int) -> str:
        """Name the class of a label."""
        return (self.labels or {}).get(label) or f"class {label}"

    def output_name(self, index: int | None) -> str | None:
        """Name an output of the network; without one, outputs are labels."""
        if index is None:
            return None
        if self.outputs is None:
            return self.label_name(index)
        return self.outputs[index] if index < len(self.outputs) else f"class {index}"

    def find_map(self, image_id: str) -> KeptMap | None:
        """Give the map of an image as it was scored, or None where it was not kept."""
        if self.keeper is not None:
            return self.keeper.read(image_id)
        if self.maps is None or self.scores["image"] != "squash":
            return None
        row = self.rows[image_id]
        try:
            heat = read_map(self.maps / f"{image_id}.npy")
        except ImageError:
            return None
        choices = self.scores["choices"]
        if heat.shape != (choices["size"],) * 2:
            return None  # of another run, or broken since
        levels = quantise(heat, choices["levels"], choices["rounding"])
        width, height = row.get("width", 1), row.get("height", 1)
        return KeptMap(levels, np.array([0, 0, width, height], np.float64))


def read_run(
    path: str | Path,
    name: str | None = None,
    keeper: MapKeeper | None = None,
    slim: bool = False,
) -> Run:
    """Read what an evaluation left in a folder.

    Args:
        path: its folder, or one of the files in it
        name: short; the folder's by default
        keeper: of the maps, where they were kept for the report
        slim: whether to leave out what only comparisons of runs need

    Raises:
        ResultError: no results here, or results of an evaluation that did not end
    """
    results = read_results(path, slim)
    folder = results.folder
    names = _read_json(folder / NAMES)
    root = names.get("root", _read_json(folder / SETTINGS).get("root"))
    maps = folder / "maps"
    outputs = names.get("outputs")
    with trusting(folder / NAMES):
        labels = {int(label): str(text) for label, text in (names.get("labels") or {}).items()}
        outputs = None if outputs is None else [str(text) for text in list(outputs)]
    return Run(
        name=name or folder.resolve().name,
        results=results,
        what=str(names.get("run", "")),
        labels=labels,
        outputs=outputs,
        keeper=keeper,
        maps=maps if maps.is_dir() else None,
        root=Path(root) if isinstance(root, str) else None,
        by_number=str(names.get("by_number", "")),
    )


def _read_json(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        content = read_json(path)
    except ManifestError as error:
        raise ResultError(str(error)) from error
    return content if isinstance(content, dict) else {}


def tell_apart(names: Sequence[str]) -> list[str]:
    """Make names differ, by a number where two are the same.

    >>> tell_apart(["cam", "cam", "layercam"])
    ['cam', 'cam (2)', 'layercam']
    """
    seen: dict[str, int] = {}
    distinct = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        distinct.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return distinct
