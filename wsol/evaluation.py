"""Scoring a split: from maps to scores under one or several protocols, image by image."""

from __future__ import annotations

import hashlib
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from eval.protocols import ClassMap, find_protocol
from wsol.box_scorer import BoxScorer
from wsol.image_results import write_results
from wsol.images import ImageError
from wsol.loading import read_ahead
from wsol.map_sources import FolderMaps, FoundMap, MapError, MapSource, NetworkMaps
from wsol.mask_scorer import MaskScorer
from wsol.work_file import WorkFile

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import nn

    from eval.metrics.localization import LocalizationResult
    from eval.metrics.pixels import PixelResult
    from eval.protocols import Protocol
    from eval.splits import Split
    from tdam.preprocessing import Preprocessing
    from wsol.map_files import MapWriter

Threshold = float | Literal["oracle"] | None
# What is kept of one image beside its scores under each protocol.
_IMAGE = [
    ("row", np.int32),
    ("label", np.int32),
    ("rank", np.int32),
    ("score", np.float64),
    ("region", np.float64, 4),
    ("fault", "S400"),
]


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
        unreadable: images or maps that could not be read, with the reason; they count as missed
    """

    protocol: str
    split: str
    interval: float
    rule: str
    class_map: ClassMap
    result: LocalizationResult | PixelResult
    unreadable: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON output: scores in percent, null for what was not asked or not known."""
        scores = {**dict.fromkeys(_KEYS), **self.result.to_dict()}
        value = getattr(self.result, "threshold", None)
        chosen_on = {"oracle": self.split, "val": "val"}.get(self.rule)
        return {
            "schema": 1,
            "protocol": self.protocol,
            "split": self.split,
            "images": scores.pop("images"),
            "interval": self.interval,
            **scores,
            "threshold": {"rule": self.rule, "value": value, "chosen_on": chosen_on},
            "class_map": self.class_map,
            "unreadable": list(self.unreadable),
        }


_KEYS = (
    "images", "max_box_acc", "max_box_acc_threshold", "max_box_acc_v2", "box_acc", "curves", "pxap",
    "peak_pixel_iou", "gt_known_loc", "top1_loc", "top5_loc", "top1_cls", "top5_cls", "intervals95",
    "errors", "several_true_boxes", "without_true_box", "baselines",
)  # fmt: skip


def evaluate(
    model: nn.Module,
    split: Split,
    root: str | Path,
    *,
    method: str = "cam",
    protocol: str | Protocol = "wsoleval",
    threshold: Threshold = None,
    rule: str | None = None,
    classes: Mapping[int, int] | None = None,
    class_map: ClassMap | None = None,
    preprocessing: Preprocessing | None = None,
    mask_root: str | Path | None = None,
    batch_size: int = 32,
    workers: int = 2,
    device: str = "auto",
    out: str | Path | None = None,
    progress: Callable[[int], None] | None = None,
) -> Evaluation:
    """Score a network's localizations on a split.

    Args:
        model: a registered network, or any other with `preprocessing` given
        split: with true boxes or masks
        root: folder that the split's ids are relative to
        method: name of a map method
        protocol: name of a protocol, path of its TOML file, or the record itself
        threshold: share of the map's range, `oracle` for the best on this very split, or None for
            the protocol's own if it has one, else `oracle`
        rule: how a number was come by, for the record; `fixed` by default
        classes: index among the network's outputs by label; None means that they are the same
        class_map: whose map to score; with `predicted`, labels need not fit the network, and what
            needs the true class is None; None: as the protocol has it
        preprocessing: what the network wants as input; the protocol says how an image is cut
        mask_root: folder that the split's mask paths are relative to; None: `root`
        batch_size: images at once
        workers: threads that read images and score maps
        device: `auto`, `cpu`, `cuda`, or any name that torch knows
        out: folder for per-image results; a run that was cut off in it goes on
        progress: called with the number of images done since the last call

    Raises:
        ValueError: an unknown name, a split without boxes, labels that do not fit the network
    """
    rules = find_protocol(protocol)
    source = NetworkMaps(
        model,
        split,
        Path(root),
        method,
        classes,
        class_map or rules.class_map,
        rules.image,
        preprocessing,
        batch_size,
        workers,
        device,
    )
    return score_maps(
        source,
        [rules],
        [threshold],
        rule=rule,
        mask_root=mask_root or root,
        workers=workers,
        out=out,
        progress=progress,
    )[0]


def evaluate_maps(
    split: Split,
    maps: str | Path,
    *,
    protocol: str | Protocol = "wsoleval",
    threshold: Threshold = None,
    rule: str | None = None,
    class_map: ClassMap | None = None,
    mask_root: str | Path | None = None,
    allow_missing: bool = False,
    workers: int = 2,
    out: str | Path | None = None,
    progress: Callable[[int], None] | None = None,
) -> Evaluation:
    """Score maps that any program wrote.

    Args:
        split: with true boxes or masks
        maps: folder with `<image id>.npy` for every image (the id's suffix kept), each (S, S) with
            S the protocol's size, in [0, 1], or uint8 with 255 for 1
        protocol: name of a protocol, path of its TOML file, or the record itself
        threshold: as for `evaluate`
        rule: how a number was come by, for the record; `fixed` by default
        class_map: whose maps they are, for the record; None: as the protocol has it
        mask_root: folder that the split's mask paths are relative to; None: `maps`
        allow_missing: count maps that are missing or broken as missed
        workers: threads that read and score maps
        out: folder for per-image results; a run that was cut off in it goes on
        progress: called with the number of images done since the last call

    Raises:
        MapError: a map that is missing, has another shape or leaves [0, 1], or one of no image
        ValueError: an unknown name, or a split without boxes
    """
    rules = find_protocol(protocol)
    source = FolderMaps(split, Path(maps), class_map or rules.class_map, allow_missing)
    return score_maps(
        source,
        [rules],
        [threshold],
        rule=rule,
        mask_root=mask_root or maps,
        workers=workers,
        out=out,
        progress=progress,
    )[0]


def score_maps(
    source: MapSource,
    protocols: Sequence[Protocol],
    thresholds: Sequence[Threshold],
    *,
    rule: str | None = None,
    mask_root: str | Path | None = None,
    workers: int = 2,
    out: str | Path | None = None,
    save: MapWriter | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[Evaluation]:
    """Score the same maps under one or several protocols.

    Memory does not grow with the number of images. What is known of an image goes to `out`, where
    a run that was cut off goes on after the last whole batch, to the same figures.

    Args:
        source: of the maps
        protocols: at least one
        thresholds: one a protocol, as for `evaluate`
        rule: how numbers were come by, for the record; `fixed` by default
        mask_root: folder that the split's mask paths are relative to
        workers: threads that score
        out: folder for per-image results; with several protocols, of one folder each
        save: also writes the first protocol's maps
        progress: called with the number of images done since the last call

    Returns:
        one record a protocol

    Raises:
        MapError: maps on disk that cannot be scored
        ValueError: an unknown name, or a split without boxes
        wsol.work_file.WorkFileError: `out` holds an unfinished run with other settings
    """
    split = source.split
    if source.class_map not in get_args(ClassMap):
        raise ValueError(
            f"Expected class_map to be one of {get_args(ClassMap)} but got {source.class_map!r}"
        )
    scorer_of = BoxScorer if split.masks is None else partial(MaskScorer, root=mask_root)
    scorers = [
        scorer_of(split, rules, _level(rules, threshold))
        for rules, threshold in zip(protocols, thresholds, strict=True)
    ]
    dtype = np.dtype([*_IMAGE, *((f"p{i}", each.dtype) for i, each in enumerate(scorers))])
    unreadable: list[str] = []
    work = None
    folder = None if out is None else Path(out)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        header = _describe(source, protocols, scorers)
        work = WorkFile(folder, header, dtype, source.batch_size)

    def score(found: FoundMap) -> Any:
        record = np.zeros((), dtype)
        fault = found.fault
        heats: list[np.ndarray | None] = [None] * len(scorers)
        if found.heat is not None:
            try:
                heats = [found.heat(rules) for rules in protocols]
            except ImageError as error:
                fault = str(error)
        size = (1, 1) if split.sizes is None else split.sizes[found.row].tolist()
        region = np.multiply(found.region, (*size, *size))
        for i, scorer in enumerate(scorers):
            heat = heats[i]
            if heat is None:
                heat = np.zeros((scorer.protocol.size,) * 2)
            record[f"p{i}"] = scorer.trace(found.row, heat, region)
        if save is not None and heats[0] is not None:
            save.write(split.ids[found.row], heats[0])
        record["row"], record["label"], record["score"] = found.row, found.label, found.score
        record["rank"] = -1 if found.rank is None else found.rank
        record["region"], record["fault"] = region, fault.encode()[:400]
        return record[()]

    def add(record: Any) -> None:
        if record["fault"]:
            unreadable.append(record["fault"].decode(errors="replace"))
        for i, scorer in enumerate(scorers):
            scorer.add(record, record[f"p{i}"])
        if progress is not None:
            progress(1)

    try:
        if work is not None:
            for record in work:
                add(record)
        found = source.read(0 if work is None else work.done)
        with closing(found):  # so that hooks and modes are undone before an exception leaves
            for batch in read_ahead(found, score, source.batch_size, workers):
                records = [record for _, record in batch if not isinstance(record, ImageError)]
                for record in records:
                    add(record)
                if work is not None:
                    work.append(records)
        if unreadable and isinstance(source, FolderMaps) and not source.allow_missing:
            if work is not None:
                work.remove()
            raise MapError(unreadable)
        evaluations = [
            Evaluation(
                protocol=scorer.protocol.name,
                split=split.name,
                interval=scorer.protocol.interval,
                rule="oracle" if scorer.threshold is None else rule or "fixed",
                class_map=source.class_map,
                result=scorer.compute(source.class_map == "ground_truth"),
                unreadable=tuple(unreadable),
            )
            for scorer in scorers
        ]
        if folder is not None and work is not None:
            for i, (scorer, each) in enumerate(zip(scorers, evaluations, strict=True)):
                place = folder if len(scorers) == 1 else folder / scorer.protocol.name
                level = getattr(each.result, "threshold", 0.0)
                rows = (scorer.describe(record, record[f"p{i}"], level) for record in work)
                write_results(place, each.to_dict(), rows)
            work.remove()
    finally:
        if work is not None:
            work.close()
    return evaluations


def _level(rules: Protocol, threshold: Threshold) -> float | None:
    """Turn what was asked for into a number, or None for an oracle."""
    if threshold is None:
        return rules.threshold
    if threshold == "oracle":
        return None
    if not (isinstance(threshold, (int, float)) and 0 <= threshold <= 1):
        raise ValueError(f"Expected threshold to be oracle or in [0, 1] but got {threshold!r}")
    return float(threshold)


def _describe(
    source: MapSource, protocols: Sequence[Protocol], scorers: Sequence[BoxScorer | MaskScorer]
) -> dict[str, Any]:
    """Name everything that the records depend on."""
    split = source.split
    digest = hashlib.sha256("\n".join(split.ids).encode("utf-8", "surrogateescape"))
    digest.update(split.labels.tobytes())
    for boxes in split.boxes or ():
        digest.update(np.asarray(boxes, np.float64).tobytes())
    return {
        **source.describe(),
        "split": split.name,
        "images": len(split),
        "truth": digest.hexdigest(),
        "protocols": [{**asdict(rules), "source": ""} for rules in protocols],
        "thresholds": [scorer.threshold for scorer in scorers],
    }
