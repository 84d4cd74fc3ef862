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
from eval.protocols import find_protocol
from tdam.training.errors import TrainingError
from tdam.weights import WeightsError
from wsol.benchmark import runs, sources
from wsol.benchmark.page import write_summary_page
from wsol.benchmark.samples import Sample, name_rule
from wsol.benchmark.scoring import Images, score_weights
from wsol.benchmark.summary import Row, summarise
from wsol.benchmark.tables import write_tables
from wsol.cli import benchmark_output, common, data_sets, reports
from wsol.cli.run_progress import Remaining, count_things, pass_progress
from wsol.cli.train_progress import TrainProgress
from wsol.folder_lock import hold_folder
from wsol.training import train_localizer

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from eval.splits import Split
    from tdam.training.recipe import Recipe
    from tdam.training.run_folder import TrainState
    from wsol.benchmark.experiment import Entry, Experiment

EPOCHS, SCORINGS = "training epoch", "scoring"
_FAULTS = (ManifestError, TrainingError, WeightsError, ValueError, OSError, RuntimeError)


@dataclass
class _Task:
    """One model with one seed.

    Args:
        entry: the model
        seed: of the run
        name: of both
        weights: to score as they are; None for a run that is trained
        recipe: of the training
        state: how far it has come
    """

    entry: Entry
    seed: int
    name: str
    weights: str | None
    recipe: Recipe | None = None
    state: runs.State = "missing"


@dataclass
class _Found:
    """What the runs have given so far.

    Args:
        samples: scores of every run
        places: folder of results by model, of its first seed
        failed: a line a run that failed
    """

    samples: list[Sample] = field(default_factory=list)
    places: dict[str, Path] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)


def run_experiment(
    experiment: Experiment,
    data: Path,
    out: Path,
    *,
    root: Path | None,
    weights: Path | None,
    expect: bool,
    cache: Path | None,
    device: str,
    workers: int,
) -> bool:
    """Train what is missing, score, compare and write down.

    Args:
        experiment: with the models and seeds that are wanted
        data: as the user named it
        out: folder of the experiment; exists
        root: image root, or None
        weights: folder of weights to score instead of training, or None
        expect: check the expected values
        cache: folder of packed images that stays; None for one in `out` that goes
        device: that networks run on
        workers: processes that read images

    Returns:
        whether every run has ended and every expected value was found
    """
    scoring = experiment.scoring
    try:
        place = sources.find_data(data, root, out)
        scored = sources.load_scored(place, scoring)
    except ManifestError as error:
        common.fail(str(error))
    with common.wrong_use("NAME"):
        rules = find_protocol(scoring.protocol)
    tasks = _plan(experiment, out, weights, place, device)
    todo = [task for task in tasks if task.weights is None and task.state != "finished"]
    epochs = sum(task.recipe.epochs for task in todo if task.recipe is not None)
    remaining = Remaining({EPOCHS: epochs, SCORINGS: len(tasks)})
    _say(f"{count_things(len(tasks), 'run')}, {len(todo)} to train; {remaining.describe()}")
    find = remember(partial(data_sets.find_classes, place.data, scored, place.root, None))
    found = _Found()
    passes = 0

    def count_pass(text: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
        nonlocal passes
        passes += 1
        return pass_progress(text, total)

    for at, task in enumerate(tasks):
        _say(f"[{at + 1}/{len(tasks)}] {task.name}")
        try:
            if task.weights is None and task.state != "finished":
                kept = cache or out / "cache"
                _train(task, place, out / "runs" / task.name, kept, device, workers, remaining)
            remaining.start()
            passes = 0
            chooser = sources.load_chooser(place, scoring, scored, task.recipe)
            if chooser is None and "val" in scoring.thresholds:
                _say(f"{task.name}: no boxes to choose a threshold on, so that val is left out")
            folder = out / "scores" / task.name
            with hold_folder(folder, patient=True):
                samples, where = score_weights(
                    task.entry,
                    task.seed,
                    task.weights or str(out / "runs" / task.name),
                    Images(scored, chooser, place.root, find),
                    scoring,
                    folder,
                    shows=task.entry.name not in found.places,
                    device=device,
                    workers=workers,
                    progress=count_pass,
                )
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
        rows = _write(experiment, place, scored, out, found)
        runs_of = benchmark_output.read_runs(found.places, scored, rules)
        pictures = out / "report" / "pictures"
        reports.write(pictures, runs_of, place.root, references=experiment.references)
    if cache is None and not runs.is_any_unfinished(out / "runs"):
        shutil.rmtree(out / "cache", ignore_errors=True)
    good = benchmark_output.check_expected(experiment.expected, rows) if expect else True
    for line in found.failed:
        sys.stderr.write(f"failed: {line}\n")
    return good and not found.failed


def _plan(
    experiment: Experiment, out: Path, weights: Path | None, place: sources.DataFolder, device: str
) -> list[_Task]:
    """Settle every run before the first one begins, or exit where one on disk is another."""
    tasks = []
    for entry, seed in experiment.runs:
        name = runs.run_name(entry, seed)
        task = _Task(entry, seed, name, runs.weights_to_score(entry, seed, weights))
        folder = out / "runs" / name
        try:
            if entry.checkpoint is None:
                with common.wrong_use("NAME"):
                    task.recipe = runs.settle_recipe(entry, seed, folder, device)
            if task.weights is None and task.recipe is not None:
                with common.wrong_use("--out"):
                    task.state = runs.find_state(folder, task.recipe, place, device)
        except ManifestError as error:
            common.fail(str(error))
        tasks.append(task)
    return tasks


def _train(
    task: _Task,
    place: sources.DataFolder,
    folder: Path,
    cache: Path,
    device: str,
    workers: int,
    remaining: Remaining,
) -> None:
    """Train a run, or go on with it, and keep the estimate of the time left."""
    recipe = task.recipe
    if recipe is None:
        raise TypeError(f"Expected {task.name} to have a recipe but got None")
    task.state = runs.find_state(folder, recipe, place, device)  # by now, of another process, too
    if task.state == "finished":
        remaining.finish(EPOCHS, recipe.epochs, free=True)
        return
    counted, cut_off = 0, task.state == "begun"
    remaining.start()

    def on_epoch(state: TrainState) -> None:
        nonlocal counted, cut_off
        shown.on_epoch(state)
        epoch = state.history[-1]["epoch"]
        if epoch > counted + 1:  # done before the run was cut off
            remaining.finish(EPOCHS, epoch - 1 - counted, free=True)
        if epoch > 0:
            remaining.finish(EPOCHS, free=cut_off)  # what is left of an epoch tells nothing
            shown.say(f"  {remaining.describe()}")
        counted, cut_off = epoch, False

    with TrainProgress(recipe.epochs) as shown:
        try:
            train_localizer(
                place.data,
                folder,
                recipe,
                root=place.root,
                resume=task.state == "begun",
                device=device,
                workers=workers,
                cache=cache,
                on_data=shown.on_data,
                on_packed=shown.on_packed,
                on_batch=shown.on_batch,
                on_epoch=on_epoch,
            )
        finally:
            remaining.finish(EPOCHS, recipe.epochs - counted, free=True)


def _write(
    experiment: Experiment,
    place: sources.DataFolder,
    scored: Split,
    out: Path,
    found: _Found,
) -> list[Row]:
    """Write tables and page, and print them."""
    scoring = experiment.scoring
    rows = summarise(found.samples, experiment.models[0].name, experiment.references)
    verdicts = benchmark_output.list_verdicts(rows)
    rules = find_protocol(scoring.protocol)
    title = f"{scored.summary}, protocol {rules.name}, class map {rules.class_map}"
    record: dict[str, Any] = {
        "experiment": experiment.name,
        "data": str(place.data.resolve()),
        "images": len(scored),
        "scoring": asdict(scoring),
        "failures": found.failed,
    }
    write_tables(out, f"Experiment {experiment.name}", verdicts, rows, record)
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
    page = write_summary_page(
        out / "report",
        rows,
        title=f"Experiment {experiment.name}",
        note=experiment.description,
        verdicts=verdicts,
        facts=facts,
        failures=found.failed,
        pictures="pictures/index.html",
    )
    benchmark_output.print_rows(rows, title)
    typer.echo("\n".join(verdicts))
    _say(f"table in {out / 'table.md'}, page in {page}")
    return rows


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
