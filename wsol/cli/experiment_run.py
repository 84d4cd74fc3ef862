"""The work behind `reproduce`: the runs of an experiment in turn, then what they show."""

from __future__ import annotations

import shutil
import sys
from dataclasses import asdict, dataclass, field
from functools import cache as remember
from functools import partial
from typing import TYPE_CHECKING, Any

import typer

from eval.manifest import ManifestError
from eval.protocols import Protocol, find_protocol
from tdam.training.errors import TrainingError
from tdam.weights import WeightsError
from wsol.benchmarking import record, runs, sources
from wsol.benchmarking.page import write_summary_page
from wsol.benchmarking.replicates import RunScores, name_rule
from wsol.benchmarking.score_store import VARIANTS, read_run_scores
from wsol.benchmarking.score_weights import Images, score_weights
from wsol.benchmarking.summary import Row, summarise
from wsol.benchmarking.tables import write_tables
from wsol.cli import benchmark_output, common, data_sets, reports
from wsol.cli.experiment_plan import Task, plan_tasks
from wsol.cli.experiment_train import train_task
from wsol.cli.run_progress import EPOCHS, SCORINGS, Remaining, pass_progress
from wsol.evaluation.comparison import ResultError, check_comparable, check_truth, read_results
from wsol.folder_lock import hold_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from eval.manifest import DataSet
    from eval.splits import Split
    from wsol.benchmarking.experiment import Experiment

RECORDED = "recorded"  # folder of scores that come out of the record
_FAULTS = (ManifestError, TrainingError, WeightsError, ValueError, OSError, RuntimeError)


@dataclass(frozen=True)
class _Data:
    """What networks are trained and scored on.

    Args:
        place: of the data set
        scored: split that is reported
        find_classes: as `Images` has it
    """

    place: DataSet
    scored: Split
    find_classes: Callable[[tuple[str, ...]], Any]


@dataclass
class _Found:
    """What the runs have given so far.

    Args:
        samples: scores of every run
        places: folder of results by model, of its first seed
        failed: a line a run that failed
    """

    samples: list[RunScores] = field(default_factory=list)
    places: dict[str, Path] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)


def run_experiment(
    experiment: Experiment,
    data: Path | None,
    out: Path,
    *,
    root: Path | None,
    weights: Path | None,
    recorded: Collection[str],
    expect: bool,
    cache: Path | None,
    device: str,
    workers: int,
) -> bool:
    """Train what is missing, score, compare and write down.

    Args:
        experiment: with the models and seeds that are wanted
        data: as the user named it; None where all runs are recorded
        out: folder of the experiment; exists
        root: image root, or None
        weights: folder of weights to score instead of training, or None
        recorded: names of runs in the experiment's record, to be read unless their weights are
            there
        expect: check the expected values
        cache: folder of packed images that stays; None for one in `out` that goes
        device: that networks run on
        workers: processes that read images

    Returns:
        whether every run has ended and every expected value was found
    """
    on = None if data is None else _open_data(experiment, data, root, out)
    with common.wrong_use("NAME"):
        rules = find_protocol(experiment.scoring.protocol)
    place = None if on is None else on.place
    tasks = plan_tasks(experiment, out, weights, place, recorded, device)
    todo = [task for task in tasks if task.must_train]
    epochs = sum(task.recipe.epochs for task in todo if task.recipe is not None)
    remaining = Remaining({EPOCHS: epochs, SCORINGS: len(tasks)})
    _say(f"{common.count_things(len(tasks), 'run')}, {len(todo)} to train; {remaining.describe()}")
    found = _Found()
    for at, task in enumerate(tasks):
        _say(f"[{at + 1}/{len(tasks)}] {task.name}{', as recorded' * task.recorded}")
        passes: list[str] = []
        try:
            if task.recorded:
                folder = out / RECORDED / task.name
                samples, where = _take(experiment, task, folder, rules, on)
            elif on is not None:
                if task.must_train:
                    kept = cache or out / "cache"
                    train_task(
                        task, on.place, out / "runs" / task.name, kept, device, workers, remaining
                    )
                remaining.start()
                folder = out / "scores" / task.name
                shows = task.entry.name not in found.places
                samples, where = _score(
                    experiment, task, on, out, folder, shows, device, workers, passes
                )
            if on is None and found.places:  # else all are of the data's images and boxes
                first = next(iter(found.places.values()))
                check_comparable(read_results(first, slim=True), read_results(where, slim=True))
            found.samples += samples
            found.places.setdefault(task.entry.name, where)
        except _FAULTS as error:
            found.failed.append(f"{task.name}: {' '.join(str(error).split())}")
            _say(f"failed: {found.failed[-1]}")
        remaining.finish(SCORINGS, free=not passes)
        _say(remaining.describe())
    if not found.samples:
        common.fail("no run could be scored")
    with hold_folder(out, patient=True):
        taken = [task.name for task in tasks if task.recorded]
        rows = _write(experiment, on, rules, out, found, taken)
        _record(experiment, out, bool(taken))
        if on is not None:
            runs_of = benchmark_output.read_runs(found.places, on.scored, rules)
            pictures = out / "report" / "pictures"
            reports.write(pictures, runs_of, on.place.root, references=experiment.references)
    if cache is None and not runs.is_any_unfinished(out / "runs"):
        shutil.rmtree(out / "cache", ignore_errors=True)
    good = benchmark_output.check_expected(experiment.expected, rows) if expect else True
    for line in found.failed:
        sys.stderr.write(f"failed: {line}\n")
    return good and not found.failed


def _open_data(experiment: Experiment, data: Path, root: Path | None, out: Path) -> _Data:
    try:
        place = sources.open_data(data, root, out)
        scored = sources.load_scored(place, experiment.scoring)
    except ManifestError as error:
        common.fail(str(error))
    find = partial(data_sets.find_classes, place.path, scored, place.root, None)
    return _Data(place, scored, remember(find))


def _take(
    experiment: Experiment, task: Task, folder: Path, rules: Protocol, on: _Data | None
) -> tuple[list[RunScores], Path]:
    """Take a run's scores out of the record, and refuse those of other images."""
    recipe, scoring = task.recipe, experiment.scoring
    if recipe is not None and task.entry.recipe.precision == "auto":
        recipe = recipe.change(precision="auto")  # not as this machine has it
    if experiment.record is None:
        raise ResultError(f"experiment {experiment.name} has no record")
    with hold_folder(folder, patient=True):
        try:
            record.unpack_run(experiment.record, task.name, folder, recipe)
            samples, where = read_run_scores(folder, task.entry.name, task.seed, rules, scoring)
            if on is not None:
                check_truth(read_results(where, slim=True), on.scored)
        except ResultError:
            record.clear_run(folder)  # what is refused goes into no record of this folder
            raise
    if "val" in scoring.thresholds and not any(each.threshold == "val" for each in samples):
        _say(f"{task.name}: no boxes to choose a threshold on, so that val is left out")
    return samples, where


def _record(experiment: Experiment, out: Path, recorded: bool) -> None:
    """Record every run in the folder, also of earlier commands."""
    path = out / "experiment.zip"
    source = experiment.record
    if recorded and source is not None and source.resolve() == path.resolve():
        return  # it holds all that was read, and maybe more
    places = [*(out / RECORDED).glob(f"*/{VARIANTS}"), *(out / "scores").glob(f"*/{VARIANTS}")]
    record.write_record(path, {place.parent.name: place.parent for place in places})


def _score(
    experiment: Experiment,
    task: Task,
    on: _Data,
    out: Path,
    folder: Path,
    shows: bool,
    device: str,
    workers: int,
    passes: list[str],
) -> tuple[list[RunScores], Path]:
    """Score a run's weights; `passes` takes a text for each pass that was not made before."""
    scoring = experiment.scoring
    chooser = sources.load_chooser(on.place, scoring, on.scored, task.recipe)
    if chooser is None and "val" in scoring.thresholds:
        _say(f"{task.name}: no boxes to choose a threshold on, so that val is left out")

    def count_pass(text: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
        passes.append(text)
        return pass_progress(text, total)

    with hold_folder(folder, patient=True):
        found = score_weights(
            task.entry,
            task.seed,
            task.weights or str(out / "runs" / task.name),
            Images(on.scored, chooser, on.place.image_root, on.find_classes),
            scoring,
            folder,
            shows=shows,
            device=device,
            workers=workers,
            progress=count_pass,
        )
        record.note_training(folder, out / "runs" / task.name if task.weights is None else None)
    return found


def _write(
    experiment: Experiment,
    on: _Data | None,
    rules: Protocol,
    out: Path,
    found: _Found,
    taken: Sequence[str],
) -> list[Row]:
    """Write tables and page, and print them."""
    scoring = experiment.scoring
    rows = summarise(found.samples, experiment.models[0].name, experiment.references)
    verdicts = benchmark_output.list_verdicts(rows)
    images = found.samples[0].images
    scored = f"{scoring.split}: {images} images" if on is None else on.scored.summary
    title = f"{scored}, protocol {rules.name}, class map {rules.class_map}"
    record_of: dict[str, Any] = {
        "experiment": experiment.name,
        "data": None if on is None else str(on.place.path.resolve()),
        "images": images,
        "scoring": asdict(scoring),
        "failures": found.failed,
    }
    write_tables(out, f"Experiment {experiment.name}", verdicts, rows, record_of)
    trained = next((each for each in experiment.models if each.checkpoint is None), None)
    facts = {
        "Scored": title,
        "Thresholds": ", ".join(map(name_rule, scoring.thresholds)),
        "Seeds": ", ".join(str(s) for s in sorted({seed for _, seed in experiment.runs})),
    }
    if trained is not None:
        recipe = trained.recipe
        limit = f"at most {recipe.per_class} images a class" if recipe.per_class else "all images"
        facts["Recipe"] = f"{recipe.name}: {recipe.model}, {recipe.epochs} epochs, {limit}"
    if taken:
        facts["As recorded"] = ", ".join(taken)
    page = write_summary_page(
        out / "report",
        rows,
        title=f"Experiment {experiment.name}",
        note=experiment.description,
        verdicts=verdicts,
        facts=facts,
        failures=found.failed,
        pictures=None if on is None else "pictures/index.html",
    )
    benchmark_output.print_rows(rows, title)
    typer.echo("\n".join(verdicts))
    _say(f"table in {out / 'table.md'}, page in {page}")
    return rows


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
