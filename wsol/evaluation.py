"""Scoring a split: from a network and images, or from maps on disk, to scores under a protocol."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import torch

from eval.metrics.localization import (
    MODES,
    LocalizationResult,
    LocalizationScores,
    true_boxes_in_square,
)
from eval.protocols import find_protocol
from wsol.boxes import sweep_boxes
from wsol.heatmap import to_heatmap
from wsol.images import ImageError, read_image
from wsol.loading import read_ahead
from wsol.maps import find_method
from wsol.runtime import evaluation_mode, find_device

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from torch import Tensor, nn

    from eval.manifest import Split
    from tdam.preprocessing import Preprocessing

ClassMap = Literal["ground_truth", "predicted"]
Scored = tuple[int, np.ndarray, "int | None"]  # row of the image, its map, the true class's place


class MapError(ValueError):
    """A map on disk that cannot be scored; the message names its file."""


@dataclass(frozen=True)
class Evaluation:
    """The scores of one split, and under which choices they were taken.

    Args:
        protocol: its name
        split: its name
        interval: step of the grid of thresholds
        rule: how the threshold was set: `oracle` (the best on the scored split itself), `val`
            (the best on the val split) or `fixed`
        class_map: whose map made the boxes, the true class's or the predicted one's
        result: the scores
    """

    protocol: str
    split: str
    interval: float
    rule: str
    class_map: ClassMap
    result: LocalizationResult

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON output: scores in percent, null for what was not asked or not known."""
        chosen_on = {"oracle": self.split, "val": "val"}.get(self.rule)
        scores = self.result.to_dict()
        return {
            "schema": 1,
            "protocol": self.protocol,
            "split": self.split,
            "images": scores.pop("images"),
            "interval": self.interval,
            **scores,
            "pxap": None,
            "threshold": {
                "rule": self.rule,
                "value": self.result.threshold,
                "chosen_on": chosen_on,
            },
            "class_map": self.class_map,
            "intervals95": None,
            "errors": None,
        }


def evaluate(
    model: nn.Module,
    split: Split,
    root: str | Path,
    *,
    method: str = "cam",
    protocol: str = "wsoleval",
    threshold: float | Literal["oracle"] = "oracle",
    rule: str | None = None,
    classes: Mapping[int, int] | None = None,
    class_map: ClassMap = "ground_truth",
    preprocessing: Preprocessing | None = None,
    batch_size: int = 32,
    workers: int = 2,
    device: str = "auto",
    progress: Callable[[int], None] | None = None,
) -> Evaluation:
    """Score a network's localizations on a split.

    Args:
        model: a registered network, or any other with `preprocessing` given
        split: with true boxes
        root: folder that the split's ids are relative to
        method: name of a map method
        protocol: name of a protocol
        threshold: share of the map's range, or `oracle` for the best on this very split
        rule: how a number was come by, for the record; `fixed` by default
        classes: index among the network's outputs by label; None means that they are the same
        class_map: whose map to score; with `predicted`, labels need not fit the network, and what
            needs the true class is None
        preprocessing: what the network wants as input; `squash` is imposed by the protocol
        batch_size: images at once
        workers: threads that read images
        device: `auto`, `cpu`, `cuda`, or any name that torch knows
        progress: called with the number of images done since the last call

    Raises:
        ImageError: an image that cannot be read; the message names it
        ValueError: an unknown name, a split without boxes, labels that do not fit the network
    """
    where = find_device(device)
    wanted = preprocessing or model.spec.preprocessing  # type: ignore[union-attr]
    wanted = replace(cast("Preprocessing", wanted), mode="squash")
    model.to(where)
    read = partial(_read, root=Path(root), split=split, preprocessing=wanted)

    def scored() -> Iterator[Scored]:
        targets = None
        with find_method(method)(model) as extractor, evaluation_mode(model):
            for batch in read_ahead(range(len(split)), read, batch_size, workers):
                rows = [row for row, _ in batch]
                with torch.set_grad_enabled(extractor.needs_gradients):
                    scores = model(torch.stack(_all_read(batch)).to(where))
                    if rows[0] == 0:
                        targets = _targets(split, scores.shape[1], classes, class_map)
                    true = None if targets is None else targets[rows]
                    chosen = scores.argmax(dim=1)
                    if class_map == "ground_truth":
                        chosen = torch.as_tensor(true, device=where)
                    maps = extractor(chosen, scores, normalized=False)[0].cpu().numpy()
                yield from zip(rows, maps, _ranks(scores, true), strict=True)

    return _score(scored(), split, protocol, threshold, rule, class_map, progress)


def evaluate_maps(
    split: Split,
    maps: str | Path,
    *,
    protocol: str = "wsoleval",
    threshold: float | Literal["oracle"] = "oracle",
    rule: str | None = None,
    class_map: ClassMap = "ground_truth",
    progress: Callable[[int], None] | None = None,
) -> Evaluation:
    """Score maps that any program wrote.

    Args:
        split: with true boxes
        maps: folder with `<image id>.npy` for every image (the id's suffix kept), each (S, S) with
            S the protocol's size, in [0, 1]
        protocol: name of a protocol
        threshold: share of the map's range, or `oracle` for the best on this very split
        rule: how a number was come by, for the record; `fixed` by default
        class_map: whose maps they are, for the record
        progress: called with the number of images done since the last call

    Raises:
        MapError: a map that is missing, has another shape, or leaves [0, 1]
        ValueError: an unknown name, or a split without boxes
    """
    folder = Path(maps)
    size = find_protocol(protocol).size

    def scored() -> Iterator[Scored]:
        for row, image_id in enumerate(split.ids):
            yield row, _read_map(folder / f"{image_id}.npy", size), None

    return _score(scored(), split, protocol, threshold, rule, class_map, progress, ready=True)


def _score(
    scored: Iterator[Scored],
    split: Split,
    protocol: str,
    threshold: float | Literal["oracle"],
    rule: str | None,
    class_map: ClassMap,
    progress: Callable[[int], None] | None,
    ready: bool = False,
) -> Evaluation:
    rules = find_protocol(protocol)
    if threshold != "oracle" and not (isinstance(threshold, (int, float)) and 0 <= threshold <= 1):
        raise ValueError(f"Expected threshold to be oracle or in [0, 1] but got {threshold!r}")
    if split.boxes is None or split.sizes is None:
        raise ValueError(f"Expected split {split.name} to have boxes but it has none")
    if class_map not in ("ground_truth", "predicted"):
        raise ValueError(
            f"Expected class_map to be ground_truth or predicted but got {class_map!r}"
        )
    scores = LocalizationScores(rules, None if threshold == "oracle" else threshold)
    for row, raw, rank in scored:
        heat = raw if ready else to_heatmap(raw, (rules.size, rules.size))
        width, height = split.sizes[row].tolist()
        scores.update(
            _sweep(heat, scores.thresholds),
            true_boxes_in_square(split.boxes[row], (width, height), rules),
            rank,
        )
        if progress is not None:
            progress(1)
    return Evaluation(
        protocol=rules.name,
        split=split.name,
        interval=rules.interval,
        rule="oracle" if threshold == "oracle" else rule or "fixed",
        class_map=class_map,
        result=scores.compute(true_class=class_map == "ground_truth"),
    )


def _sweep(heat: np.ndarray, thresholds: np.ndarray) -> dict[str, list[np.ndarray]]:
    return {mode: sweep_boxes(heat, thresholds, mode) for mode in MODES}


def _read(row: int, root: Path, split: Split, preprocessing: Preprocessing) -> Tensor:
    path = root / split.ids[row]
    try:
        return preprocessing(read_image(path))
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from error


def _all_read(batch: list[tuple[int, Tensor | ImageError]]) -> list[Tensor]:
    inputs = []
    for _, ready in batch:
        if isinstance(ready, ImageError):
            raise ready
        inputs.append(ready)
    return inputs


def _ranks(scores: Tensor, targets: np.ndarray | None) -> list[int | None]:
    """Place of the true class among all outputs, from 0; None where it is not known."""
    if targets is None:
        return [None] * len(scores)
    wanted = torch.as_tensor(targets, device=scores.device)[:, None]
    ranks: list[int | None] = (scores > scores.gather(1, wanted)).sum(dim=1).tolist()
    return ranks


def _targets(
    split: Split, outputs: int, classes: Mapping[int, int] | None, class_map: ClassMap
) -> np.ndarray | None:
    """Index of the true class among the network's outputs, (N,), or None where not known."""
    labels = split.labels.tolist()
    if classes is not None:
        unknown = sorted(set(labels) - set(classes))
        if unknown:
            raise ValueError(f"Expected the class table to have every label but not {unknown}")
        classes = {label: classes[label] for label in set(labels)}
        if max(classes.values()) < outputs:
            return np.array([classes[label] for label in labels])
    elif max(labels) + 1 == outputs:
        return split.labels
    if class_map == "predicted":
        return None
    known = max(classes.values()) + 1 if classes else max(labels) + 1
    raise ValueError(
        f"Expected labels for the network's {outputs} classes but got {known} classes; map them "
        "by a class table, or score the predicted class's map"
    )


def _read_map(path: Path, size: int) -> np.ndarray:
    try:
        found = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise MapError(f"{path}: expected a map but there is no such file") from None
    except (OSError, ValueError, EOFError) as error:
        raise MapError(f"{path}: expected an array but {error}") from error
    if not isinstance(found, np.ndarray) or found.shape != (size, size):
        shape = getattr(found, "shape", type(found).__name__)
        raise MapError(f"{path}: expected a map of shape ({size}, {size}) but got {shape}")
    if not (found.min() >= 0 and found.max() <= 1):
        raise MapError(f"{path}: expected values in [0, 1] but got {found.min()} to {found.max()}")
    return found
