"""Scoring boxes that any program wrote, as they are."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eval.coco import coco_scores
from eval.manifest import Split
from tdam.events import SILENT, Events, working
from wsol.errors import ArgumentError
from wsol.evaluation.given_box_scores import GivenBoxScores
from wsol.evaluation.given_boxes import read_given_boxes
from wsol.evaluation.image_results import discard_results, name_results, write_results
from wsol.evaluation.predictions import OTHER
from wsol.evaluation.result import Evaluation
from wsol.evaluation.resume_file import SETTINGS, is_unfinished, write_header
from wsol.folder_lock import holds
from wsol.label_matching import name_labels
from wsol.out_files import write_file
from wsol.sharing import led
from wsol.workflows.evaluation_data import (
    find_tables,
    list_other_ids,
    open_predictions,
    read_given,
)
from wsol.workflows.evaluation_job import open_job
from wsol.workflows.evaluation_options import Wanted, one_or_all
from wsol.workflows.report_job import write_page

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from eval.manifest import DataSet
    from eval.protocols import ClassMap
    from wsol.evaluation.given_boxes import GivenBoxes
    from wsol.workflows.evaluation_job import EvaluationJob
    from wsol.workflows.evaluation_options import Protocols


@led
@holds("out", "report")
def evaluate_boxes(
    data: Split | DataSet | str | Path,
    boxes: str | Path,
    root: str | Path | None = None,
    *,
    split: str = "test",
    protocol: Protocols = "wsoleval",
    class_map: ClassMap | None = None,
    predictions: str | Path | None = None,
    classes: Mapping[int, int] | str | Path | None = None,
    allow_missing: bool = False,
    others: Iterable[str] = (),
    out: str | Path | None = None,
    report: str | Path | None = None,
    coco: bool = False,
    force: bool = False,
    events: Events = SILENT,
) -> Evaluation | list[Evaluation]:
    """Score boxes that any program wrote, at their one operating point.

    The box of the largest score counts for GT-known and Top-1 Loc; for box accuracy at each overlap
    any box does, as MaxBoxAccV2 counts all contours. There is no threshold, so no oracle and no
    MaxBoxAcc.

    Args:
        data: as for `evaluate`, with boxes, like everything not listed here
        boxes: file or folder, as for `wsol.readers.read_boxes`
        root: of the images, which only a report shows
        split: to score
        protocol: one or several, which say how boxes are compared
        class_map: `predicted` for boxes whose class is the predicted one, so that there is no
            GT-known; None: as the protocol has it
        predictions: as for `evaluate_maps`, in place of the classes of the boxes
        classes: index among a network's outputs by label, or the path of such a table, where
            `boxes` and `predictions` number those outputs; None: by names, or as numbers
        allow_missing: count images without a usable result as missed, and pass over what is of no
            image
        others: ids of further images that the files may have, where `data` is a split
        out: folder for per-image results
        report: folder for a page
        coco: whether to add COCO's AP and AR, of all boxes
        force: overwrite what an earlier run wrote
        events: told of what is done

    Returns:
        as `evaluate`

    Raises:
        wsol.errors.ArgumentError: a ValueError that says which argument cannot be used, and why
        eval.manifest.ManifestError: a fault in the data set
    """
    wanted = Wanted(
        split, protocol, None, class_map, None, out, (), None, report, False, 0, force, events
    )
    if out is not None and not force and is_unfinished(Path(out)):
        raise ArgumentError("out", f"{out} holds an unfinished run of something else")
    job = open_job(data, root, "val", wanted, None)
    if job.scored.boxes is None or job.scored.sizes is None:
        raise ArgumentError(
            "data", f"Expected split {job.scored.name} to have boxes but it has none"
        )
    further = partial(list_other_ids, [job.scored], job.data, others)
    predicts = class_map == "predicted" or predictions is not None
    given = open_boxes(
        boxes, job.scored, job.data, classes, further, allow_missing, predicts, events
    )
    known = None
    if predictions is not None:
        known = open_predictions(
            predictions, job.scored, job.data, classes, further, allow_missing, events
        )
    evaluations = [
        _score(job, GivenBoxScores(job.scored, given, rules, job.class_map, known), boxes, out)
        for rules in job.protocols
    ]
    if coco:
        found = _score_coco(job.scored, given)
        evaluations = [replace(each, coco=found) for each in evaluations]
    if job.report is not None:
        _write_report(job, evaluations)
    return one_or_all(evaluations, protocol)


def open_boxes(
    path: str | Path,
    split: Split,
    data: DataSet | None,
    classes: Mapping[int, int] | str | Path | None,
    others: Any,
    allow_missing: bool | None,
    predicts: bool,
    events: Events,
) -> GivenBoxes:
    """Read the boxes that a program found on the images of a split.

    Args:
        path: of the file or folder
        split: that is scored, with sizes
        data: the data set of the split, or None
        classes: as for `evaluate_boxes`, like the rest
        others: gives the ids of further images that the file may have
        allow_missing: pass over what cannot be used; None where nobody can ask for it
        predicts: as for `read_given_boxes`
        events: told what people should know of them

    Raises:
        ArgumentError: a file that cannot be used
    """
    table, _ = find_tables(classes, data)
    read = partial(
        read_given_boxes, Path(path), split, table=table, others=others,
        allow_missing=allow_missing, predicts=predicts,
        data_file=None if data is None else data.coco_file(split.name),
    )  # fmt: skip
    return read_given("boxes", read, split, data, events)


def _score(
    job: EvaluationJob, scores: GivenBoxScores, boxes: str | Path, out: str | Path | None
) -> Evaluation:
    """Score boxes under one protocol, and write what became of each image."""
    with working(job.wanted.events, f"evaluate {job.scored.name}", len(job.scored)):
        evaluation = evaluate_given(scores, f"boxes of {boxes}", job.overlaps)
        job.wanted.events.advance(len(job.scored))
    folder = _results_folder(job, scores.protocol.name)
    if folder is not None:
        write_given(folder, scores, evaluation, boxes, job.root)
    return evaluation


def _results_folder(job: EvaluationJob, protocol: str) -> Path | None:
    home = job.out
    if home is None and job.report is not None:
        home = job.report.results
    return home if home is None or len(job.protocols) == 1 else home / protocol


def evaluate_given(
    scores: GivenBoxScores, subject: str, overlaps: tuple[str, ...] | None = ()
) -> Evaluation:
    """Score boxes under one protocol."""
    return Evaluation(
        protocol=scores.protocol,
        split=scores.split.name,
        image="squash",
        rule=None,
        class_map=scores.class_map,
        result=scores.compute(),
        unreadable=tuple(scores.given.missing.values()),
        subject=subject,
        overlaps=overlaps,
        origin={} if scores.predictions is None else scores.predictions.origin(scores.split),
    )


def write_given(
    folder: Path,
    scores: GivenBoxScores,
    evaluation: Evaluation,
    boxes: str | Path,
    root: Path | None,
) -> None:
    """Write what became of every image, as other evaluations do.

    Args:
        folder: of the results
        scores: of the boxes
        evaluation: that they came to
        boxes: file or folder that they are of
        root: of the images, or None
    """
    discard_results(folder)
    write_results(folder, evaluation.to_dict(), scores.rows())
    labels = name_labels(scores.split, None, ())
    name_results(folder, evaluation.subject, labels, None, root=root)
    settings = {"boxes": str(Path(boxes).resolve()), "root": None if root is None else str(root)}
    write_file(folder / SETTINGS, write_header(settings))


def _score_coco(split: Split, given: GivenBoxes) -> dict[str, float]:
    """Score all boxes as detections, of the true class where the file tells of no classes."""
    labels = list(given.labels)
    if given.predicted is None:
        counts = map(len, given.scores)
        labels = [split.labels[row : row + 1].repeat(n) for row, n in enumerate(counts)]
    kept = [each != OTHER for each in labels]
    parts = (labels, given.scores, given.boxes)
    return coco_scores(
        split, *([a[rows] for a, rows in zip(part, kept, strict=True)] for part in parts)
    )


def _write_report(job: EvaluationJob, evaluations: list[Evaluation]) -> None:
    from wsol.report import read_run

    report, folder = job.report, _results_folder(job, evaluations[0].protocol.name)
    if report is not None and folder is not None:
        run = read_run(folder, report.folder.resolve().name, slim=True)
        write_page(report.folder, [run], job.known_root, job.wanted.events)
        report.discard()
