"""The runs of an experiment in turn: trained or gone on with, scored or read, and put together."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from eval.manifest import ManifestError
from tdam.events import Events
from tdam.training.errors import TrainingError
from tdam.weights import WeightsError
from wsol.benchmarking import record, runs, sources
from wsol.benchmarking.departures import list_given, list_strange_weights
from wsol.benchmarking.failed_run import FailedRun, tell_reason
from wsol.benchmarking.plan import Task, plan_tasks
from wsol.benchmarking.preflight import check_trained, check_weights
from wsol.benchmarking.remaining import EPOCHS, SCORINGS, Remaining
from wsol.benchmarking.replicates import RunScores
from wsol.benchmarking.score_store import (
    CHOSEN,
    SCORED,
    VARIANTS,
    check_whole,
    read_run_scores,
    read_variants,
    remove_variants,
)
from wsol.benchmarking.score_weights import Images, score_weights
from wsol.benchmarking.scored_data import ScoredData
from wsol.benchmarking.train_run import train_run
from wsol.errors import about
from wsol.evaluation.comparison import ResultError, check_truth, read_results
from wsol.fingerprints import describe_images
from wsol.folder_lock import FolderHeldError, hold_folder
from wsol.overlap import check_apart, tell_overlaps
from wsol.text import count_things
from wsol.training.data import load_training_data

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from tdam.training.recipe import Recipe
    from wsol.benchmarking.experiment import Entry, Experiment

RECORDED = "recorded"  # folder of scores that come out of the record
_FAULTS = (ManifestError, TrainingError, WeightsError, ValueError, OSError, RuntimeError)


@dataclass
class RunResults:
    """What the runs have given so far.

    Args:
        runs: by name, the scores under every rule, and the folder of results
        failed: runs that gave none
        recorded: names of runs whose scores came out of the record
        strange: weights that are not those that the experiment means, a line each
        given: names of runs whose weights were given in place of a training, of which none tells
    """

    runs: dict[str, tuple[list[RunScores], Path]] = field(default_factory=dict)
    failed: list[FailedRun] = field(default_factory=list)
    recorded: list[str] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)
    given: list[str] = field(default_factory=list)

    @property
    def scores(self) -> list[RunScores]:
        """Scores of every run under every rule."""
        return [each for scores, _ in self.runs.values() for each in scores]

    @property
    def folders(self) -> dict[str, Path]:
        """Folder of results by model, of its first seed."""
        folders: dict[str, Path] = {}
        for scores, folder in self.runs.values():
            for each in scores[:1]:
                folders.setdefault(each.model, folder)
        return folders


class _CountedEvents(Events):
    """Tells events on, and counts the tasks."""

    def __init__(self, events: Events) -> None:
        self.advance, self.end, self.say = events.advance, events.end, events.say  # type: ignore[method-assign]
        self._events = events
        self.tasks = 0

    def begin(self, task: str, total: int | None = None, done: int = 0) -> None:
        self.tasks += 1
        self._events.begin(task, total, done)


@dataclass(frozen=True)
class Reproduction:
    """The work on an experiment.

    Args:
        whole: the experiment
        experiment: with the models and seeds that are wanted
        on: what networks are trained and scored on; None where all runs are recorded
        out: folder of the experiment; exists
        weights: folder of weights to score instead of training, or None
        recorded: names of runs in the experiment's record, to be read unless their weights are
            there
        cache: folder of packed images that stays; None for one in `out` that goes
        device: that networks run on
        workers: processes that read images
        allow_overlap: go on where images are trained on, chosen by or scored at once, and say so
        events: told of what is done
        told: by the name of a recorded run that was read, `record.describe_data` of it
    """

    whole: Experiment
    experiment: Experiment
    on: ScoredData | None
    out: Path
    weights: Path | None
    recorded: Collection[str]
    cache: Path | None
    device: str
    workers: int
    allow_overlap: bool
    events: Events
    told: dict[str, record.Description] = field(default_factory=dict)

    def run(self) -> RunResults:
        """Train, score or read every run; one that fails is named and does not stop the others."""
        data = None if self.on is None else self.on.data
        tasks = plan_tasks(
            self.experiment, self.out, self.weights, data, self.recorded, self.device
        )
        if self.on is not None:
            self._check_apart([task for task in tasks if not task.recorded], self.on)
        misfits = self._find_misfits(tasks)
        todo = [task for task in tasks if task.must_train]
        epochs = sum(task.recipe.epochs for task in todo if task.recipe is not None)
        remaining = Remaining({EPOCHS: epochs, SCORINGS: len(tasks)})
        self.events.say(
            f"{count_things(len(tasks), 'run')}, {len(todo)} to train; {remaining.describe()}"
        )
        recorded = [task.name for task in tasks if task.recorded]
        results = RunResults(recorded=recorded, strange=list_strange_weights(tasks, self.on))
        for line in results.strange:
            self.events.say(f"not the experiment as it stands: {line}")
        for number, task in enumerate(tasks, start=1):
            note = ", as recorded" if task.recorded else ""
            self.events.say(f"[{number}/{len(tasks)}] {task.name}{note}")
            counted = _CountedEvents(self.events)
            try:
                if task.name in misfits:
                    raise misfits[task.name]
                self._add(task, results, remaining, counted)
            except _FAULTS as error:
                held = isinstance(error, FolderHeldError)
                self._note_failure(task, results, tell_reason(error), held)
            remaining.finish(SCORINGS, free=not counted.tasks)
            self.events.say(remaining.describe())
        if self.on is None:  # else all were held against the data
            reasons = record.find_odd_runs(self.told)
            for task in tasks:
                if task.name in reasons:
                    del results.runs[task.name]
                    self._note_failure(task, results, reasons[task.name])
        done = [task for task in tasks if task.name in results.runs]
        results.given = list_given(done, self._scores_of)
        return results

    def _scores_of(self, task: Task) -> Path:
        return self.out / (RECORDED if task.recorded else "scores") / task.name

    def _note_failure(
        self, task: Task, results: RunResults, reason: str, held: bool = False
    ) -> None:
        entry, seed = task.entry, str(task.seed)
        failed = FailedRun(task.name, entry.name, seed, reason, held, task.recorded)
        results.failed.append(failed)
        self.events.say(f"failed: {failed.describe()}")

    def _check_apart(self, tasks: Sequence[Task], on: ScoredData) -> None:
        """Hold the images of every run against each other, before hours go into the first."""
        scoring = self.experiment.scoring
        unknown: list[str] = []
        for task in tasks:
            folder = self.out / "runs" / task.name
            sets = sources.list_run_sets(on.data, scoring, on.scored, task, folder)
            told = sources.list_run_unknown(task, folder)
            unknown += told
            task.overlaps = check_apart(sets, self.allow_overlap, unknown=told)
        tell_overlaps((task.overlaps for task in tasks), unknown, self.events)

    def _find_misfits(self, tasks: list[Task]) -> dict[str, Exception]:
        """Find what would fail only after hours, and tell it before the first run begins.

        Returns:
            by the name of a run that scores weights as they are, why it cannot

        Raises:
            ArgumentError: a model that cannot be trained, or not be scored afterwards
            ManifestError: data that it cannot be trained or scored on
        """
        misfits: dict[str, Exception] = {}
        trained: set[str] = set()
        for task in tasks:
            if task.recorded or self.on is None:
                continue
            images = self._load_images(task, self.on)
            self._note_without_val(task, images.chooser is not None)
            scoring = self.experiment.scoring
            if task.weights is not None:
                try:
                    check_weights(task.entry, task.weights, images, scoring)
                except _FAULTS as error:
                    misfits[task.name] = error
                    self.events.say(f"{task.name}: {tell_reason(error)}")
            elif task.must_train and task.recipe is not None and task.entry.name not in trained:
                trained.add(task.entry.name)  # other seeds need the same
                folder = self.out / "runs" / task.name
                with about("experiment"):
                    check_trained(task.recipe, folder, images, scoring, self.on.data)
        return misfits

    def _load_images(self, task: Task, on: ScoredData) -> Images:
        """Put together what a run is scored on."""
        chooser = sources.load_chooser(on.data, self.experiment.scoring, task.recipe)
        return Images(
            on.scored,
            chooser,
            on.data.image_root,
            on.find_classes,
            task.overlaps,
            sources.name_trained_classes(on.data, on.scored, task.recipe),
        )

    def _add(
        self, task: Task, results: RunResults, remaining: Remaining, counted: _CountedEvents
    ) -> None:
        """Add the scores of one run."""
        if task.recorded:
            scores, folder = self._read(task)
        elif self.on is not None:
            if task.must_train:
                train_run(
                    task,
                    self.on.data,
                    self.out / "runs" / task.name,
                    self.cache or self.out / "cache",
                    device=self.device,
                    workers=self.workers,
                    remaining=remaining,
                    allow_overlap=self.allow_overlap,
                    events=self.events,
                )
            remaining.start()
            shows = task.entry.name not in results.folders
            scores, folder = self._score(task, self.on, shows, counted)
        else:
            raise ResultError(f"run {task.name} is not recorded")
        results.runs[task.name] = scores, folder

    def _read(self, task: Task) -> tuple[list[RunScores], Path]:
        """Take a run's scores out of the record, and refuse those of other images."""
        experiment, folder = self.experiment, self._scores_of(task)
        recipe = self._recorded_recipe(task.entry, task.seed)
        if experiment.record is None:
            raise ResultError(f"experiment {experiment.name} has no record")
        with hold_folder(folder, patient=True):
            try:
                record.unpack_run(experiment.record, task.name, folder, recipe)
                check_whole(folder)
                name, scoring = task.entry.name, experiment.scoring
                scores, first = read_run_scores(folder, name, task.seed, scoring)
                self.told[task.name] = record.describe_data(folder)
                if self.on is not None:
                    self._check_data(task, folder, self.on)
            except ResultError:
                record.clear_run(folder)  # what is refused goes into no record of this folder
                raise
        self._note_without_val(task, any(each.threshold == "val" for each in scores))
        return scores, first

    def _check_data(self, task: Task, folder: Path, on: ScoredData) -> None:
        """Refuse a recorded run that was made of other images than the data."""
        data, recipe = on.data, task.recipe
        training = record.read_training(folder)
        if recipe is not None and training:
            used = load_training_data(data, None, recipe.val_share, recipe.seed, recipe.per_class)
            record.check_training(training, used, folder)
        variant = read_variants(folder)[0]
        splits = {SCORED: on.scored}
        chooser = sources.load_chooser(data, self.experiment.scoring, recipe)
        if variant.chooses and chooser is not None:
            splits[CHOSEN] = chooser
        for part, split in splits.items():
            results = read_results(folder / variant.results(part), slim=True)
            check_truth(results, split)
            for key, value in describe_images(split, data.image_root).items():
                if results.scores.get(key) not in (None, value):
                    raise ResultError(
                        f"{results.folder}: expected scores of the images in {data.path} but "
                        f"{key} differs"
                    )

    def _score(
        self, task: Task, on: ScoredData, shows: bool, events: Events
    ) -> tuple[list[RunScores], Path]:
        """Score a run's weights."""
        scoring, folder = self.experiment.scoring, self.out / "scores" / task.name
        trained = self.out / "runs" / task.name
        with hold_folder(folder, patient=True):
            scores = score_weights(
                task.entry,
                task.seed,
                task.weights or str(trained),
                self._load_images(task, on),
                scoring,
                folder,
                shows=shows,
                device=self.device,
                workers=self.workers,
                events=events,
            )
            record.note_training(folder, trained if task.weights is None else task.given_run)
        return scores

    def _note_without_val(self, task: Task, chooses: bool) -> None:
        if "val" in self.experiment.scoring.thresholds and not chooses:
            self.events.say(
                f"{task.name}: no boxes to choose a threshold on, so that val is left out"
            )

    def write_record(self, failed: Sequence[FailedRun] = ()) -> None:
        """Record every run in the folder, also of earlier commands and of other machines.

        What the record holds already and the folder does not stays in it, unless it is of
        another experiment. What runs that failed gave earlier is left out: it may be of weights
        that are gone.

        Args:
            failed: runs of this command that gave no scores
        """
        path = self.out / "experiment.zip"
        left_out = {each.name for each in failed if not each.held}
        homes = [self.out / RECORDED, self.out / "scores"]
        folders = [each.parent for home in homes for each in home.glob(f"*/{VARIANTS}")]
        named = {folder.name: folder for folder in folders if folder.name not in left_out}
        with TemporaryDirectory(dir=self.out) as temporary:
            kept = self._keep_recorded(path, Path(temporary), named, left_out)
            record.write_record(path, kept | named)
        for each in failed:
            if not each.held:  # nor does a later command take it for a whole run
                self._disown(homes[:1] if each.recorded else homes, each.name)

    def _disown(self, homes: Sequence[Path], name: str) -> None:
        """Say that a run's earlier scores are not whole; scoring the same weights takes them up."""
        for folder in (home / name for home in homes):
            if (folder / VARIANTS).is_file():
                with suppress(FolderHeldError), hold_folder(folder):
                    remove_variants(folder)

    def _keep_recorded(
        self, path: Path, home: Path, named: Mapping[str, Path], left_out: Collection[str]
    ) -> dict[str, Path]:
        """Unpack those runs of a record that the folder does not have, and that did not fail."""
        kept: dict[str, Path] = {}
        known = {entry.run_name(seed): (entry, seed) for entry, seed in self.whole.runs}
        try:
            names = record.list_recorded(path)
        except ResultError as error:
            self.events.say(f"replaced: {error}")
            return kept
        for name in names:
            if name in named:
                continue
            folder = home / name
            try:
                if name in left_out:
                    raise ResultError(f"run {name}, which failed")
                if name not in known:
                    raise ResultError(f"run {name} is none of {self.whole.name}")
                folder.mkdir()
                record.unpack_run(path, name, folder, self._recorded_recipe(*known[name]))
                check_whole(folder)
                kept[name] = folder
            except ResultError as error:
                self.events.say(f"left out of {path}: {error}")
        return kept

    def _recorded_recipe(self, entry: Entry, seed: int) -> Recipe | None:
        """Settle the recipe that a recorded run must have, its precision left open if it may be."""
        if entry.checkpoint is not None:
            return None
        recipe = runs.settle_recipe(
            entry, seed, self.out / "runs" / entry.run_name(seed), self.device
        )
        return recipe.change(precision=entry.recipe.precision)
