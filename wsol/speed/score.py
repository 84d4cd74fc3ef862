"""What scoring costs: the sweep, the scorer and PxAP against plain loops over thresholds."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch

from eval.geometry import pairwise_iou
from eval.metrics.pixels import bin_edges, count_pixels
from eval.protocols import PROTOCOLS
from eval.splits import Split
from tdam import create_model
from wsol.boxes import sweep_boxes
from wsol.demo import copy_photos
from wsol.evaluation.level_scores import trace_map
from wsol.evaluation.network_maps import NetworkMaps
from wsol.evaluation.score_maps import score_maps
from wsol.images import read_image
from wsol.localizer import Localizer
from wsol.speed.ratios import Ratio, compare_times

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn

_RULES = PROTOCOLS["wsoleval"]
_TRUE = np.array([[30, 40, 150, 180]])
_IMAGES = 160  # of the evaluation whose share of network time is measured
_BATCH = 32


def compare_scoring(repeats: int) -> list[Ratio]:
    """Compare scoring with plain loops, on one core, on class maps of real photographs.

    The loop is the field's: for each of 1000 thresholds cv2.threshold, cv2.findContours, and the
    boxes of the largest contour and of all. It looks for contours once for both; the sweep is
    called twice.

    Args:
        repeats: pairs that count

    Returns:
        how many times faster the sweep, the one-pass scorer (overlaps included) and the counting of
        pixels are; the sweep on white noise, against a loop over the distinct levels only; and the
        share of an evaluation's time that its network takes, on all cores
    """
    model = create_model("efficientnet_lite0", weights="pretrained")
    with tempfile.TemporaryDirectory() as folder:
        photos = copy_photos(Path(folder))
        with _one_core():
            ratios = _compare_on_maps(_real_maps(model, photos), repeats)
        return [*ratios, _network_share(model, photos, max(repeats // 3, 3))]


def _real_maps(model: nn.Module, photos: list[Path]) -> list[np.ndarray]:
    with Localizer(model, topk=4) as localizer:
        localizations = localizer(photos)
    return [
        each.steps[-1].heatmap((_RULES.size, _RULES.size))
        for photo in (localizations if isinstance(localizations, list) else [localizations])
        for each in photo.classes
    ]


def _compare_on_maps(maps: list[np.ndarray], repeats: int) -> list[Ratio]:
    noise = np.random.default_rng(0).random((_RULES.size, _RULES.size))
    mask = np.zeros((_RULES.size, _RULES.size), np.uint8)
    mask[60:160, 50:180] = 1
    thresholds, edges = _RULES.thresholds, bin_edges(_RULES.thresholds)

    def over(call: Any) -> Any:
        return lambda: [call(heat) for heat in maps]

    def sweep(heat: np.ndarray) -> None:
        for contours in ("largest", "all"):
            sweep_boxes(heat, thresholds, contours)

    def histogram(heat: np.ndarray) -> None:
        for part in (0, 1):
            np.histogram(heat[mask == part], edges)

    def score(heat: np.ndarray) -> Any:
        return trace_map(heat, _TRUE, _RULES)

    return [
        compare_times(
            "threshold + findContours / sweep_boxes for both kinds of contour",
            over(lambda heat: _loop(heat, thresholds)),
            over(sweep),
            repeats,
            15,
            at_least=True,
        ),
        compare_times(
            "threshold + findContours + overlaps / one-pass scorer",
            over(_loop_with_overlaps),
            over(score),
            repeats,
            25,
            at_least=True,
        ),
        compare_times(
            "loop over distinct levels / one-pass scorer, on white noise",
            lambda: _loop(noise, _levels(noise)),
            lambda: score(noise),
            max(repeats // 4, 2),
            1,
            at_least=True,
        ),
        compare_times(
            "numpy.histogram with 1003 edges / PxAP's counting",
            over(histogram),
            over(lambda heat: count_pixels(heat, mask, edges, checked=True)),
            repeats,
            10,
            at_least=True,
        ),
    ]


def _loop(heat: np.ndarray, thresholds: np.ndarray) -> list[np.ndarray]:
    """Boxes of the largest contour at every threshold, then those of all contours."""
    levels = (heat * 255).astype(np.uint8)
    peak, last = int(levels.max()), levels.shape[0] - 1
    largest, every = [], []
    for threshold in thresholds:
        _, above = cv2.threshold(levels, int(threshold * peak), 255, cv2.THRESH_BINARY)
        contours, _ = cv2.findContours(above, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)
        boxes = [cv2.boundingRect(contour) for contour in contours] or [(0, 0, 0, 0)]
        boxes = [(x, y, min(x + w, last), min(y + h, last)) for x, y, w, h in boxes]
        areas = [cv2.contourArea(contour) for contour in contours] or [0]
        largest.append(np.array([boxes[int(np.argmax(areas))]]))
        every.append(np.array(boxes))
    return largest + every


def _levels(heat: np.ndarray) -> np.ndarray:
    """One threshold for every distinct level of a map."""
    levels = np.unique((heat * 255).astype(np.uint8))
    return (levels[:-1] + 0.5) / levels[-1]


def _loop_with_overlaps(heat: np.ndarray) -> np.ndarray:
    return pairwise_iou(np.concatenate(_loop(heat, _RULES.thresholds)), _TRUE, "inclusive")


@contextmanager
def _one_core() -> Iterator[None]:
    threads = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads[0])
        cv2.setNumThreads(threads[1])


def _network_share(model: nn.Module, photos: list[Path], repeats: int) -> Ratio:
    """Compare a network's time on prepared batches with the whole evaluation of their images."""
    folder = photos[0].parent
    ids: list[str] = []
    for number in range(_IMAGES):
        path = photos[number % len(photos)]
        copy = folder / f"{number}.jpg"
        if number < len(photos):
            read_image(path).save(copy, quality=90)
        else:
            copy.write_bytes((folder / ids[number % len(photos)]).read_bytes())
        ids.append(copy.name)
    sizes = np.array([read_image(folder / name).size for name in ids])
    boxes = tuple(np.array([[0, 0, width - 1, height - 1]]) for width, height in sizes.tolist())
    split = Split("test", tuple(ids), np.full(_IMAGES, 999), sizes, boxes)
    source = NetworkMaps(model, split, folder, "cam", class_map="predicted", batch_size=_BATCH)
    images = torch.stack(
        [model.spec.preprocessing(read_image(path)) for path in photos]  # type: ignore[union-attr, operator]
    )
    batch = images.repeat(_BATCH // len(photos) + 1, 1, 1, 1)[:_BATCH]
    batch = batch.contiguous(memory_format=torch.channels_last)  # as the evaluation has it

    def network() -> None:
        with torch.no_grad():
            for _ in range(_IMAGES // _BATCH):
                model(batch)

    model.eval()
    return compare_times(
        f"network alone / evaluation of {_IMAGES} images, EfficientNet-Lite0",
        network,
        lambda: score_maps(source, [_RULES], [None]),
        repeats,
        0.85,
        at_least=True,
    )
