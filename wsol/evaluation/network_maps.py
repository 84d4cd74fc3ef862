"""Maps that a network makes of the images of a split."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from eval.geometry import square_to_image
from tdam.describe import spec_of
from tdam.steps import count_steps
from wsol.evaluation.label_scorer import has_labels_only
from wsol.evaluation.map_source import NO_RANK, TOP, FoundMap
from wsol.evaluation.true_images import TrueImages
from wsol.fingerprints import describe_images, hash_code, hash_modules, hash_weights
from wsol.frames import cut_frame
from wsol.heatmap import stretch_map
from wsol.images import NOT_FINITE, ImageError
from wsol.label_matching import true_outputs
from wsol.loading import read_images
from wsol.same_files import check_same_files

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence
    from pathlib import Path

    from torch import Tensor, nn

    from eval.protocols import ClassMap
    from eval.protocols import Protocol as Rules
    from eval.splits import Split
    from eval.stored_sizes import Size
    from tdam.preprocessing import Preprocessing
    from wsol.evaluation.guess_maps import GuessMaps
    from wsol.maps import MapExtractor


@dataclass(frozen=True, eq=False)
class NetworkMaps:
    """Maps that a network makes of images.

    Args:
        model: a registered network, or any other with `preprocessing` given
        split: ids and labels
        root: folder that the split's ids are relative to
        method: map method, by name or as a class
        classes: index among the network's outputs by label; None means that they are the same
        class_map: whose map; with `predicted`, labels need not fit the network
        image: `squash` or `crop`, what the network sees of an image
        preprocessing: what the network wants as input
        batch_size: images at once
        workers: threads that read images
        device: `auto`, `cpu`, `cuda`, or any name that torch knows
        layer: what the maps are made of; None for the registered network's own
        step: of a registered network's last stage, 1 to T, whose map and classes count; None for
            the last
        fc_layer: the classifier's linear layer, which class activation maps need; None for the
            registered network's own
        overlaps: what the scores have to tell of images that are not only scored; None where that
            is not known
        precision: that the network computes in, one of `tdam.precision.PRECISIONS`
        channels_last: memory layout of what it computes on; None for what
            `wsol.runtime.settle_layout` finds faster
        smooth: one of `wsol.maps.smoothing.SMOOTH`
        guesses: give what every step says of an image too, and at the last step as many classes;
            0 for neither
        frames: (N, 4), the part of each image that the network sees, as `wsol.frames.cut_frame`
            takes it; None for all of it

    Raises:
        ValueError: a step that the network lacks, or a step beside a layer
    """

    model: nn.Module
    split: Split
    root: Path
    method: str | type[MapExtractor]
    classes: Mapping[int, int] | None = None
    class_map: ClassMap = "ground_truth"
    image: Literal["squash", "crop"] = "squash"
    preprocessing: Preprocessing | None = None
    batch_size: int = 32
    workers: int = 2
    device: str = "auto"
    layer: str | None = None
    step: int | None = None
    fc_layer: str | None = None
    overlaps: tuple[str, ...] | None = ()
    precision: str = "float32"
    channels_last: bool | None = None
    smooth: str = "none"
    guesses: int = 0
    frames: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.step is None:
            return
        if self.layer is not None:
            raise ValueError(f"Expected a step or a layer but got {self.step} and {self.layer}")
        steps = count_steps(self.model)
        if not 1 <= self.step <= steps:
            raise ValueError(f"Expected a step from 1 to {steps} but got {self.step}")

    @property
    def method_name(self) -> str:
        """What tables and records call the map method."""
        return self.method if isinstance(self.method, str) else self.method.__name__.lower()

    @property
    def allow_missing(self) -> bool:
        """Images that cannot be read count as missed."""
        return True

    @property
    def places(self) -> int:
        """A network tells all its classes in their order."""
        return TOP

    @cached_property
    def layout(self) -> bool:
        """Whether the network computes on channels_last."""
        from wsol.runtime import find_device, settle_layout

        return settle_layout(self.model, find_device(self.device), self.channels_last)

    @cached_property
    def origin(self) -> dict[str, Any]:
        """Hashes of weights and images, the same on every machine, and how is computed."""
        return {
            "weights_sha256": hash_weights(self.model.state_dict()),
            **describe_images(self.split, self.root),
            "precision": self.precision,
            "channels_last": self.layout,
            **({} if self.smooth == "none" else {"smooth": self.smooth}),
        }

    def describe(self) -> dict[str, Any]:
        """Name images, network, weights and settings."""
        return {
            "weights": self.origin["weights_sha256"],
            "network": getattr(self.model, "settings", type(self.model).__name__),
            "modules": hash_modules(self.model),
            "root": str(self.root.resolve()),
            "image_files": self.origin["contents_sha256"],
            "image": self.image,
            "method": self._describe_method(),
            "layer": self.map_layer,
            "class_map": self.class_map,
            "preprocessing": f"{self.input!r} {hash_code(type(self.input))}",
            "classes": sorted((self.classes or {}).items()),
            "batch_size": self.batch_size,
            **({} if self.step is None else {"step": self.step}),
            **({} if self.fc_layer is None else {"fc_layer": self.fc_layer}),
            **describe_arithmetic(self.precision, self.layout, self.smooth),
            **({"guesses": self.guesses} if self.guesses else {}),
            **({} if self.frames is None else {"frames": self.frames.tolist()}),
        }

    def _describe_method(self) -> str:
        """Name the map method, of other libraries with their version, or hash its code."""
        from wsol.maps.names import METHODS, OTHER_METHODS, find_method

        if self.method_name in METHODS:
            return self.method_name
        kind = find_method(self.method)
        return kind.__qualname__ if self.method_name in OTHER_METHODS else hash_code(kind)

    @property
    def input(self) -> Preprocessing:
        """What the network is given of an image."""
        wanted = self.preprocessing or spec_of(self.model).preprocessing
        return replace(wanted, mode=self.image)

    @property
    def map_layer(self) -> str:
        """Name of the module that the maps are made of.

        Raises:
            ValueError: the network is not registered and no layer was given
        """
        from wsol.maps import find_method
        from wsol.maps.core import default_layer

        usual = find_method(self.method).usual_layer
        return self.layer or default_layer(self.model, usual, "layer")

    def check_views(self) -> None:
        """Refuse smoothing by images of sizes that the network does not take.

        Raises:
            ValueError: it does not
        """
        from wsol.maps.passes import check_sizes

        if self.smooth != "none":
            check_sizes(self._make_extractor(), self.input.size)

    def _make_extractor(self) -> MapExtractor:
        from wsol.maps import find_method
        from wsol.maps.names import head_options

        options = head_options(self.method, self.fc_layer)
        extractor = find_method(self.method)(self.model, self.map_layer, **options)
        extractor.precision, extractor.channels_last = self.precision, self.layout
        extractor.smooth = self.smooth
        return extractor

    def check(self) -> None:
        """Refuse images that the processes of a job do not all see alike.

        What cannot be read counts as missed.

        Raises:
            ManifestError: there is one
        """
        check_same_files(map(self.root.joinpath, self.split.ids))

    def read(self, rows: Sequence[int]) -> Generator[FoundMap]:
        """Give the maps of some rows.

        Raises:
            ValueError: an unknown name, or labels that do not fit the network
        """
        import torch

        from tdam.modes import evaluation_mode
        from wsol.evaluation.guess_maps import collect_guesses
        from wsol.maps.passes import run_pass
        from wsol.runtime import ask_for_memory, find_device

        ask_for_memory()
        where = find_device(self.device)
        self.model.to(where)
        targets = None
        images = TrueImages(self.split, self.root)
        load = partial(_read_image, images=images, preprocessing=self.input, frames=self.frames)
        extractor = self._make_extractor()
        at = -1 if self.step is None else self.step - 1
        stepwise = self.step is not None or self.guesses > 0
        localizes = not has_labels_only(self.split)
        with evaluation_mode(self.model):
            for batch in read_images(rows, load, self.batch_size, self.workers, where):
                readable = batch.readable
                maps_of = {
                    row: FoundMap(row, None, str(error), rank=NO_RANK)
                    for row, error in batch.unreadable
                }
                if batch.images is None:
                    yield from maps_of.values()
                    continue
                seen = run_pass(extractor, batch.images, stepwise=stepwise)
                scores = seen.scores.unflatten(0, (seen.steps, -1))[at]
                if targets is None:
                    needed = self.class_map == "ground_truth" or self.guesses > 0
                    targets = true_outputs(self.split, self.classes, scores.shape[1], needed)
                true = None if targets is None else targets[[row for row, _ in readable]]
                chosen = scores.argmax(dim=1)
                predicted = chosen.tolist()
                if self.class_map == "ground_truth":
                    chosen = torch.as_tensor(true, device=where)
                maps = np.zeros((len(readable), 1, 1))
                guesses: list[GuessMaps | None] = [None] * len(readable)
                if localizes:
                    every = seen.maps(chosen)
                    maps = every[:, at].detach().cpu().numpy()
                    if self.guesses and true is not None:
                        if self.class_map != "ground_truth":
                            every = seen.maps(torch.as_tensor(true, device=where))
                        guesses = collect_guesses(seen, true, every, self.guesses)
                all_likely = seen.probabilities[:, at]
                likely = all_likely.gather(1, chosen[:, None])[:, 0].tolist()
                order = order_classes(scores)
                top, likeliest = order[:, :TOP], all_likely.gather(1, order[:, :TOP])
                tops = [
                    tuple(zip(*each, strict=True))
                    for each in zip(top.tolist(), likeliest.tolist(), strict=True)
                ]
                finite = all_likely.isfinite().all(dim=1).tolist()
                for index, (label, rank) in enumerate(
                    zip(chosen.tolist(), rank_classes(scores, true, order), strict=True)
                ):
                    row, (region, size) = readable[index]
                    if not finite[index] or not np.isfinite(maps[index]).all():
                        fault = f"{self.split.ids[row]}: {NOT_FINITE}"
                        maps_of[row] = FoundMap(row, None, fault, rank=NO_RANK)
                        continue
                    maps_of[row] = FoundMap(
                        row=row,
                        heat=partial(_upsample, maps[index]) if localizes else None,
                        label=label,
                        rank=rank,
                        score=likely[index],
                        region=region,
                        predicted=predicted[index],
                        size=size,
                        guesses=guesses[index],
                        top=tops[index],
                    )
                yield from (maps_of[row] for row, _ in batch.outcomes)


def describe_arithmetic(precision: str, channels_last: bool, smooth: str) -> dict[str, Any]:
    """Name how maps are computed, as far as it is not as usual."""
    usual = {"precision": "float32", "channels_last": False, "smooth": "none"}
    chosen = {"precision": precision, "channels_last": channels_last, "smooth": smooth}
    return {name: value for name, value in chosen.items() if value != usual[name]}


def _read_image(
    row: int, images: TrueImages, preprocessing: Preprocessing, frames: np.ndarray | None
) -> tuple[Tensor, tuple[tuple[float, float, float, float], Size]]:
    try:
        image = images.read(row)
    except ImageError as error:
        raise ImageError(f"{images.split.ids[row]}: {error}") from error
    size, frame = image.size, (0.0, 0.0, 1.0, 1.0)
    if frames is not None:
        frame = frames[row].tolist()
        image = cut_frame(image, frames[row], preprocessing.size)
    width, height = image.size
    shown = np.divide(preprocessing.region(width, height), (width, height, width, height))
    x0, y0, x1, y1 = square_to_image(shown[None], 1, frame)[0].tolist()
    return preprocessing(image), ((x0, y0, x1, y1), size)


def _upsample(raw: np.ndarray, rules: Rules) -> np.ndarray:
    return stretch_map(raw, (rules.size, rules.size), rules.interpolation)


def order_classes(scores: Tensor) -> Tensor:
    """Sort outputs by their scores; among equal ones the first comes first, as argmax has it."""
    return scores.argsort(dim=1, descending=True, stable=True)


def rank_classes(
    scores: Tensor, targets: np.ndarray | None, order: Tensor | None = None
) -> list[int | None]:
    """Position of the true class among all outputs, from 0; None where it is not known.

    Scores that are not numbers put the true class last. `order` is that of `order_classes`, where
    it is known already.
    """
    import torch

    if targets is None:
        return [None] * len(scores)
    order = order_classes(scores) if order is None else order
    wanted = torch.as_tensor(targets, device=scores.device)[:, None]
    positions = (order == wanted).int().argmax(dim=1)
    last = scores.shape[1] - 1
    ranks: list[int | None] = torch.where(scores.isnan().any(dim=1), last, positions).tolist()
    return ranks
