"""One run over the maps of a split: scored in threads, kept on disk, told image by image."""

from __future__ import annotations

import hashlib
import json
from contextlib import closing
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from eval.protocols import ClassMap
from wsol.evaluation.box_scorer import BoxScorer
from wsol.evaluation.image_results import SCORES, write_results
from wsol.evaluation.map_source import MapError
from wsol.evaluation.mask_scorer import MaskScorer
from wsol.evaluation.result import Evaluation
from wsol.evaluation.resume_file import SETTINGS, ResumeFile, is_finished
from wsol.images import ImageError
from wsol.loading import read_ahead

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from eval.protocols import Protocol
    from wsol.evaluation.kept_maps import MapKeeper
    from wsol.evaluation.map_files import MapWriter
    from wsol.evaluation.map_source import FoundMap, MapSource

Threshold = float | Literal["oracle"] | None
# What is kept of one image beside its scores under each protocol.
_IMAGE = [
    ("row", np.int32),
    ("label", np.int32),
    ("predicted", np.int32),
    ("rank", np.int32),
    ("score", np.float64),
    ("region", np.float64, 4),
    ("fault", "S1000"),
]


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
    keep: MapKeeper | None = None,
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
        keep: also keeps what a report shows of them
        progress: called with the number of images done since the last call

    Returns:
        one record a protocol

    Raises:
        MapError: maps on disk that cannot be scored
        ValueError: an unknown name, or a split without boxes
        wsol.evaluation.resume_file.ResumeError: `out` holds an unfinished run with other settings
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
    dtype = _record_type([scorer.dtype for scorer in scorers])
    unreadable: list[str] = []
    work = None
    folder = None if out is None else Path(out)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        levels = [scorer.threshold for scorer in scorers]
        header = _describe(source, protocols, levels, mask_root, save)
        work = ResumeFile(folder, header, dtype, source.batch_size)

    def score(found: FoundMap) -> Any:
        record = np.zeros((), dtype)
        fault = found.fault
        heats: list[np.ndarray | None] = [None] * len(scorers)
        if found.heat is not None:
            try:
                heats = [found.heat(rules) for rules in protocols]
            except ImageError as error:
                fault = str(error)
        size = split.size(found.row) or (1, 1)
        region = np.multiply(found.region, (*size, *size))
        for i, scorer in enumerate(scorers):
            heat = heats[i]
            if heat is None:
                heat = np.zeros((scorer.protocol.size,) * 2)
            record[f"p{i}"] = scorer.trace(found.row, heat, region)
        if save is not None and heats[0] is not None:
            save.write(split.ids[found.row], heats[0])
        if keep is not None and heats[0] is not None:
            keep.write(found.row, heats[0], region)
        record["row"], record["label"], record["score"] = found.row, found.label, found.score
        record["rank"] = -1 if found.rank is None else found.rank
        record["predicted"] = -1 if found.predicted is None else found.predicted
        record["region"], record["fault"] = region, fault.encode("utf-8", "surrogateescape")[:1000]
        return record[()]

    def add(record: Any) -> None:
        if record["fault"]:
            unreadable.append(record["fault"].decode("utf-8", "surrogateescape"))
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
                records: list[Any] = [record for _, record in batch]
                for record in records:
                    add(record)
                if work is not None:
                    work.append(records)
        if unreadable and not source.allow_missing:
            if work is not None:
                work.remove()
            raise MapError(unreadable)
        evaluations = [
            Evaluation(
                protocol=scorer.protocol,
                split=split.name,
                image=source.image,
                rule=_rule(scorer, rule),
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
            work.finish()
    finally:
        if work is not None:
            work.close()
    return evaluations


def is_scored(
    source: MapSource,
    protocols: Sequence[Protocol],
    thresholds: Sequence[Threshold],
    out: Path,
    *,
    save: MapWriter | None = None,
) -> bool:
    """Tell whether this very run over boxes has ended in a folder: same maps, truth and rules.

    Args:
        source: of the maps
        protocols: as for `score_maps`, like the next three
        thresholds: one a protocol
        out: folder of the results
        save: of maps
    """
    if not (out / SETTINGS).is_file():  # most often: before all weights are read for a header
        return False
    levels = [_level(rules, each) for rules, each in zip(protocols, thresholds, strict=True)]
    header = _describe(source, protocols, levels, None, save)
    return is_finished(out, header, _record_type([BoxScorer.dtype] * len(protocols)))


def finished_thresholds(
    source: MapSource, protocols: Sequence[Protocol], out: Path, save: MapWriter | None
) -> tuple[list[float], list[str]] | None:
    """Read the best thresholds of a run that ended in a folder, if it is this very run.

    Args:
        source: of the maps
        protocols: as for `score_maps`, each with an oracle threshold
        out: as for `score_maps`
        save: as for `score_maps`

    Returns:
        one a protocol, and what could not be read; None where the folder holds something else
    """
    if not is_scored(source, protocols, ["oracle"] * len(protocols), out, save=save):
        return None
    places = [out] if len(protocols) == 1 else [out / rules.name for rules in protocols]
    try:
        found = [json.loads((place / SCORES).read_text(encoding="utf-8")) for place in places]
    except OSError:
        return None
    return [scores["max_box_acc_threshold"] for scores in found], list(found[0]["unreadable"])


def _record_type(traces: Sequence[np.dtype]) -> np.dtype:
    return np.dtype([*_IMAGE, *((f"p{i}", each) for i, each in enumerate(traces))])


def _rule(scorer: BoxScorer | MaskScorer, rule: str | None) -> str | None:
    if isinstance(scorer, MaskScorer):
        return None  # no score of masks has a threshold
    return "oracle" if scorer.threshold is None else rule or "fixed"


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
    source: MapSource,
    protocols: Sequence[Protocol],
    thresholds: Sequence[float | None],
    mask_root: str | Path | None,
    save: MapWriter | None,
) -> dict[str, Any]:
    """Name everything that the records depend on."""
    split = source.split
    digest = hashlib.sha256("\n".join(split.ids).encode("utf-8", "surrogateescape"))
    digest.update(split.labels.tobytes())
    if split.sizes is not None:
        digest.update(split.sizes.tobytes())
    for boxes in split.boxes or ():
        digest.update(np.asarray(boxes, np.float64).tobytes())
    digest.update(repr(split.masks).encode("utf-8", "surrogateescape"))
    return {
        **source.describe(),
        "split": split.name,
        "images": len(split),
        "truth": digest.hexdigest(),
        "protocols": [{**asdict(rules), "source": ""} for rules in protocols],
        "thresholds": list(thresholds),
        "mask_root": None if split.masks is None else str(Path(mask_root or "").resolve()),
        "save_maps": None if save is None else save.precision,
        "version": version("wsol-tdam"),
    }
