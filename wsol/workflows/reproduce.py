"""A whole experiment: train what is missing, score, compare, and judge."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tdam.events import SILENT, Events
from wsol.errors import ArgumentError, about
from wsol.folder_lock import has_files, hold_folder
from wsol.out_files import write_file
from wsol.out_folders import free_file, free_folder, writing
from wsol.sharing import led
from wsol.shipped import tell_absent

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from wsol.benchmarking.experiment import Experiment
    from wsol.benchmarking.outcome import Outcome
    from wsol.benchmarking.reproduction import Reproduction, RunResults

COPY = "experiment.toml"  # what an experiment's folder is known by


@led
def reproduce(
    experiment: str | Path,
    data: str | Path | None = None,
    out: str | Path | None = None,
    *,
    models: Collection[str] | None = None,
    seeds: Collection[int] | None = None,
    changes: Sequence[str] = (),
    weights: str | Path | None = None,
    recorded: bool = False,
    root: str | Path | None = None,
    expect: bool = False,
    cache: str | Path | None = None,
    device: str = "auto",
    workers: int = 2,
    allow_overlap: bool = False,
    events: Events = SILENT,
) -> Outcome:
    """Reproduce an experiment: train what is missing, score everything, compare, give a verdict.

    Every training has a folder in `out/runs`. The same call goes on where it was cut off: runs that
    have ended are not trained again, and scores are made anew only where something that they depend
    on changed. Tables, page and values are `table.md`, `table.csv`, `report` and `results.json` in
    `out`; `experiment.zip` records what became of every image in every run. Started by torchrun,
    every process calls this and works on its part of each batch and of the images that are scored.

    Args:
        experiment: name of one that comes along, or a TOML file
        data: data set; images with their splits in `manifest/`; or the official download of
            CUB-200-2011 or of ILSVRC; None for what is recorded alone
        out: folder of the experiment; None for `wsol-<name>`
        models: names; None for all
        seeds: None for all
        changes: of the recipe of all models, such as `epochs=1`; every output says that it is not
            the experiment as it stands, no verdict is given and no expected value compared
        weights: folder of MODEL-SEED.safetensors files or MODEL-SEED runs to score, training
            nothing, and of files of weights that the experiment expects of the user
        recorded: take the runs whose scores are recorded beside the experiment as they are, but
            for those that `out` has trained
        root: image root; None: as the data set has it
        expect: check the expected values; without `models` nothing is trained for it
        cache: folder of packed images, which is kept
        device: `auto`, `cpu`, `cuda`, or any name that torch knows
        workers: processes that read images
        allow_overlap: train, choose thresholds on and score the same images all the same, as for
            `evaluate`, and say so in every result
        events: told of what is done

    Returns:
        rows, verdicts, failures, and whether expected values were met

    Raises:
        wsol.errors.ArgumentError: a ValueError that says which argument cannot be used, and why
        eval.manifest.ManifestError: a data set that cannot be used, or images that are trained on,
            chosen by or scored at once
        wsol.benchmarking.outcome.NothingScoredError: no run could be scored
        KeyboardInterrupt: somebody asked to stop; the same call goes on from what is saved
    """
    from wsol.benchmarking.experiment_files import load_experiment

    with about("experiment"):
        whole = load_experiment(str(experiment))
    with about("changes"):
        whole = whole.change([changes] if isinstance(changes, str) else list(changes))
    with about("models"):
        chosen = whole.select(models=models)
    with about("seeds"):
        chosen = chosen.select(seeds=seeds)
    home = default_folder(whole.name) if out is None else Path(out)
    known = _list_recorded(whole) if recorded else []
    if data is None:
        for argument, folder in (("root", root), ("weights", weights)):
            if folder is not None:
                raise ArgumentError(argument, "goes with --data")
        chosen = _only_recorded(chosen, known, events)
    elif expect and whole.expected and models is None and weights is None:
        chosen = _without_training(chosen, home, known, events)
    if expect and not chosen.expected:
        what = "for these models and seeds" if whole.expected else "yet"
        message = f"experiment {whole.name} carries no expected values {what}"
        raise ArgumentError("expect", message)
    for argument, folder in (("data", data), ("root", root), ("weights", weights)):
        if folder is not None and not Path(folder).exists():
            named = tell_absent(folder) if argument == "data" else ""
            raise ArgumentError(argument, named or f"{folder}: no such file or folder")
    with about("out"), hold_folder(home, patient=True, tell=events.say):
        _free(home, whole)
    if cache is not None:
        with about("cache"):
            free_folder(Path(cache), begun=True)
    left = len(whole.expected) - len(chosen.expected)
    if expect and left:
        events.say(f"{left} expected values are of models or seeds that are left out")
    return _run(
        whole,
        chosen,
        None if data is None else Path(data),
        None if root is None else Path(root),
        home,
        weights=None if weights is None else Path(weights),
        recorded=known,
        expect=expect,
        cache=None if cache is None else Path(cache),
        device=device,
        workers=workers,
        allow_overlap=allow_overlap or whole.allow_overlap,
        events=events,
    )


def _run(
    whole: Experiment,
    experiment: Experiment,
    data: Path | None,
    root: Path | None,
    out: Path,
    *,
    expect: bool,
    device: str,
    events: Events,
    **options: Any,
) -> Outcome:
    from tdam.precision import check_precision
    from wsol.benchmarking import runs
    from wsol.benchmarking.departures import list_departures
    from wsol.benchmarking.expected import check_measurable
    from wsol.benchmarking.outcome import NothingScoredError, read_runs
    from wsol.benchmarking.replicates import check_rules
    from wsol.benchmarking.reproduction import Reproduction
    from wsol.benchmarking.scored_data import open_scored
    from wsol.benchmarking.sources import describe_choice
    from wsol.runtime import find_device
    from wsol.workflows.evaluation_job import check_root
    from wsol.workflows.report_job import write_page

    with about("device"):
        found = find_device(device)
        where = str(found)
    if data is not None:
        with about("experiment"):
            check_precision(experiment.scoring.precision, found)
    with hold_folder(out, patient=True, tell=events.say):  # splits may be written to it
        on = None if data is None else open_scored(experiment, data, root, out, events)
    with about("experiment"):
        check_rules(experiment.scoring)
        if expect:
            check_measurable(experiment.expected, experiment.references, experiment.scoring)
    if on is not None:
        check_root(on.scored, on.data.image_root)
        for line in list_departures(experiment, len(on.scored), on):
            events.say(f"not the experiment as it stands: {line}")
        recipe = next((each.recipe for each in experiment.models if each.checkpoint is None), None)
        chosen_on = describe_choice(on.data, experiment.scoring, recipe)
        if chosen_on:
            events.say(f"thresholds of the rule val: {chosen_on}")
    work = Reproduction(whole, experiment, on, out, device=where, events=events, **options)
    results = work.run()
    if not results.scores:
        raise NothingScoredError("no run could be scored")
    with hold_folder(out, patient=True, tell=events.say):
        outcome = _write(work, results, expect)
        work.write_record(results.failed)
        if on is not None:
            pictures = out / "report" / "pictures"
            shown = read_runs(results.folders, on.scored, experiment.scoring.rules[0])
            write_page(pictures, shown, on.data.root, events, references=experiment.references)
    if work.cache is None and not runs.is_any_unfinished(out / "runs"):
        shutil.rmtree(out / "cache", ignore_errors=True)
    return outcome


def _write(work: Reproduction, results: RunResults, expect: bool) -> Outcome:
    """Write tables and page."""
    from wsol.benchmarking.departures import list_departures
    from wsol.benchmarking.outcome import Outcome, list_verdicts
    from wsol.benchmarking.page import write_summary_page
    from wsol.benchmarking.passes import describe_protocols
    from wsol.benchmarking.summary import summarise
    from wsol.benchmarking.tables import DEPARTURES, GIVEN, write_tables
    from wsol.evaluation.unreadable import list_unreadable, pair_unreadable

    experiment, on = work.experiment, work.on
    scoring = experiment.scoring
    rows = summarise(results.scores, experiment.models[0].name, experiment.references)
    images = results.scores[0].images
    departures = [*list_departures(experiment, images, on), *results.strange]
    verdicts = [] if departures else list_verdicts(rows)
    scored = f"{scoring.split}: {images} images" if on is None else on.scored.summary
    title = f"{scored}, {describe_protocols(scoring.rules)}"
    title += "" if scoring.precision == "float32" else f", {scoring.precision}"
    title += "" if scoring.smooth == "none" else f", smooth {scoring.smooth}"
    missed = list_unreadable(results.scores)
    failures = [each.describe() for each in results.failed]
    record: dict[str, Any] = {
        "experiment": experiment.name,
        "data": None if on is None else str(on.data.path.resolve()),
        "images": images,
        "scoring": {"protocol": scoring.protocols[0], **asdict(scoring)},
        "failures": failures,
        **missed,
    }
    if departures:
        record[DEPARTURES] = departures
    if results.given:
        record[GIVEN] = results.given
    name = f"Experiment {experiment.name}"
    write_tables(work.out, name, verdicts, rows, record, results.failed)
    page = write_summary_page(
        work.out / "report",
        rows,
        title=name,
        note=experiment.description,
        verdicts=verdicts,
        facts=_list_facts(work, results, title),
        failures=failures,
        departures=departures,
        unreadable=pair_unreadable(missed),
        pictures=None if on is None else "pictures/index.html",
    )
    work.events.say(f"table in {work.out / 'table.md'}, page in {page}")
    return Outcome(
        title=title,
        rows=tuple(rows),
        verdicts=tuple(verdicts),
        failed=tuple(results.failed),
        record=record,
        expected=experiment.expected if expect else None,
        page=page,
        departures=tuple(departures),
        given=tuple(results.given),
        **{key: tuple(lines) for key, lines in missed.items()},
    )


def _list_facts(work: Reproduction, results: RunResults, scored: str) -> dict[str, str]:
    """Say in short what was done, by a label for people."""
    from wsol.benchmarking.replicates import name_rule
    from wsol.benchmarking.sources import describe_choice
    from wsol.benchmarking.tables import describe_given

    experiment, on = work.experiment, work.on
    trained = next((each for each in experiment.models if each.checkpoint is None), None)
    recipe = None if trained is None else trained.recipe
    facts = {
        "Scored": scored,
        "Thresholds": ", ".join(map(name_rule, experiment.scoring.thresholds)),
    }
    chosen_on = "" if on is None else describe_choice(on.data, experiment.scoring, recipe)
    if chosen_on:
        facts["Rule val"] = chosen_on
    facts["Seeds"] = ", ".join(str(s) for s in sorted({seed for _, seed in experiment.runs}))
    if results.given:
        facts["Weights"] = describe_given(results.given)
    trained_runs = [entry for entry, _ in experiment.runs if entry.checkpoint is None]
    if recipe is not None and len(results.given) < len(trained_runs):
        limit = f"at most {recipe.per_class} images a class" if recipe.per_class else "all images"
        facts["Recipe"] = f"{recipe.name}: {recipe.model}, {recipe.epochs} epochs, {limit}"
    if results.recorded:
        facts["As recorded"] = ", ".join(results.recorded)
    return facts


def _list_recorded(experiment: Experiment) -> list[str]:
    """Name the runs that are recorded beside an experiment."""
    from wsol.benchmarking.record import list_recorded
    from wsol.evaluation.comparison import ResultError

    if experiment.record is None:
        return []
    try:
        known = list_recorded(experiment.record)
    except ResultError as error:
        raise ArgumentError("recorded", str(error)) from error
    if not known:
        fault = "has no runs" if experiment.record.is_file() else "no such file"
        message = f"{experiment.record}: {fault}, so that no scores are recorded"
        raise ArgumentError("recorded", message)
    return known


def default_folder(name: str) -> Path:
    """Give the folder of an experiment that is told none, by its name."""
    return Path(f"wsol-{name}")


def _only_recorded(experiment: Experiment, recorded: list[str], events: Events) -> Experiment:
    """Leave out what would have to be scored, and say so."""
    if not recorded:
        there = experiment.record is not None and experiment.record.is_file()
        message = "expected a data set"
        message += ", or --recorded for the scores that come along" * there
        raise ArgumentError("data", message)
    wanted = [entry.run_name(seed) for entry, seed in experiment.runs]
    missing = [name for name in wanted if name not in recorded]
    if missing:
        events.say(f"not recorded and left out: {', '.join(missing)}")
    with about("recorded"):
        return experiment.select(runs=recorded)


def _without_training(
    experiment: Experiment, out: Path, recorded: list[str], events: Events
) -> Experiment:
    """Leave out the models that have to be trained first, and say so."""
    from wsol.benchmarking.runs import list_ready

    ready = list_ready(experiment, out / "runs", recorded)
    missing = [entry.name for entry in experiment.models if entry.name not in ready]
    if missing:
        events.say(f"not trained yet and left out: {', '.join(missing)}")
    if not ready:
        message = f"experiment {experiment.name} has no weights in {out} yet; train first"
        raise ArgumentError("expect", message)
    return experiment.select(models=ready)


def _free(out: Path, experiment: Experiment) -> None:
    """Make room for an experiment, or go on with this very one."""
    from wsol.benchmarking.experiment_files import load_experiment

    with about("out"), writing(out):
        if (out / COPY).is_file():
            other = load_experiment(str(out / COPY)).name
            if other != experiment.name:
                raise ValueError(f"{out} holds experiment {other!r}; choose another folder")
        elif has_files(out):
            raise ValueError(f"{out} exists and holds no experiment; choose another folder")
        free_folder(out, begun=True)
        for name in ("runs", "scores", "recorded", "report", "cache"):
            if (out / name).exists():
                free_folder(out / name, begun=True)
        for name in ("table.md", "table.csv", "results.json", "experiment.zip"):
            free_file(out / name, force=True)
        changed = f"# not the experiment as it stands: {', '.join(experiment.changes)}"
        told = f"{changed.encode('unicode_escape').decode()}\n" if experiment.changes else ""
        write_file(out / COPY, told + experiment.text)
