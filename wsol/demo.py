"""The demonstration: photographs that installed packages carry, boxed, drawn, and on a page.

Five photographs are too few to score: beside them stands what was measured on hundreds of others.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from eval.geometry import pairwise_iou, to_edges
from eval.manifest import load_classes, load_split
from eval.protocols import find_protocol
from wsol.benchmarking.recorded_run import read_recorded_run
from wsol.classes import class_names
from wsol.evaluation.image_results import name_results
from wsol.evaluation.kept_maps import MapKeeper
from wsol.evaluation.metric_names import name_score
from wsol.evaluation.network_maps import NetworkMaps
from wsol.evaluation.score_maps import score_maps
from wsol.evaluation.threshold_rules import explain_rule
from wsol.figures import draw_picture, save_picture
from wsol.folder_lock import holds
from wsol.images import read_image
from wsol.localizer import Localizer
from wsol.maps.names import settle_method
from wsol.out_files import make_folder, write_file
from wsol.report import read_run, write_report
from wsol.report.steps import keep_steps
from wsol.report.tables import Table, score_table
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
# Where the default weights, and the plain network in them, were measured.
_EXPERIMENT = "imagenet10_lite0"
_RUNS = {"with TDAM": "imagenet_tdam-0", "plain network": "imagenet-0"}
_SHOWN = ("max_box_acc_v2", "gt_known_loc", "top1_loc", "top1_cls", "centre_box", "full_image")
FEW = "photographs show what comes out; they are too few to score"


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


def measured_scores(method: str) -> Table:
    """Tell what the weights that come along were measured to score, beside the plain network.

    Args:
        method: of the maps

    Returns:
        scores in percent with 95 % intervals, read from the experiment's record
    """
    runs = [read_recorded_run(_EXPERIMENT, run, method, name) for name, run in _RUNS.items()]
    scores, thresholds = runs[0].scores, [each.scores["threshold"] for each in runs]
    values = " and ".join(f"{each['value']:.3f}" for each in thresholds)
    rule = explain_rule(thresholds[0]["rule"], thresholds[0]["chosen_on"])
    notes = (
        f"{scores['images']} {scores['split']} images of ten ImageNet classes, protocol "
        f"{scores['protocol']}, maps by {method}, threshold {rule} ({values}). Attention was "
        "trained on other images of these classes.",
        f"Read from the record of the experiment {_EXPERIMENT}: wsol reproduce {_EXPERIMENT} "
        "--recorded tells all of it, with paired differences.",
    )
    table, shown = score_table(runs), set(map(name_score, _SHOWN))
    rows = [row for row in table.rows if row[0] in shown]
    return replace(table, key="measured", title="Measured on other images", rows=rows, notes=notes)


@holds("folder")
def run_demo(model: nn.Module, folder: Path, name: str) -> tuple[list[DemoPhoto], Table]:
    """Localize and draw the photographs, and write a page of them.

    Args:
        model: a registered network with ImageNet's 1000 classes
        folder: for copies and drawings
        name: of the network, for the report

    Returns:
        what was found on every photograph, and what the weights were measured to score; the page
        is in the folder
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
            save_picture(draw_picture(read_image(path), localization, true_boxes), picture)
            iou = float(np.max(pairwise_iou(localization.boxes, true_boxes), initial=0))
            true_name = localizer.class_name(classes[int(split.labels[row])])
            photos.append(DemoPhoto(localization, true_name, iou, picture))
    names = class_names(1000, localizer.names)
    labels = {int(label): names[classes[int(label)]] for label in split.labels}
    measured = measured_scores(settle_method("auto", model))
    _report(model, name, split, folder, threshold, classes, labels, names, measured)
    return photos, measured


def _report(
    model: nn.Module,
    name: str,
    split: Split,
    folder: Path,
    threshold: float,
    classes: dict[int, int],
    labels: dict[int, str],
    names: tuple[str, ...],
    measured: Table,
) -> None:
    """Hold the photographs' boxes against the true ones, and write the page."""
    rules = find_protocol("clean")
    with TemporaryDirectory() as work:
        results = Path(work) / "results"
        keeper = MapKeeper(Path(work) / "maps", split.ids, split.ids, rules.levels, rules.rounding)
        method = settle_method("auto", model)
        source = NetworkMaps(model, split, folder / "photos", method, classes)
        score_maps(source, [rules], [threshold], out=results, keep=keeper)
        name_results(results, name, labels, names)
        run = read_run(results, "demo", keeper, slim=True)
        shown = zip(split.ids, split.labels, strict=True)
        keep_steps(source, {image: classes[int(label)] for image, label in shown}, keeper)
        note = f"{name}, threshold {threshold:.3g}. {len(split)} {FEW}."
        home = folder / "photos"
        write_report(folder, [run], home, title="wsol demo", note=note, measured=measured)
