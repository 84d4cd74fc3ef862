"""The demonstration: photographs that installed packages carry, boxed, scored and reported."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from eval.geometry import pairwise_iou, to_edges
from eval.manifest import load_classes, load_split
from eval.protocols import find_protocol
from wsol.classes import class_names
from wsol.evaluation.image_results import name_results
from wsol.evaluation.kept_maps import MapKeeper
from wsol.evaluation.network_maps import NetworkMaps
from wsol.evaluation.result import Evaluation
from wsol.evaluation.score_maps import score_maps
from wsol.figures import draw_localization, save_figure
from wsol.folder_lock import holds
from wsol.images import read_image
from wsol.localizer import Localizer
from wsol.maps.names import settle_method
from wsol.out_files import make_folder, write_file
from wsol.report import read_run, write_report
from wsol.report.steps import keep_steps
from wsol.shipped import manifests_folder

if TYPE_CHECKING:
    from torch import nn

    from eval.splits import Split
    from wsol.results import Localization

# Where each photograph of data_manifests/photos lies inside the installed packages.
_PHOTOS = {
    "chelsea.png": ("skimage", "data/chelsea.png"),
    "coffee.png": ("skimage", "data/coffee.png"),
    "rocket.jpg": ("skimage", "data/rocket.jpg"),
    "motorcycle_left.png": ("skimage", "data/motorcycle_left.png"),
    "grace_hopper.jpg": ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
}


@dataclass(frozen=True)
class DemoPhoto:
    """One photograph of the demonstration.

    Args:
        localization: the network's own choice of class and box
        true_name: of the class set by hand
        iou: of the predicted with the true box, outer edges
        picture: path of the drawing
    """

    localization: Localization
    true_name: str
    iou: float
    picture: Path


def copy_photos(folder: Path) -> list[Path]:
    """Copy the photographs out of the installed packages.

    Args:
        folder: created where it does not exist

    Returns:
        the copies
    """
    make_folder(folder)
    copies = []
    for name, (package, inside) in _PHOTOS.items():
        with resources.as_file(resources.files(package).joinpath(inside)) as source:
            write_file(folder / name, source.read_bytes(), sync=False)
            copies.append(folder / name)
    return copies


@holds("folder")
def run_demo(model: nn.Module, folder: Path, name: str) -> tuple[list[DemoPhoto], Evaluation]:
    """Localize, draw and score the photographs.

    Args:
        model: a registered network with ImageNet's 1000 classes
        folder: for copies and drawings
        name: of the network, for the report

    Returns:
        what was found on every photograph, and the scores of all; the report is in the folder
    """
    data = manifests_folder() / "photos"
    paths = copy_photos(folder / "photos")
    split = load_split(data, "test")
    classes = load_classes(data / "classes.csv")
    photos = []
    with Localizer(model) as localizer:
        threshold = localizer.threshold
        for row, path in enumerate(paths):
            localization = localizer(path)
            if split.boxes is None or isinstance(localization, list):
                raise TypeError("expected boxes and one localization")
            true_boxes = to_edges(split.boxes[row])
            picture = folder / f"{path.stem}.png"
            figure = draw_localization(read_image(path), localization, true_boxes)
            save_figure(figure, picture)
            iou = float(np.max(pairwise_iou(localization.boxes, true_boxes), initial=0))
            true_name = localizer.class_name(classes[int(split.labels[row])])
            photos.append(DemoPhoto(localization, true_name, iou, picture))
    names = class_names(1000, localizer.names)
    labels = {int(label): names[classes[int(label)]] for label in split.labels}
    scores = _report(model, name, split, folder, threshold, classes, labels, names)
    return photos, scores


def _report(
    model: nn.Module,
    name: str,
    split: Split,
    folder: Path,
    threshold: float,
    classes: dict[int, int],
    labels: dict[int, str],
    names: tuple[str, ...],
) -> Evaluation:
    """Score the photographs and write the page."""
    rules = find_protocol("wsoleval")
    with TemporaryDirectory() as work:
        results = Path(work) / "results"
        keeper = MapKeeper(Path(work) / "maps", split.ids, split.ids, rules.levels, rules.rounding)
        method = settle_method("auto", model)
        source = NetworkMaps(model, split, folder / "photos", method, classes)
        scores = score_maps(source, [rules], [threshold], out=results, keep=keeper)[0]
        name_results(results, name, labels, names)
        run = read_run(results, "demo", keeper, slim=True)
        shown = zip(split.ids, split.labels, strict=True)
        keep_steps(source, {image: classes[int(label)] for image, label in shown}, keeper)
        note = f"{name}. {len(split)} photographs: a demonstration, not a benchmark."
        write_report(folder, [run], folder / "photos", title="wsol demo", note=note)
    return scores
