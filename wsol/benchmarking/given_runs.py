"""Runs of a benchmark that are no networks: maps or boxes that any program wrote."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from wsol.benchmarking.replicates import RunScores, name_rule
from wsol.benchmarking.score_store import (
    SCORED,
    ScoringVariant,
    read_run_scores,
    unreadable_rows,
    write_variants,
)
from wsol.benchmarking.score_weights import ScorePass, find_primary, list_followed
from wsol.errors import ArgumentError
from wsol.evaluation.comparison import add_up, read_results
from wsol.evaluation.folder_maps import FolderMaps
from wsol.evaluation.given_box_scores import GivenBoxScores
from wsol.evaluation.image_results import name_results
from wsol.evaluation.threshold_rules import UNLABELLED, VAL
from wsol.workflows.evaluate_boxes import evaluate_given, open_boxes, write_given
from wsol.workflows.evaluation_data import list_other_ids

if TYPE_CHECKING:
    from eval.manifest import DataSet
    from tdam.events import Events
    from wsol.benchmarking.experiment import Scoring
    from wsol.benchmarking.score_weights import Images

Kind = Literal["maps", "boxes"]
_VARIANT = ("auto", 0)  # map method and output stride, which nobody knows of them


@dataclass(frozen=True)
class GivenRun:
    """Maps or boxes that any program wrote.

    Args:
        name: in tables
        kind: what they are
        path: folder of maps; file or folder of boxes
    """

    name: str
    kind: Kind
    path: Path

    @property
    def checkpoint(self) -> str:
        """What it is called where others have their weights."""
        return f"{self.kind}:{self.path}"


def find_given(name: str, text: str) -> GivenRun | None:
    """Read `maps:DIR` or `boxes:FILE`; None for a text that is neither.

    Args:
        name: of the run
        text: that says what it is

    Raises:
        ArgumentError: there is no such folder or file
    """
    for kind in get_args(Kind):
        if text.startswith(f"{kind}:"):
            path = Path(text.removeprefix(f"{kind}:"))
            if not (path.is_dir() if kind == "maps" else path.exists()):
                what = "folder" if kind == "maps" else "file or folder"
                raise ArgumentError("runs", f"{path}: no such {what}")
            return GivenRun(name, kind, path)
    return None


def score_given(
    run: GivenRun,
    images: Images,
    data: DataSet,
    scoring: Scoring,
    out: Path,
    *,
    classes: Path | None,
    workers: int,
    events: Events,
) -> tuple[list[RunScores], Path]:
    """Score maps under every threshold rule, or boxes as they are.

    Args:
        run: what to score
        images: to score, and to choose thresholds on
        data: the data set
        scoring: one protocol, and the rules; the first variant is the one that its rows stand for
        out: folder for the scores of this run
        classes: table of classes that was named, or None
        workers: threads that read and score maps
        events: told of each pass over a split

    Returns:
        the scores of the run, and the folder of the results

    Raises:
        ValueError: maps or boxes that cannot be scored
    """
    (rules,) = scoring.rules
    if rules.image == "crop":
        raise ValueError(
            f"Expected a protocol of whole images, which {run.kind} from elsewhere are taken to "
            f"show, but {rules.name} shows the centre crop"
        )
    if run.kind == "maps" and UNLABELLED in scoring.thresholds:
        raise ValueError(f"{UNLABELLED} needs the network that the maps are of")
    if run.kind == "maps":
        scores, folder = _score_maps(run, images, data, scoring, out, workers, events)
    else:
        scores, folder = _score_boxes(run, images, data, scoring, out, classes, events)
    wanted = (scoring.methods[0], scoring.output_strides[0])
    return [replace(each, variant=wanted) for each in scores], folder


def _score_maps(
    run: GivenRun,
    images: Images,
    data: DataSet,
    scoring: Scoring,
    out: Path,
    workers: int,
    events: Events,
) -> tuple[list[RunScores], Path]:
    (rules,) = scoring.rules
    plain = replace(
        scoring, methods=_VARIANT[:1], output_strides=_VARIANT[1:], size=0, precision="float32"
    )
    source = FolderMaps(
        images.scored, run.path, rules.class_map, overlaps=images.overlaps, workers=workers,
        others=lambda: data.ids,
    )  # fmt: skip
    primary = find_primary(scoring, images)
    chooses = images.chooser is not None and VAL in scoring.thresholds
    variant = ScoringVariant(
        wanted=_VARIANT, method=run.kind, output_stride=0, chooses=chooses, choose=scoring.choose,
        size=0,
    )  # fmt: skip
    scored = ScorePass(out, [rules], [variant], run.name, events)
    scored.follow(primary, source, images.chooser if chooses else None)
    labels = dict(enumerate(images.scored.class_names or ()))
    name_results(scored.folder(SCORED), run.checkpoint, labels, None)
    write_variants(out, [variant])
    return read_run_scores(out, run.name, 0, plain)


def _score_boxes(
    run: GivenRun,
    images: Images,
    data: DataSet,
    scoring: Scoring,
    out: Path,
    classes: Path | None,
    events: Events,
) -> tuple[list[RunScores], Path]:
    (rules,) = scoring.rules
    split, folder = images.scored, out / run.kind / SCORED
    given = open_boxes(
        run.path, split, data, None, lambda: list_other_ids([split], data, ()), False, False,
        events, near=classes,
    )  # fmt: skip
    scores = GivenBoxScores(split, given, rules, rules.class_map)
    evaluation = evaluate_given(scores, run.checkpoint, images.overlaps)
    write_given(folder, scores, evaluation, run.path, images.root)
    results = read_results(folder)
    every = add_up(results).replicates("best")
    kept = {name: v for name, v in every.items() if results.scores.get(name) is not None}
    return [
        RunScores(
            model=run.name,
            seed=0,
            variant=_VARIANT,
            method=run.kind,
            output_stride=0,
            threshold=name_rule(rule),  # of the runs that it stands beside
            level=None,
            replicates=kept,
            images=len(split),
            overlaps=images.overlaps,
            unreadable=unreadable_rows(results),
        )
        for rule in list_followed(scoring, images)
    ], folder
