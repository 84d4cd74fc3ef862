"""One run over the maps of a split: scored in threads, kept on disk, told image by image."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

import numpy as np

from eval.protocols import ClassMap
from tdam.events import SILENT, Events
from wsol.blank_maps import BlankMaps
from wsol.evaluation.box_scorer import BoxScorer
from wsol.evaluation.image_results import PREDICTIONS, discard_results, write_results
from wsol.evaluation.label_scorer import choose_scorer
from wsol.evaluation.map_source import TOP, MapError
from wsol.evaluation.pass_header import describe_pass
from wsol.evaluation.predictions import write_predictions
from wsol.evaluation.result import Evaluation
from wsol.evaluation.resume_file import ResumeFile
from wsol.images import ImageError
from wsol.loading import read_ahead
from wsol.out_files import make_folder
from wsol.sharing import deal_rows, share

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from eval.protocols import Protocol
    from wsol.evaluation.kept_maps import MapKeeper
    from wsol.evaluation.label_scorer import LabelScorer
    from wsol.evaluation.map_files import MapWriter
    from wsol.evaluation.map_source import FoundMap, MapSource
    from wsol.evaluation.mask_scorer import MaskScorer

Threshold = float | Literal["oracle"] | None
# What is kept of one image beside its scores under each protocol.
_IMAGE = [
    ("row", np.int32),
    ("label", np.int32),
    ("predicted", np.int32),
    ("rank", np.int32),
    ("score", np.float64),
    ("region", np.float64, 4),
    ("top", np.int32, TOP),
    ("top_scores", np.float64, TOP),
    ("listed", np.uint8),
    ("fault", "S1000"),
]


@dataclass(frozen=True, eq=False)
class Measured:
    """What a pass over maps makes of one.

    Args:
        record: (), of the pass's `dtype`
        saved: content of the map's file; empty for none
        kept: of what a report keeps of it; empty for nothing
    """

    record: np.ndarray
    saved: bytes
    kept: bytes


class ScoringPass:
    """One pass over the maps of a source, under one or several protocols.

    `measure` turns a map into a record, in any thread of any process; `add` adds records up, one
    after the other. Another process gets a pass that nothing was added to.

    Args:
        source: of the maps
        protocols: at least one
        thresholds: one a protocol, as for `evaluate`
        rule: that gave thresholds which are numbers, for the record; `fixed` by default
        mask_root: folder that the split's mask paths are relative to
        save: also writes the first protocol's maps
        keep: also keeps what a report shows of them
        unreadable_chosen_on: what could not be read of the images that the thresholds are from

    Raises:
        ValueError: an unknown name, or a split without boxes
    """

    def __init__(
        self,
        source: MapSource,
        protocols: Sequence[Protocol],
        thresholds: Sequence[Threshold],
        *,
        rule: str | None = None,
        mask_root: str | Path | None = None,
        save: MapWriter | None = None,
        keep: MapKeeper | None = None,
        unreadable_chosen_on: Sequence[str] = (),
    ) -> None:
        if source.class_map not in get_args(ClassMap):
            raise ValueError(
                f"Expected class_map to be one of {get_args(ClassMap)} but got {source.class_map!r}"
            )
        self.source, self.protocols = source, tuple(protocols)
        self.thresholds, self.rule, self.mask_root = tuple(thresholds), rule, mask_root
        self.save, self.keep = save, keep
        self.unreadable_chosen_on = tuple(unreadable_chosen_on)
        scorer_of = choose_scorer(source.split, mask_root)
        self.scorers: list[BoxScorer | MaskScorer | LabelScorer] = [
            scorer_of(source.split, rules, settle_threshold(rules, threshold))
            for rules, threshold in zip(protocols, thresholds, strict=True)
        ]
        self.dtype = record_type([scorer.dtype for scorer in self.scorers])
        self.unreadable: list[str] = []
        self.ranked = True  # whether the true class has a known rank on every image
        self.maps = BlankMaps()

    def __reduce__(self) -> tuple[Any, ...]:
        making = partial(type(self), **self.options())
        return making, (self.source, self.protocols, self.thresholds)

    def options(self) -> dict[str, Any]:
        """Give the options that another process needs to make such a pass."""
        return {
            "rule": self.rule, "mask_root": self.mask_root, "save": self.save, "keep": self.keep
        }  # fmt: skip

    def measure(self, shown: FoundMap) -> Measured:
        """Score one map under every protocol.

        Args:
            shown: the map of an image, or the reason why there is none
        """
        split = self.source.split
        record = np.zeros((), self.dtype)
        heats, fault = self._draw(shown)
        size = split.size(shown.row) or (1, 1)
        region = np.multiply(shown.region, (*size, *size))
        for number, (scorer, heat) in enumerate(zip(self.scorers, heats, strict=True)):
            if heat is None:
                heat = np.zeros((scorer.protocol.size,) * 2)
            record[f"p{number}"] = scorer.trace(shown.row, heat, region, shown.size)
        saved = kept = b""
        if heats[0] is not None and self.save is not None:
            saved = self.save.encode(heats[0])
        if heats[0] is not None and self.keep is not None:
            kept = self.keep.encode(shown.row, heats[0], region)
        record["row"], record["label"], record["score"] = shown.row, shown.label, shown.score
        record["rank"] = -1 if shown.rank is None else shown.rank
        record["predicted"] = -1 if shown.predicted is None else shown.predicted
        record["region"] = region
        record["listed"] = len(shown.top)
        for place, (label, score) in enumerate(shown.top):
            record["top"][place], record["top_scores"][place] = label, score
        record["fault"] = fault.encode("utf-8", "surrogateescape")[:1000]
        return Measured(record, saved, kept)

    def take(self, measured: Measured) -> Any:
        """Write the maps that are wanted of an image, and add its record up; gives the record."""
        record = measured.record[()]
        if measured.saved and self.save is not None:
            self.save.write(self.source.split.ids[record["row"]], measured.saved)
        if measured.kept and self.keep is not None:
            self.keep.write(int(record["row"]), measured.kept)
        self.add(record)
        return record

    def _draw(self, shown: FoundMap) -> tuple[list[np.ndarray | None], str]:
        """Make the map in every protocol's square, or tell why that cannot be done."""
        if shown.heat is not None:
            try:
                return [shown.heat(rules) for rules in self.protocols], shown.fault
            except ImageError as error:
                return [None] * len(self.scorers), str(error)
        return [None] * len(self.scorers), shown.fault

    def add(self, record: Any) -> None:
        """Add one image's record to the scores."""
        if record["fault"]:
            self.unreadable.append(record["fault"].decode("utf-8", "surrogateescape"))
        else:
            self.maps.add(self.scorers[0].is_blank(record["p0"]))
        self.ranked = self.ranked and bool(record["rank"] >= 0)
        for number, scorer in enumerate(self.scorers):
            scorer.add(record, record[f"p{number}"])

    def describe(self) -> dict[str, Any]:
        """Name everything that the records depend on, in plain values."""
        levels = [scorer.threshold for scorer in self.scorers]
        return describe_pass(
            self.source, self.protocols, levels, self.rule, self.mask_root, self.save
        )

    def evaluations(self) -> list[Evaluation]:
        """Turn what was added into scores, one record a protocol."""
        source = self.source
        return [
            Evaluation(
                protocol=scorer.protocol,
                split=source.split.name,
                image=source.image,
                rule=_rule(scorer, self.rule),
                class_map=source.class_map,
                result=scorer.compute(source.class_map == "ground_truth", source.places),
                unreadable=tuple(self.unreadable),
                unreadable_chosen_on=self.unreadable_chosen_on,
                overlaps=source.overlaps,
                origin=source.origin,
            )
            for scorer in self.scorers
        ]

    def write(self, folder: Path, records: ResumeFile, evaluations: Sequence[Evaluation]) -> None:
        """Write what became of every image, and the scores; a folder a protocol if several."""
        for number, (scorer, each) in enumerate(zip(self.scorers, evaluations, strict=True)):
            home = folder if len(self.scorers) == 1 else folder / scorer.protocol.name
            level = getattr(each.result, "threshold", 0.0)
            rows = (self.describe_row(number, record, level) for record in records)
            if self.ranked:
                tops = ((int(record["row"]), _list_top(record)) for record in records)
                make_folder(home)
                ids, classes = self.source.split.ids, self.source.classes
                write_predictions(home / PREDICTIONS, ids, tops, classes)
            write_results(home, each.to_dict(), rows)

    def describe_row(self, number: int, record: Any, level: float) -> dict[str, Any]:
        """Tell how one image fared under one of the protocols, at a threshold."""
        return self.scorers[number].describe(record, record[f"p{number}"], level)


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
    unreadable_chosen_on: Sequence[str] = (),
    events: Events = SILENT,
    kind: Callable[..., ScoringPass] = ScoringPass,
) -> list[Evaluation]:
    """Score the same maps under one or several protocols.

    Memory does not grow with the number of images. What is known of an image goes to `out`, where
    a run that was cut off goes on after the last whole batch, to the same figures.

    Args:
        source: of the maps
        protocols: at least one
        thresholds: one a protocol, as for `evaluate`
        rule: that gave thresholds which are numbers, for the record; `fixed` by default
        mask_root: folder that the split's mask paths are relative to
        workers: threads that score
        out: folder for per-image results; with several protocols, of one folder each
        save: also writes the first protocol's maps
        keep: also keeps what a report shows of them
        unreadable_chosen_on: what could not be read of the images that the thresholds are from
        events: told of every image within a task that the caller has begun
        kind: of the pass

    Returns:
        one record a protocol

    Raises:
        MapError: maps on disk that cannot be scored
        ValueError: an unknown name, or a split without boxes
        wsol.evaluation.resume_file.ResumeError: `out` holds an unfinished run with other settings
    """
    scoring = kind(
        source,
        protocols,
        thresholds,
        rule=rule,
        mask_root=mask_root,
        save=save,
        keep=keep,
        unreadable_chosen_on=unreadable_chosen_on,
    )
    header = scoring.describe() if out is not None or keep is not None else {}
    if out is None:
        if keep is not None:
            keep.begin(header)
        _score_rest(scoring, None, workers, events)
        scoring.maps.tell(events, f"{source.split.name}: ")
        return scoring.evaluations()
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    records = ResumeFile(folder, header, scoring.dtype, source.batch_size)
    try:
        if keep is not None:
            keep.begin(header)
        if not records.done:
            discard_results(folder, keep_unfinished=True)  # what is there is of another pass
        for record in records:
            scoring.add(record)
            events.advance()
        _score_rest(scoring, records, workers, events)
        evaluations = scoring.evaluations()
        scoring.write(folder, records, evaluations)
        records.finish()
    finally:
        records.close()
    scoring.maps.tell(events, f"{source.split.name}: ")
    return evaluations


def _score_rest(
    scoring: ScoringPass, records: ResumeFile | None, workers: int, events: Events
) -> None:
    """Score the images that have no record yet."""
    source = scoring.source
    source.check()
    rows = range(0 if records is None else records.done, len(source.split))
    # Closed so that hooks and modes are undone before an exception leaves.
    with closing(share(partial(_measure, scoring, rows, workers))) as batches:
        for batch in batches:
            made: list[Any] = []
            for measured in batch:
                made.append(scoring.take(measured))
                events.advance()
            if records is not None:
                records.append(made)
    if scoring.unreadable and not source.allow_missing:
        if records is not None:
            records.remove()
        raise MapError({"broken": scoring.unreadable})


def _measure(
    scoring: ScoringPass, rows: range, workers: int, rank: int, count: int
) -> Iterator[list[Measured]]:
    """Measure a process's maps among these rows, a batch at a time."""
    source = scoring.source
    maps = source.read(deal_rows(rows, source.batch_size, rank, count))
    with closing(maps):
        for batch in read_ahead(maps, scoring.measure, source.batch_size, workers):
            yield [cast("Measured", measured) for _, measured in batch]


def record_type(traces: Sequence[np.dtype]) -> np.dtype:
    """Describe what is kept of an image, beside its traces under each protocol."""
    return np.dtype([*_IMAGE, *((f"p{i}", each) for i, each in enumerate(traces))])


def _list_top(record: Any) -> list[tuple[int, float]]:
    """Give the most probable classes of an image, with their scores."""
    pairs = zip(record["top"].tolist(), record["top_scores"].tolist(), strict=True)
    return list(pairs)[: record["listed"]]


def _rule(scorer: BoxScorer | MaskScorer | LabelScorer, rule: str | None) -> str | None:
    if not isinstance(scorer, BoxScorer):
        return None  # no score of masks or of classes alone has a threshold
    return "oracle" if scorer.threshold is None else rule or "fixed"


def settle_threshold(rules: Protocol, threshold: Threshold) -> float | None:
    """Turn the threshold that was asked for into a number, or None for an oracle.

    Args:
        rules: whose own threshold counts where none is asked for
        threshold: as for `evaluate`

    Raises:
        ValueError: neither a rule nor a share
    """
    if threshold is None:
        return rules.threshold
    if threshold == "oracle":
        return None
    if not (isinstance(threshold, (int, float)) and 0 <= threshold <= 1):
        raise ValueError(f"Expected threshold to be oracle or in [0, 1] but got {threshold!r}")
    return float(threshold)
