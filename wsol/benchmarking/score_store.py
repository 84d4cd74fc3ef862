"""The scores of one run on disk, in every variant that was asked for, and their replicates."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING

from eval.parsing import read_json
from wsol.benchmarking.replicates import RunScores, score_rules
from wsol.evaluation.comparison import ResultError, read_results
from wsol.out_files import write_file

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from eval.protocols import Protocol
    from wsol.benchmarking.experiment import Scoring
    from wsol.evaluation.comparison import Results

VARIANTS = "ways.json"
CHOSEN, SCORED = "chosen-on", "scored"  # folders of a variant: split to choose on, and to report


@dataclass(frozen=True)
class ScoringVariant:
    """How a run is scored: map method, output stride, input size, and images to choose on.

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
        """Name of its folder among a run's scores."""
        return f"{self.method}-{self.output_stride}"


def write_variants(folder: Path, variants: Sequence[ScoringVariant]) -> None:
    """Write down the variants that a run was scored in, once all of them are on disk."""
    text = json.dumps([asdict(variant) for variant in variants], indent=1)
    write_file(folder / VARIANTS, text + "\n")


def read_variants(folder: Path) -> list[ScoringVariant]:
    """Read the variants that a run was scored in.

    Raises:
        ResultError: the folder holds no scores of a run
    """
    try:
        content = read_json(folder / VARIANTS)
        variants = [ScoringVariant(**{**each, "wanted": tuple(each["wanted"])}) for each in content]
        for each in variants:
            wanted, method = (*each.wanted, each.output_stride), each.method
            if [type(part) for part in (*wanted, method)] != [str, int, int, str]:
                raise TypeError("variants of something else")
            if type(each.size) is not int or PurePath(method).name != method:
                raise TypeError("variants of something else")
        return variants
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ResultError(f"{folder}: expected scores of a run but {VARIANTS}: {error}") from error


def read_run_scores(
    folder: Path, model: str, seed: int, rules: Protocol, scoring: Scoring
) -> tuple[list[RunScores], Path]:
    """Take the replicates of a run from its scores on disk.

    Args:
        folder: of the scores
        model: name
        seed: of the run
        rules: protocol that was scored under
        scoring: variants and threshold rules that are wanted

    Returns:
        one record a variant and threshold rule, and the folder of the first variant's results

    Raises:
        ResultError: no scores, or those of another variant, split or protocol than is wanted
        ValueError: a threshold between those of the protocol's grid
    """
    known = {variant.wanted: variant for variant in read_variants(folder)}
    run_scores: list[RunScores] = []
    folders: list[Path] = []
    for stride in scoring.output_strides:
        for method in scoring.methods:
            variant = known.get((method, stride))
            if variant is None:
                raise ResultError(
                    f"{folder}: expected scores with method {method} and output stride {stride} "
                    f"but there are {', '.join(each.folder for each in known.values())}"
                )
            scored = folder / variant.folder / SCORED
            folders.append(scored)
            results = read_results(scored)
            _check(variant, results, rules, scoring)
            level = None
            if variant.chooses:
                chosen = read_results(folder / variant.folder / CHOSEN, slim=True)
                level = chosen.scores["max_box_acc_threshold"]
            try:
                taken = score_rules(results, rules, scoring, level)
            except (KeyError, TypeError, IndexError) as error:
                raise ResultError(f"{scored}: expected scores of a run but {error!r}") from error
            run_scores += [
                RunScores(
                    model=model,
                    seed=seed,
                    variant=variant.wanted,
                    method=variant.method,
                    output_stride=variant.output_stride,
                    threshold=name,
                    level=at,
                    replicates=replicates,
                    images=len(results.rows),
                )
                for name, at, replicates in taken
            ]
    return run_scores, folders[0]


def _check(variant: ScoringVariant, results: Results, rules: Protocol, scoring: Scoring) -> None:
    """Refuse scores of other rules than are wanted."""
    plain = json.loads(json.dumps(asdict(rules)))
    for name, then, now in (
        ("protocol", results.scores.get("choices"), plain),
        ("split", results.scores.get("split"), scoring.split),
        ("size", variant.size, scoring.size),
        ("split to choose on", variant.choose, scoring.choose),
    ):
        if isinstance(then, dict) and isinstance(now, dict):
            then, now = ({**each, "source": ""} for each in (then, now))
        if then != now:
            raise ResultError(f"{results.folder}: expected {name} {now!r} but it was {then!r}")
