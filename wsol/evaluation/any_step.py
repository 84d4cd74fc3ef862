"""The any-step rule over a split: what is kept of an image's guesses, and a pass that keeps it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from eval.geometry import square_to_image
from eval.metrics.guesses import (
    SAME,
    SCORES,
    GuessRow,
    GuessScores,
    judge_classes,
    judge_steps,
    merge_steps,
)
from eval.metrics.localization import HIT
from wsol.evaluation.box_scorer import BoxScorer
from wsol.evaluation.level_scores import in_convention, levels_of
from wsol.evaluation.map_source import NO_RANK
from wsol.evaluation.score_maps import ScoringPass
from wsol.heatmap import stretch_map

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eval.protocols import ClassMap, Protocol
    from eval.splits import Split
    from eval.statistics import Difference
    from wsol.evaluation.guess_maps import GuessMaps
    from wsol.evaluation.map_source import FoundMap
    from wsol.evaluation.result import Evaluation
    from wsol.evaluation.score_maps import Measured

MERGED, UNMERGED = "any_step", "any_step_unmerged"
ONE_CLASS, CLASSES = "partner_one", "partner"


@dataclass(frozen=True)
class AnyStepResult:
    """Scores by the any-step rule beside those of single steps and of a partner, all in percent.

    Args:
        thresholds: (T,), one a step
        partner: what has as many guesses by naming as many classes
        partner_threshold: at which its boxes were cut
        rows: `step_1` to `step_T`; `any_step`, the rule; `any_step_unmerged`, without dropping
            boxes of the same object; `partner_one`, where the partner is another network, with
            one guess; `partner`, with T
        differences: `any_step` and `any_step_unmerged` less `partner`, by the name of a score
    """

    thresholds: tuple[float, ...]
    partner: str
    partner_threshold: float
    rows: tuple[GuessRow, ...]
    differences: dict[str, dict[str, Difference]]

    def to_dict(self) -> dict[str, Any]:
        """Return the section of the JSON output."""
        return {
            "rule": "any",
            "same_object": SAME,
            "thresholds": list(self.thresholds),
            "partner": {"name": self.partner, "threshold": self.partner_threshold},
            "rows": [row.to_dict() for row in self.rows],
            "differences": {
                name: {score: asdict(gap) for score, gap in gaps.items()}
                for name, gaps in self.differences.items()
            },
        }


class GuessScorer:
    """Scores the guesses of a split's images under one protocol.

    Args:
        split: with boxes
        protocol: how boxes are made and compared
        class_map: whose box Top-1 and Top-5 Loc ask for; with the predicted class's, GT-known is
            not defined
        thresholds: one a step, shares of a map's maximum
        partner: what has as many guesses; None for the network's own last step
        partner_threshold: of its maps
    """

    def __init__(
        self,
        split: Split,
        protocol: Protocol,
        class_map: ClassMap,
        thresholds: Sequence[float],
        partner: str | None,
        partner_threshold: float,
    ) -> None:
        self.split, self.protocol, self.class_map = split, protocol, class_map
        self.true_class = class_map == "ground_truth"
        self.thresholds, self.partner = tuple(thresholds), partner
        self.partner_threshold = partner_threshold
        self._boxes = BoxScorer(split, protocol, None)
        steps = len(self.thresholds)
        names = [*(f"step_{step + 1}" for step in range(steps)), MERGED, UNMERGED]
        names += [CLASSES] if partner is None else [ONE_CLASS, CLASSES]
        pairs = ((CLASSES, MERGED), (CLASSES, UNMERGED))
        self.scores = GuessScores(tuple(names), pairs)
        self.dtype = np.dtype(
            [
                ("right", np.bool_, (len(names), len(SCORES))),
                ("places", np.int16, steps),
                ("labels", np.int32, steps),
                ("ranks", np.int32, steps),
                ("scores", np.float64, steps),
                ("boxes", np.int16, (steps, 4)),
            ]
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """Give what another process makes a scorer from that nothing was added to."""
        levels = (self.thresholds, self.partner, self.partner_threshold)
        return GuessScorer, (self.split, self.protocol, self.class_map, *levels)

    def measure(self, shown: FoundMap, region: np.ndarray) -> np.ndarray:
        """Judge the guesses of one image.

        Args:
            shown: with guesses, unless the image could not be read
            region: part of the image that the maps cover, in original pixels

        Returns:
            (), of `dtype`; all zeros, nothing right, for an image without guesses
        """
        record = np.zeros((), self.dtype)
        own = shown.guesses
        if own is None:
            record["ranks"] = NO_RANK
            return record
        boxes, hits = self._cut(shown.row, own.maps, self.thresholds, region)
        true_boxes, true_hits = self._cut(shown.row, own.true_maps, self.thresholds, region)
        places = self._merge(boxes, own.scores)
        wanted = true_hits if self.true_class else hits
        known_places = self._merge(true_boxes, own.true_scores)
        steps = judge_steps(own.ranks, wanted, true_hits, places, known_places)
        classes = self._judge_partner(shown, own, region)
        record["right"] = np.concatenate([steps, classes[1:] if self.partner is None else classes])
        record["places"], record["boxes"] = places, boxes
        record["labels"], record["ranks"], record["scores"] = own.labels, own.ranks, own.scores
        return record

    def _judge_partner(self, shown: FoundMap, own: GuessMaps, region: np.ndarray) -> np.ndarray:
        guesses = own if self.partner is None else shown.partner
        if guesses is None:  # its numbers are not finite
            return np.zeros((2, len(SCORES)), bool)
        maps = [guesses.true_maps[-1], *guesses.other_maps]
        levels = [self.partner_threshold] * len(maps)
        _, hits = self._cut(shown.row, np.array(maps), levels, region)
        hit = hits[0]
        if not self.true_class:
            hit = self._cut(shown.row, guesses.maps[-1:], levels[:1], region)[1][0]
        return judge_classes(int(guesses.ranks[-1]), bool(hit), hits)

    def _cut(
        self, row: int, maps: np.ndarray, thresholds: Sequence[float], region: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find each map's box, (k, 4), outer edges in the square, and whether it hits, (k,)."""
        side = (self.protocol.size,) * 2
        boxes, overlaps = [], []
        for raw, threshold in zip(maps, thresholds, strict=True):
            heat = stretch_map(raw, side, self.protocol.interpolation)
            trace = self._boxes.trace(row, heat, region)
            level = levels_of(trace, np.array([threshold]))[0]
            boxes.append(trace["boxes"][level])
            overlaps.append(trace["overlaps"][0][level])
        return np.array(boxes), self.protocol.hits(np.array(overlaps), HIT)

    def _merge(self, boxes: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
        compared = in_convention(boxes, self.protocol)
        return merge_steps(compared, boxes[:, 2] == 0, probabilities, self.protocol.convention)

    def add(self, image_id: str, record: Any) -> None:
        """Add one image's record to the scores."""
        steps = len(self.thresholds)
        merged = len(np.unique(record["places"]))
        partner = [steps] if self.partner is None else [1, steps]
        guesses = np.array([1] * steps + [merged, steps, *partner])
        self.scores.update(image_id, record["right"], guesses)

    def compute(self) -> AnyStepResult:
        """Turn what was added into scores."""
        pairs = zip(self.scores.pairs, self.scores.differences(self.true_class), strict=True)
        return AnyStepResult(
            thresholds=self.thresholds,
            partner=self.partner or "the last step",
            partner_threshold=self.partner_threshold,
            rows=tuple(self.scores.compute(self.true_class)),
            differences={pair[1]: gaps for pair, gaps in pairs},
        )

    def describe(self, record: Any, region: np.ndarray) -> dict[str, Any]:
        """Tell in plain values what became of one image.

        Returns:
            `steps`: of each step its class, rank of the true class, probability, box in original
            pixels, and `place`, the step whose guess is left in its place, from 1; `right`: by
            row, the names of the scores that count the image
        """
        corners = square_to_image(record["boxes"], self.protocol.size, region)
        steps = [
            {
                "predicted": int(record["labels"][step]),
                "rank": int(record["ranks"][step]),
                "score": float(record["scores"][step]),
                "box": corners[step].tolist() if record["boxes"][step, 2] else None,
                "place": int(record["places"][step]) + 1,
            }
            for step in range(len(self.thresholds))
        ]
        right = {
            name: [score for score, counts in zip(SCORES, row, strict=True) if counts]
            for name, row in zip(self.scores.names, record["right"], strict=True)
        }
        return {"steps": steps, "right": right}


class AnyStepPass(ScoringPass):
    """A pass that also judges guesses.

    Args:
        source: gives maps with guesses
        protocols: as for `ScoringPass`, like thresholds and options
        thresholds: one a protocol
        guessing: one scorer a protocol
        options: further ones
    """

    def __init__(
        self,
        source: Any,
        protocols: Sequence[Protocol],
        thresholds: Sequence[Any],
        *,
        guessing: Sequence[GuessScorer],
        **options: Any,
    ) -> None:
        super().__init__(source, protocols, thresholds, **options)
        self.guessing = tuple(guessing)
        base = [(name, self.dtype[name]) for name in self.dtype.names or ()]
        more = [(f"g{number}", each.dtype) for number, each in enumerate(self.guessing)]
        self.dtype = np.dtype([*base, *more])

    def options(self) -> dict[str, Any]:
        """Give the options that another process needs to make such a pass."""
        return {**super().options(), "guessing": self.guessing}

    def measure(self, shown: FoundMap) -> Measured:
        """Score one map, and judge the guesses beside it."""
        measured = super().measure(shown)
        record = measured.record
        for number, each in enumerate(self.guessing):
            record[f"g{number}"] = each.measure(shown, record["region"])
        return measured

    def add(self, record: Any) -> None:
        """Add one image's record to the scores."""
        super().add(record)
        for number, each in enumerate(self.guessing):
            each.add(self.source.split.ids[record["row"]], record[f"g{number}"])

    def describe(self) -> dict[str, Any]:
        """Name everything that the records depend on, in plain values."""
        told = [
            {"thresholds": each.thresholds, "partner": [each.partner, each.partner_threshold]}
            for each in self.guessing
        ]
        return {**super().describe(), "steps_rule": told}

    def evaluations(self) -> list[Evaluation]:
        """Turn what was added into scores, one record a protocol."""
        pairs = zip(super().evaluations(), self.guessing, strict=True)
        return [replace(each, steps=scorer.compute()) for each, scorer in pairs]

    def describe_row(self, number: int, record: Any, level: float) -> dict[str, Any]:
        """Tell how one image fared under one of the protocols."""
        row = super().describe_row(number, record, level)
        told = self.guessing[number].describe(record[f"g{number}"], record["region"])
        return row if row["unreadable"] else {**row, **told}
