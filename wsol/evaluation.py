"""Scoring a split: from a network and images, or from maps on disk, to scores under a protocol."""

from __future__ import annotations

import sys
from contextlib import closing
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
    from collections.abc import Callable, Generator, Mapping

    from torch import Tensor, nn

    from eval.manifest import Split
    from tdam.preprocessing import Preprocessing

ClassMap = Literal["ground_truth", "predicted"]
# Row of the image, its map (None where it could not be read), place of the true class.
Scored = tuple[int, "np.ndarray | None", "int | None"]


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
        unreadable: images that could not be read, with the reason; they count as missed
    """

    protocol: str
    split: str
    interval: float
    rule: str
    class_map: ClassMap
    result: LocalizationResult
    unreadable: tuple[str, ...] = ()

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
            "unreadable": list(self.unreadable),
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
        ValueError: an unknown name, a split without boxes, labels that do not fit the network
    """
    where = find_device(device)
    wanted = preprocessing or model.spec.preprocessing  # type: ignore[union-attr]
    wanted = replace(cast("Preprocessing", wanted), mode="squash")
    model.to(where)
    read = partial(_read, root=Path(root), split=split, preprocessing=wanted)

    def scored() -> Generator[Scored]:
        targets = None
        outputs = sys.maxsize  # no place among the predictions
        with find_method(method)(model) as extractor, evaluation_mode(model):
            for batch in read_ahead(range(len(split)), read, batch_size, workers):
                rows = []
                for row, ready in batch:
                    if isinstance(ready, ImageError):
                        unreadable.append(str(ready))
                        yield row, None, outputs
                    else:
                        rows.append(row)
                if not rows:
                    continue
                with torch.set_grad_enabled(extractor.needs_gradients):
                    inputs = [x for _, x in batch if not isinstance(x, ImageError)]
                    scores = model(torch.stack(inputs).to(where))
                    if targets is None:
                        targets = _targets(split, scores.shape[1], classes, class_map)
                    true = None if targets is None else targets[rows]
                    chosen = scores.argmax(dim=1)
                    if class_map == "ground_truth":
                        chosen = torch.as_tensor(true, device=where)
                    maps = extractor(chosen, scores, normalized=False)[0].cpu().numpy()
                yield from zip(rows, maps, _ranks(scores, true), strict=True)

    unreadable: list[str] = []
    found = _score(scored(), split, protocol, threshold, rule, class_map, progress)
    return replace(found, unreadable=tuple(unreadable))


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

    def scored() -> Generator[Scored]:
        for row, image_id in enumerate(split.ids):
            yield row, _read_map(folder / f"{image_id}.npy", size), None

    return _score(scored(), split, protocol, threshold, rule, class_map, progress, ready=True)


def _score(
    scored: Generator[Scored],
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
    with closing(scored):  # so that hooks and modes are undone before an exception leaves
        for row, raw, rank in scored:
            if raw is None:
                heat = np.zeros((rules.size, rules.size))
            else:
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


def _ranks(scores: Tensor, targets: np.ndarray | None) -> list[int | None]:
    """Place of the true class among all outputs, from 0; None where it is not known.

    Among equal scores the first output comes first, as argmax has it; scores that are not numbers
    put the true class last.
    """
    if targets is None:
        return [None] * len(scores)
    order = scores.argsort(dim=1, descending=True, stable=True)
    wanted = torch.as_tensor(targets, device=scores.device)[:, None]
    places = (order == wanted).int().argmax(dim=1)
    last = scores.shape[1] - 1
    ranks: list[int | None] = torch.where(scores.isnan().any(dim=1), last, places).tolist()
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
    numbers = np.issubdtype(getattr(found, "dtype", str), np.number)
    if not numbers or np.iscomplexobj(found) or found.shape != (size, size):
        what = f"{getattr(found, 'dtype', type(found).__name__)} {getattr(found, 'shape', '')}"
        raise MapError(f"{path}: expected numbers of shape ({size}, {size}) but got {what}")
    if not (found.min() >= 0 and found.max() <= 1):
        raise MapError(f"{path}: expected values in [0, 1] but got {found.min()} to {found.max()}")
    return found
