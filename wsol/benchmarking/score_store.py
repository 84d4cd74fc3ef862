"""The scores of one run on disk, in every way that was asked for, and the samples made of them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from wsol.benchmarking.replicates import RunScores, score_rules
from wsol.evaluation.comparison import ResultError, read_results

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from eval.protocols import Protocol
    from wsol.benchmarking.experiment import Scoring
    from wsol.evaluation.comparison import Results

VARIANTS = "ways.json"
CHOSEN, SCORED = "chosen-on", "scored"  # folders of a way: split to choose on, and to report


@dataclass(frozen=True)
class ScoringVariant:
    """One way of scoring.

    Args:
        wanted: map method and output stride as they were asked for
        method: of the maps
        output_stride: of the network as it was scored
        chooses: whether there are images to choose thresholds on
        choose: split that thresholds were to be chosen on
        size: side of the input that was asked for, in pixels
    """

    wanted: tuple[str, int]
    method: str
    output_stride: int
    chooses: bool
    choose: str
    size: int

    @property
    def folder(self) -> str:
        """Name its folder among a run's scores."""
        return f"{self.method}-{self.output_stride}"


def write_variants(folder: Path, ways: Sequence[ScoringVariant]) -> None:
    """Say which ways a run was scored in, once all of them are on disk."""
    text = json.dumps([asdict(way) for way in ways], indent=1)
    (folder / VARIANTS).write_text(text + "\n", encoding="utf-8")


def read_variants(folder: Path) -> list[ScoringVariant]:
    """Read which ways a run was scored in.

    Raises:
        ResultError: the folder holds no scores of a run
    """
    try:
        content = json.loads((folder / VARIANTS).read_text(encoding="utf-8"))
        return [ScoringVariant(**{**each, "wanted": tuple(each["wanted"])}) for each in content]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ResultError(f"{folder}: expected scores of a run but {VARIANTS}: {error}") from error


def read_run_scores(
    folder: Path, model: str, seed: int, rules: Protocol, scoring: Scoring
) -> tuple[list[RunScores], Path]:
    """Take the samples of a run from its scores.

    Args:
        folder: of the scores
        model: name
        seed: of the run
        rules: protocol that was scored under
        scoring: ways and threshold rules that are wanted

    Returns:
        the samples, and the folder of the first way's results

    Raises:
        ResultError: no scores, or of another way, split or protocol than is wanted
        ValueError: a threshold between those of the protocol's grid
    """
    known = {way.wanted: way for way in read_variants(folder)}
    samples: list[RunScores] = []
    places: list[Path] = []
    for stride in scoring.output_strides:
        for method in scoring.methods:
            way = known.get((method, stride))
            if way is None:
                raise ResultError(
                    f"{folder}: expected scores with method {method} and output stride {stride} "
                    f"but there are {', '.join(each.folder for each in known.values())}"
                )
            place = folder / way.folder / SCORED
            places.append(place)
            found = read_results(place)
            _check(way, found, rules, scoring)
            level = None
            if way.chooses:
                chosen = read_results(folder / way.folder / CHOSEN, slim=True)
                level = chosen.scores["max_box_acc_threshold"]
            try:
                taken = score_rules(found, rules, scoring, level)
            except (KeyError, TypeError, IndexError) as error:
                raise ResultError(f"{place}: expected scores of a run but {error!r}") from error
            samples += [
                RunScores(
                    model=model,
                    seed=seed,
                    way=way.wanted,
                    method=way.method,
                    output_stride=way.output_stride,
                    threshold=name,
                    level=at,
                    replicates=replicates,
                    images=len(found.rows),
                )
                for name, at, replicates in taken
            ]
    return samples, places[0]


def _check(way: ScoringVariant, found: Results, rules: Protocol, scoring: Scoring) -> None:
    """Refuse scores of other rules than are wanted."""
    plain = json.loads(json.dumps(asdict(rules)))
    for name, then, now in (
        ("protocol", found.scores.get("choices"), plain),
        ("split", found.scores.get("split"), scoring.split),
        ("size", way.size, scoring.size),
        ("split to choose on", way.choose, scoring.choose),
    ):
        if isinstance(then, dict) and isinstance(now, dict):
            then, now = ({**each, "source": ""} for each in (then, now))
        if then != now:
            raise ResultError(f"{found.folder}: expected {name} {now!r} but it was {then!r}")
