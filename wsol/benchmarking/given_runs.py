"""Runs of a benchmark that are no networks: maps or boxes that any program wrote."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
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
from wsol.workflows.evaluation_data import list_other_ids, open_predictions

if TYPE_CHECKING:
    from eval.manifest import DataSet
    from tdam.events import Events
    from wsol.benchmarking.experiment import Scoring
    from wsol.benchmarking.score_weights import Images
    from wsol.evaluation.given_boxes import GivenBoxes
    from wsol.evaluation.predictions import Predictions

Kind = Literal["maps", "boxes"]
_VARIANT = ("auto", 0)  # map method and output stride, which nobody knows of them


@dataclass(frozen=True)
class GivenRun:
    """Maps or boxes that any program wrote.

    Args:
        name: in tables
        kind: what they are
        path: folder of maps; file or folder of boxes
        predictions: file of predicted classes, or None
    """

    name: str
    kind: Kind
    path: Path
    predictions: Path | None = None

    @property
    def checkpoint(self) -> str:
        """What it is called where others have their weights."""
        classes = "" if self.predictions is None else f",{self.predictions}"
        return f"{self.kind}:{self.path}{classes}"


def find_given(name: str, text: str) -> GivenRun | None:
    """Read `maps:DIR` or `boxes:FILE`, with predicted classes `maps:DIR,FILE`; None for others.

    Args:
        name: of the run
        text: that says what it is

    Raises:
        ArgumentError: there is no such folder or file, or no file of classes
    """
    for kind in get_args(Kind):
        if text.startswith(f"{kind}:"):
            path, classes = Path(text.removeprefix(f"{kind}:")), None
            if "," in str(path) and not path.exists():
                path, _, classes = (Path(part) for part in str(path).rpartition(","))
            if classes is not None and not classes.is_file():
                raise ArgumentError("runs", f"{classes}: no such file of predicted classes")
            if not (path.is_dir() if kind == "maps" else path.exists()):
                what = "folder" if kind == "maps" else "file or folder"
                raise ArgumentError("runs", f"{path}: no such {what}")
            return GivenRun(name, kind, path, classes)
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
        left = tuple(rule for rule in scoring.thresholds if rule != UNLABELLED)
        message = f"{UNLABELLED} needs the network that the maps are of"
        if not left:
            raise ValueError(message)
        events.say(f"{run.name}: left out under one rule: {message}")
        scoring = replace(scoring, thresholds=left)
    known = None
    others = partial(list_other_ids, [images.scored], data, ())
    if run.predictions is not None:
        known = open_predictions(
            run.predictions, images.scored, data, None, others, None, events, classes
        )
    if run.kind == "maps":
        scores, folder = _score_maps(run, images, data, scoring, out, known, workers, events)
    else:
        given = open_boxes(
            run.path, images.scored, data, None, others, None, known is not None, events
        )
        scores, folder = _score_boxes(run, images, given, scoring, out, known)
    wanted = (scoring.methods[0], scoring.output_strides[0])
    return [replace(each, variant=wanted) for each in scores], folder


def _score_maps(
    run: GivenRun,
    images: Images,
    data: DataSet,
    scoring: Scoring,
    out: Path,
    known: Predictions | None,
    workers: int,
    events: Events,
) -> tuple[list[RunScores], Path]:
    (rules,) = scoring.rules
    plain = replace(
        scoring,
        methods=_VARIANT[:1],
        output_strides=_VARIANT[1:],
        size=0,
        precision="float32",
        smooth="none",
    )
    source = FolderMaps(
        images.scored, run.path, rules.class_map, overlaps=images.overlaps, workers=workers,
        others=lambda: data.ids, predictions=known,
    )  # fmt: skip
    primary = find_primary(scoring, images)
    chooser = images.chooser if VAL in scoring.thresholds else None
    variant = ScoringVariant(
        wanted=_VARIANT, method=run.kind, output_stride=0, chooses=chooser is not None,
        choose=scoring.choose, size=0,
    )  # fmt: skip
    scored = ScorePass(out, [rules], [variant], run.name, events)
    on = None if chooser is None else replace(source, split=chooser, predictions=None)
    scored.follow(primary, source, on)
    labels = dict(enumerate(images.scored.class_names or ()))
    name_results(scored.folder(SCORED), run.checkpoint, labels, None)
    write_variants(out, [variant])
    return read_run_scores(out, run.name, 0, plain)


def _score_boxes(
    run: GivenRun,
    images: Images,
    given: GivenBoxes,
    scoring: Scoring,
    out: Path,
    known: Predictions | None,
) -> tuple[list[RunScores], Path]:
    (rules,) = scoring.rules
    split, folder = images.scored, out / run.kind / SCORED
    scores = GivenBoxScores(split, given, rules, rules.class_map, known)
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
