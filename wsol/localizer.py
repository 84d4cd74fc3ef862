"""From images to localizations: reads, classifies, maps and boxes by the parts that do each."""

from __future__ import annotations

from dataclasses import replace
from itertools import repeat
from numbers import Integral
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from eval.geometry import square_to_image
from tdam.modes import evaluation_mode
from tdam.outputs import unwrap
from tdam.precision import check_precision
from tdam.spec import name_network
from tdam.steps import searchlight_blocks
from wsol.boxes import CONTOURS, DEFAULT_THRESHOLD
from wsol.classes import check_names, class_names
from wsol.heatmap import stretch_map
from wsol.images import NOT_FINITE, ImageError
from wsol.inputs import to_image
from wsol.loading import read_images
from wsol.maps import find_method
from wsol.maps.names import head_options, settle_method
from wsol.maps.passes import check_sizes, run_pass
from wsol.maps.smoothing import check_smooth
from wsol.networks import settle_input
from wsol.regions import BoxRule, cut_boxes
from wsol.result_list import Localizations
from wsol.results import Localization, Prediction, Step
from wsol.runtime import ask_for_memory, find_device, settle_layout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from torch import Tensor, nn

    from tdam.preprocessing import Preprocessing
    from wsol.loading import ImageBatch
    from wsol.maps.core import MapExtractor


class Localizer:
    """Finds objects with a classifier that was trained on image labels only.

    Can be used in a `with` block, as map extractors are; between calls the model is as it was.

    Args:
        model: any network; what is not registered tells its layers in one run on noise, and its
            input if timm built it
        method: name of a map method, or `auto` for the one that the registered network names; or
            a class derived from `wsol.maps.MapExtractor`
        threshold: share of the map's range that a pixel has to exceed to belong to the object;
            None for the one that was stored with the network's weights where it is of these maps,
            or 0.2
        contours: `largest` for one box, `outer` for one a region, `all` for hole borders too
        topk: how many classes to localize on each image
        preprocessing: what the network wants as input; None for what it tells
        target_layer: what the maps are made of, after the last step alone; by default the
            network's own layer, after every step
        fc_layer: the classifier's linear layer, which class activation maps need; None for the
            network's own
        reshape: turns what `target_layer` puts out into (N, C, h, w), by choosing and moving its
            values; None where its axes are told by the layer and the image
        names: of the classes; None for those stored with the network's weights, or ImageNet's
        searchlights: top-down blocks of a registered network whose searchlight maps to keep
        device: `auto`, `cpu`, `cuda`, or any name that torch knows
        batch_size: how many images go through the network at once
        workers: threads that read images ahead
        precision: that the network computes in: `float32`, `bfloat16` or `float16`, the last two
            by autocast; what is found can differ
        channels_last: memory layout of what it computes on; None for the one that is faster
        every_step: False for results whose `steps` are the last one alone, which takes a network
            of two steps three quarters of the time
        min_score: probability below which a class has no box, in [0, 1]
        smooth: `flip` for the mean of an image's map and its mirror image's, `flip+scale` for that
            at three sizes too; probabilities are those of the unaltered image

    Raises:
        TypeError: a model that is no network
        ValueError: what a network does not tell and is not given (the message lists all of it), an
            unknown method, layer, block or kind of contour, a threshold outside [0, 1],
            a precision that the device does not have, or sizes that the network does not take

    >>> from tdam import create_model
    >>> from PIL import Image
    >>> with Localizer(create_model("resnet18")) as localizer:
    ...     localization = localizer(Image.new("RGB", (64, 48)))
    >>> localization.boxes.shape[1], localization.width, len(localization.steps)
    (4, 64, 1)

    With T steps, class and boxes are those of the last one, and `steps` holds all T maps.
    """

    def __init__(
        self,
        model: nn.Module,
        method: str | type[MapExtractor] = "auto",
        threshold: float | None = None,
        contours: str = "largest",
        topk: int = 1,
        *,
        preprocessing: Preprocessing | None = None,
        target_layer: str | nn.Module | None = None,
        fc_layer: str | nn.Module | None = None,
        reshape: Callable[[Tensor], Tensor] | None = None,
        names: Sequence[str] | None = None,
        searchlights: Sequence[str] = (),
        device: str = "auto",
        batch_size: int = 16,
        workers: int = 2,
        precision: str = "float32",
        channels_last: bool | None = None,
        every_step: bool = True,
        min_score: float = 0.0,
        smooth: str = "none",
    ) -> None:
        if not isinstance(model, torch.nn.Module):
            raise TypeError(
                f"Expected model to be a network but got {model!r}; tdam.load_checkpoint makes one "
                "of a file or a name"
            )
        model = unwrap(model)
        spec: Any = getattr(model, "spec", None)
        preprocessing = settle_input(model, preprocessing, target_layer)
        method = settle_method(method, model)
        self.origin = "as it was asked for"  # of the threshold, for people
        if threshold is None:
            own = spec is not None and method == spec.method and target_layer is None
            own = own and smooth == "none"
            stored = getattr(model, "threshold", None) if own else None
            self.origin = "the default" if stored is None else "stored with the weights"
            threshold = DEFAULT_THRESHOLD if stored is None else stored
        if not 0 <= threshold <= 1:
            raise ValueError(f"Expected threshold to be in [0, 1] but got {threshold}")
        if not 0 <= min_score <= 1:
            raise ValueError(f"Expected min_score to be in [0, 1] but got {min_score}")
        if contours not in CONTOURS:
            raise ValueError(f"Expected contours to be one of {CONTOURS} but got {contours!r}")
        if topk < 1:
            raise ValueError(f"Expected topk to be at least 1 but got {topk}")
        if batch_size < 1:
            raise ValueError(f"Expected batch_size to be at least 1 but got {batch_size}")
        ask_for_memory()
        self.device = find_device(device)
        check_precision(precision, self.device)
        self.model = model.to(self.device)
        self.threshold = threshold
        self.contours = contours
        self.min_score = min_score
        self.topk = topk
        self.batch_size = batch_size
        self.workers = workers
        self.preprocessing = preprocessing or spec.preprocessing
        known = None if spec is None else getattr(model, "class_names", None)
        settings = None if spec is None else getattr(model, "settings", None)
        count = None if settings is None else settings["num_classes"]
        self.names = known if names is None else check_names(names, count)
        self.method = method
        options = head_options(method, fc_layer)
        self._turn = Lock()  # hooks and modes are the network's: threads go through one by one
        self.extractor = find_method(method)(model, target_layer, **options)
        self.extractor.precision = precision
        self.extractor.channels_last = settle_layout(model, self.device, channels_last)
        self.extractor.reshape, self.extractor.smooth = reshape, smooth
        check_smooth(smooth)
        check_sizes(self.extractor, self.preprocessing.size)
        self._stepwise = target_layer is None and (every_step or bool(searchlights))
        blocks = searchlight_blocks(model) if self._stepwise else []
        for name in searchlights:
            if name not in blocks:
                known = ", ".join(blocks) or "none, as it has one step"
                raise ValueError(f"Expected searchlights from {known} but got {name!r}")
        self._lights = {name: blocks.index(name) for name in searchlights}

    def __repr__(self) -> str:
        return (
            f"Localizer(network={name_network(self.model)!r}, method={str(self.method)!r}, "
            f"layer={', '.join(self.extractor.layer_names)!r}, threshold={self.threshold:.3g})"
        )

    def __enter__(self) -> Localizer:
        return self

    def __exit__(self, *error: Any) -> None:
        """Nothing is left to undo: hooks live as long as a pass of the network."""

    def __call__(
        self, images: Any, labels: int | Sequence[int | None] | None = None
    ) -> Localization | list[Localization]:
        """Localize the objects on one image or several.

        Args:
            images: a path, a PIL image, a uint8 RGB array (H, W, 3), or a tensor (3, H, W) of
                uint8 or of floats in [0, 1]; or a list of them, or an array or tensor with one
                more dimension in front
            labels: classes that are known to be there, so that only the box is wanted; None lets
                the network choose

        Returns:
            one localization for one image, a list for several; what did not come from a file keeps
            the image it is of, so that it can be drawn

        Raises:
            ImageError: a path that cannot be read as an image, or one for which the network's
                numbers are not finite
            TypeError: something that is not an image, or a class's name in place of its number
            ValueError: an array of the wrong shape, or a class that does not exist
        """
        if isinstance(labels, str):
            raise TypeError(
                f"Expected labels to be numbers but got {labels!r}; wsol.classes.find_class finds "
                "the number of a name"
            )
        if isinstance(labels, (np.ndarray, torch.Tensor)) and labels.ndim == 0:
            labels = int(labels)
        if isinstance(images, (np.ndarray, torch.Tensor)):
            one = images.ndim < 4
        else:
            one = not isinstance(images, (list, tuple))
        items = [images] if one else list(images)
        if not items:
            return Localizations()
        one_class = labels is None or isinstance(labels, Integral)
        known: list[Any] = [labels] * len(items) if one_class else list(labels)  # type: ignore[arg-type]
        if len(known) != len(items):
            raise ValueError(f"Expected {len(items)} labels but got {len(known)}")
        localizations = Localizations()
        for item, result in self.stream(items, known):
            if isinstance(result, ImageError):
                raise result
            localizations.append(_keep_image(result, item))
        return localizations[0] if one else localizations

    def class_name(self, label: int) -> str:
        """Name a class, for a network with ImageNet's classes or with names given."""
        return (self.names or class_names(1000))[label]

    def stream(
        self, images: Iterable[Any], labels: Iterable[int | None] | None = None
    ) -> Iterator[tuple[Any, Localization | ImageError]]:
        """Localize image after image, in memory that does not grow with their number.

        Args:
            images: each as in a call
            labels: one known class or None an image

        Yields:
            the image as it was given, and what was found on it, or why it could not be read
        """
        known = repeat(None) if labels is None else labels
        tasks = zip(images, known, strict=labels is not None)
        options = (self.batch_size, self.workers, self.device)
        for batch in read_images(tasks, self._prepare, *options):
            for (item, _), result in batch.restore_order(self._localize(batch)):
                yield item, result

    def _prepare(self, task: tuple[Any, int | None]) -> tuple[Tensor, tuple[int, int]]:
        item, _ = task
        try:
            image = to_image(item)
        except ImageError as error:
            raise ImageError(f"{item}: {error}") from error
        return self.preprocessing(image), image.size

    def _localize(
        self, batch: ImageBatch[tuple[Any, int | None], tuple[int, int]]
    ) -> list[Localization | ImageError]:
        """Localize on the images of a batch, in order; numbers that are none are an error."""
        if batch.images is None:
            return []
        known = [label for (_, label), _ in batch.readable]
        with self._turn, evaluation_mode(self.model):
            seen = run_pass(self.extractor, batch.images, self._stepwise)
            probabilities = seen.probabilities
            ranked = self._choose(probabilities[:, -1], known)
            maps = [seen.maps(ranked[:, rank]).cpu().numpy() for rank in range(ranked.shape[1])]
        lights = {
            name: seen.searchlights[block].float().cpu().numpy()
            for name, block in self._lights.items()
        }
        count = probabilities.shape[2]
        names = class_names(count) if self.names is None else check_names(self.names, count)
        best, leaders = (each.tolist() for each in probabilities.max(dim=2))
        finite = probabilities.flatten(1).isfinite().all(dim=1).tolist()
        results: list[Localization | ImageError] = []
        for row, ((item, _), size) in enumerate(batch.readable):
            parts = (*(each[row] for each in maps), *(each[row] for each in lights.values()))
            if not finite[row] or not all(np.isfinite(part).all() for part in parts):
                results.append(ImageError(f"{item}: {NOT_FINITE}"))
                continue
            first, *others = (
                self._describe(
                    raw=maps[rank][row],
                    label=label,
                    name=names[label],
                    scores=probabilities[row, :, label].tolist(),
                    tops=[
                        Prediction(leader, names[leader], score)
                        for leader, score in zip(leaders[row], best[row], strict=True)
                    ],
                    size=size,
                    path=Path(item) if isinstance(item, (str, Path)) else None,
                )
                for rank, label in enumerate(ranked[row].tolist())
            )
            shown = {name: maps_of_block[row] for name, maps_of_block in lights.items()}
            results.append(replace(first, others=tuple(others), searchlights=shown))
        return results

    def _choose(self, probabilities: Tensor, known: list[int | None]) -> Tensor:
        """Rank `topk` classes an image, (N, topk): a known one, then the most probable ones."""
        count = probabilities.shape[1]
        ranked = probabilities.topk(min(self.topk, count), dim=1).indices
        for row, label in enumerate(known):
            if label is None:
                continue
            if not 0 <= label < count:
                raise ValueError(f"Expected labels from 0 to {count - 1} but got {label}")
            others = [int(other) for other in ranked[row] if int(other) != label]
            chosen = [label, *others][: ranked.shape[1]]
            ranked[row] = torch.tensor(chosen, device=ranked.device)
        return ranked

    def _describe(
        self,
        *,
        raw: np.ndarray,
        label: int,
        name: str,
        scores: list[float],
        tops: list[Prediction],
        size: tuple[int, int],
        path: Path | None,
    ) -> Localization:
        rule = BoxRule(self.preprocessing.size, self.threshold, self.contours)
        boxes, peaks = cut_boxes(raw[-1], rule)
        if scores[-1] < self.min_score:
            boxes, peaks = boxes[:0], peaks[:0]
        width, height = size
        region = self.preprocessing.region(width, height)
        return Localization(
            label=label,
            name=name,
            score=scores[-1],
            boxes=square_to_image(boxes, rule.side, region),
            box_scores=scores[-1] * peaks,
            steps=tuple(
                Step(stretch_map(each), score, region, each, top)
                for each, score, top in zip(raw, scores, tops, strict=True)
            ),
            width=width,
            height=height,
            path=path,
            rule=rule,
        )


def _keep_image(localization: Localization, item: Any) -> Localization:
    """Let a localization of an image in memory keep it; a file is read again."""
    if localization.path is not None:
        return localization
    others = tuple(replace(each, image=item) for each in localization.others)
    return replace(localization, image=item, others=others)


def explain_threshold(model: nn.Module, asked: float | None, threshold: float) -> str:
    """Say where a threshold comes from that was not asked for.

    Args:
        model: the network
        asked: threshold that a localizer was made with
        threshold: that it took

    Returns:
        a line for people; nothing where there is nothing to say
    """
    stored: Any = getattr(model, "threshold", None)
    spec: Any = getattr(model, "spec", None)
    if asked is not None or spec is None:
        return ""
    if stored is None:
        return f"threshold {threshold:g}, whatever the images: none is stored with the weights"
    if stored == threshold:
        return f"threshold {threshold:g}, stored with the weights"
    return (
        f"threshold {threshold:g}: the one stored with the weights, {stored:g}, is of maps by "
        f"{spec.method} of {spec.map_layer}"
    )
