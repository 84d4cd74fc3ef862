"""Several models on one data set, side by side, with paired intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from tdam.events import SILENT, Events
from wsol.errors import ArgumentError, about
from wsol.folder_lock import holds
from wsol.out_files import write_file
from wsol.out_folders import free_folder, writing
from wsol.overlap import check_apart, list_sets, tell_overlaps
from wsol.sharing import led
from wsol.shipped import tell_absent
from wsol.text import count_things
from wsol.workflows.evaluation_data import load_splits
from wsol.workflows.evaluation_job import check_root
from wsol.workflows.report_job import free_report, write_page

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eval.manifest import DataSet
    from eval.splits import Split
    from wsol.benchmarking.expected import Expected
    from wsol.benchmarking.experiment import Entry, Scoring
    from wsol.benchmarking.given_runs import GivenRun
    from wsol.benchmarking.outcome import Outcome
    from wsol.overlap import ImageSet

MARKER = "benchmark.json"  # says that a folder is a benchmark's, before any result is there


@led
@holds("out", "report")
def benchmark(
    data: str | Path | DataSet,
    runs: Mapping[str, str | Path],
    root: str | Path | None = None,
    *,
    split: str = "test",
    protocol: str = "wsoleval",
    thresholds: Sequence[str | float] = (),
    methods: Sequence[str] = (),
    smooth: str = "none",
    output_strides: Sequence[int] = (),
    size: int = 0,
    classes: str | Path | None = None,
    expect: str | Path | Sequence[Expected] | None = None,
    out: str | Path | None = None,
    report: str | Path | None = None,
    device: str = "auto",
    batch_size: int = 32,
    workers: int = 2,
    precision: str = "float32",
    allow_overlap: bool = False,
    force: bool = False,
    events: Events = SILENT,
) -> Outcome:
    """Score several checkpoints on the same images, and compare each with the first.

    Differences come with a paired bootstrap 95 % interval: both models meet the same resampled
    images. All threshold rules are taken from the same maps. Started by torchrun, every process
    calls this and scores its part of the images.

    Args:
        data: as for `eval.manifest.open_data_set`, with boxes
        runs: by name, a checkpoint (file, folder of a run, or name of weights that come along), a
            network that comes with weights, `maps:DIR` as `evaluate_maps` takes them, or
            `boxes:FILE` as `evaluate_boxes` does, each also `maps:DIR,FILE` with a file of
            predicted classes; the others are compared with the first
        root: image root of the ids; None: as the data set has it
        split: such as `test`, or `val+test`
        protocol: name, or path of a TOML file
        thresholds: rules side by side: `val`, `oracle`, `unlabelled` (the one that the scored
            images ask for without a box), `own` (the protocol's) or numbers of its grid; the first
            is what the report shows. None: `val` and `oracle` where there is a
            split val, else `own` where there is one, else `oracle`
        methods: map methods; none for the one that is stored with the weights
        smooth: of the maps of every network, as for `evaluate`
        output_strides: 32, 16 or 8, by dilation of the same weights; none for their own
        size: side of the input in pixels; 0 for the weights' own
        classes: CSV with label,imagenet1k_index; None: a classes.csv near the data
        expect: values and tolerances to check, or their TOML file
        out: folder for tables and results of every image; what was cut off goes on
        report: folder for a page with tables, curves and pictures
        device: `auto`, `cpu`, `cuda`, or any name that torch knows
        batch_size: images at once
        workers: threads that read images and score maps
        precision: that networks compute in, as for `evaluate`
        allow_overlap: score images all the same that a threshold is chosen on or that a run's
            weights were trained on or chosen by, as for `evaluate`, and say so in every result
        force: overwrite what an earlier run wrote
        events: told of what is done

    Returns:
        rows, verdicts, failures, and whether expected values were met

    Raises:
        wsol.errors.ArgumentError: a ValueError that says which argument cannot be used, and why
        eval.manifest.ManifestError: a fault in the data set, or images that are not only scored
        wsol.benchmarking.outcome.NothingScoredError: no run could be scored
    """
    from eval.protocols import find_protocol
    from wsol.benchmarking.expected import check_measurable
    from wsol.benchmarking.experiment import Entry
    from wsol.benchmarking.replicates import check_rules

    with about("protocol"):
        rules = find_protocol(protocol)
    entries = _read_runs(runs)
    expected = _read_expected(expect)
    reads_images = any(isinstance(each, Entry) for each in entries)
    opened = _open(data, root, reads_images)
    if not thresholds:
        has_val = "val" in opened.splits and "val" not in split.split("+")
        thresholds = (
            ["val", "oracle"] if has_val else ["oracle" if rules.threshold is None else "own"]
        )
    computed = {"precision": precision, "smooth": smooth}
    scoring = _settle(protocol, thresholds, methods, output_strides, size, split, computed)
    with about("thresholds"):
        check_rules(scoring)
    if expected is not None:
        with about("expect"):
            check_measurable(expected, {each.name: entries[0].name for each in entries}, scoring)
    scored, chooser = _load(opened, split, scoring)
    if reads_images:
        check_root(scored, opened.image_root)
    overlaps = _find_overlaps(
        entries, list_sets(scored, chooser, opened.root), allow_overlap, events
    )
    home = None if out is None else Path(out)
    if home is not None:
        _free(home, force)
    page = None if report is None else free_report(Path(report), force, out=home)
    with TemporaryDirectory() as temporary:
        outcome, folders = _score(
            entries, scoring, opened, scored, chooser, home or Path(temporary), overlaps,
            classes=None if classes is None else Path(classes), shows=page is not None,
            expected=expected, device=device, batch_size=batch_size, workers=workers,
            events=events,
        )  # fmt: skip
        if home is not None:
            from wsol.benchmarking.tables import write_tables

            write_tables(
                home, outcome.title, outcome.verdicts, outcome.rows, outcome.record, outcome.failed
            )
        if page is not None:
            from wsol.benchmarking.outcome import read_runs

            results = read_runs(folders, scored, rules)
            write_page(page.folder, results, opened.root, events, note=_note_faults(outcome))
    return outcome


def _note_faults(outcome: Outcome) -> str:
    """Name runs that failed and images that could not be read, for the page."""
    from wsol.evaluation.unreadable import pair_unreadable

    told = pair_unreadable(vars(outcome))
    if outcome.failed:
        count = count_things(len(outcome.failed), "run")
        told.insert(0, (f"{count} failed and left out", outcome.failures))
    return ". ".join(f"{sentence}: {'; '.join(lines)}" for sentence, lines in told)


def _open(data: str | Path | DataSet, root: str | Path | None, reads_images: bool) -> DataSet:
    """Open the data set, whose image root has to be known where images are read."""
    from eval.manifest import ManifestError, open_data_set

    if isinstance(data, (str, Path)) and not Path(data).exists():
        raise ArgumentError("data", tell_absent(data))
    if root is not None and not Path(root).is_dir():
        raise ArgumentError("root", f"{root}: no such folder")
    try:
        opened = open_data_set(data, root)
        _ = opened.image_root if reads_images else None
    except ManifestError as error:
        raise ArgumentError("root", str(error)) from error
    return opened


def _load(data: DataSet, split: str, scoring: Scoring) -> tuple[Split, Split | None]:
    """Read the split to score and, where it is asked for, that to choose by, both with boxes."""
    scored, chooser = load_splits(data, split, "val" if "val" in scoring.thresholds else None)
    if scored.boxes is None:
        raise ArgumentError("data", f"{data.path} has no boxes")
    if chooser is not None and not any(map(len, chooser.boxes or ())):
        raise ArgumentError("thresholds", f"{data.path} has no boxes in split val to choose by")
    return scored, chooser


def _score(
    entries: Sequence[Entry | GivenRun],
    scoring: Scoring,
    data: DataSet,
    scored: Split,
    chooser: Split | None,
    folder: Path,
    overlaps: Mapping[str, tuple[str, ...] | None],
    *,
    classes: Path | None,
    shows: bool,
    expected: tuple[Expected, ...] | None,
    device: str,
    events: Events,
    **options: Any,
) -> tuple[Outcome, dict[str, Path]]:
    """Score every model; gives the folder of each one's results too."""
    from tdam.named_weights import is_named
    from tdam.weights import WeightsError
    from wsol.benchmarking.failed_run import FailedRun, tell_reason
    from wsol.benchmarking.given_runs import GivenRun, score_given
    from wsol.benchmarking.outcome import NothingScoredError, Outcome, list_verdicts
    from wsol.benchmarking.preflight import check_weights
    from wsol.benchmarking.score_weights import Images, score_weights
    from wsol.benchmarking.scored_data import class_finder
    from wsol.benchmarking.summary import summarise
    from wsol.evaluation.unreadable import UNREADABLE, UNREADABLE_CHOSEN_ON, list_unreadable
    from wsol.runtime import settle_device

    where = str(settle_device(device, scoring.precision))
    finder = class_finder(scored, data, classes, events)
    (rules,) = scoring.rules
    images = Images(scored, chooser, data.root or data.path, finder)
    scores, folders, fitting = [], {}, []
    failed: list[FailedRun] = []

    def note_failure(entry: Entry | GivenRun, error: Exception) -> None:
        failed.append(FailedRun(entry.name, entry.name, "0", tell_reason(error)))
        events.say(failed[-1].describe())

    for entry in entries:  # all of them before the first is scored
        try:
            if not isinstance(entry, GivenRun):
                check_weights(entry, str(entry.checkpoint), images, scoring)
            fitting.append(entry)
        except (WeightsError, ValueError, OSError, RuntimeError) as error:
            note_failure(entry, error)
    for entry in fitting:
        try:
            of_run = replace(images, overlaps=overlaps[entry.name])
            if isinstance(entry, GivenRun):
                of_entry, folders[entry.name] = score_given(
                    entry, of_run, data, scoring, folder / entry.name,
                    classes=classes, workers=options["workers"], events=events,
                )  # fmt: skip
            else:
                of_entry, folders[entry.name] = score_weights(
                    entry, 0, str(entry.checkpoint), of_run, scoring, folder / entry.name,
                    shows=shows, device=where, events=events, **options,
                )  # fmt: skip
            scores += of_entry
        except (WeightsError, ValueError, OSError, RuntimeError) as error:
            note_failure(entry, error)
    if not scores:
        raise NothingScoredError("no run could be scored")
    rows = summarise(scores, entries[0].name)
    weights = {
        entry.name: entry.checkpoint
        if isinstance(entry, GivenRun) or not is_named(entry.checkpoint)
        else entry.recipe.model
        for entry in entries
    }
    missed = list_unreadable(scores)
    record = {
        "data": str(data.path.resolve()),
        "split": scoring.split,
        "protocol": rules.name,
        "runs": weights,
        "failures": [each.describe() for each in failed],
        **missed,
    }
    title = f"{scored.summary}, protocol {rules.name}, class map {rules.class_map}"
    title += "" if scoring.precision == "float32" else f", {scoring.precision}"
    title += "" if scoring.smooth == "none" else f", smooth {scoring.smooth}"
    outcome = Outcome(
        title, tuple(rows), tuple(list_verdicts(rows)), tuple(failed), record, expected,
        unreadable=tuple(missed[UNREADABLE]),
        unreadable_chosen_on=tuple(missed[UNREADABLE_CHOSEN_ON]),
    )  # fmt: skip
    return outcome, folders


def _find_overlaps(
    entries: Sequence[Entry | GivenRun], sets: list[ImageSet], allow: bool, events: Events
) -> dict[str, tuple[str, ...] | None]:
    """Hold every run's images against those that are scored and chosen by, before it is scored."""
    from tdam.named_weights import is_named
    from wsol.benchmarking.given_runs import GivenRun
    from wsol.training.image_list import list_unknown, read_image_sets

    overlaps = {}
    unknown: list[str] = []
    for entry in entries:
        given = isinstance(entry, GivenRun)
        weights = None if given or is_named(entry.checkpoint) else entry.checkpoint
        told = list_unknown(weights)
        unknown += told
        overlaps[entry.name] = check_apart([*read_image_sets(weights), *sets], allow, unknown=told)
    tell_overlaps(overlaps.values(), unknown, events)
    return overlaps


def _read_expected(
    expect: str | Path | Sequence[Expected] | None,
) -> tuple[Expected, ...] | None:
    from wsol.benchmarking.expected import load_expected

    if isinstance(expect, (str, Path)):
        with about("expect"):
            return load_expected(Path(expect))
    return None if expect is None else tuple(expect)


def _read_runs(runs: Mapping[str, str | Path]) -> list[Entry | GivenRun]:
    """Find every run's weights, maps or boxes, before the first is scored."""
    from tdam.named_weights import PRETRAINED
    from tdam.registry import list_models
    from tdam.training.recipe import Recipe
    from tdam.unfinished import refuse_unfinished
    from tdam.weights import find_weights
    from wsol.benchmarking.experiment import Entry
    from wsol.benchmarking.given_runs import find_given

    if not isinstance(runs, Mapping):
        raise TypeError(f"Expected runs to be checkpoints by name but got {runs!r}")
    entries: list[Entry | GivenRun] = []
    for name, checkpoint in runs.items():
        if name != Path(name).name or name in ("", ".", ".."):
            raise ArgumentError("runs", f"expected a name that a folder can have, got {name!r}")
        given = find_given(name, str(checkpoint))
        if given is not None:
            entries.append(given)
            continue
        path = find_weights(checkpoint)
        with about("runs"):
            refuse_unfinished(path)
        if path.exists():
            entries.append(Entry(name, Recipe(), checkpoint=str(path)))
        elif str(checkpoint) in list_models():
            entries.append(Entry(name, Recipe(model=str(checkpoint)), checkpoint=PRETRAINED))
        else:
            message = f"{checkpoint}: no such file or folder, and no network of wsol models"
            raise ArgumentError("runs", message)
    if not entries:
        raise ArgumentError("runs", "expected at least one run")
    return entries


def _settle(
    protocol: str,
    thresholds: Sequence[str | float],
    methods: Sequence[str],
    output_strides: Sequence[int],
    size: int,
    split: str,
    computed: dict[str, str],
) -> Scoring:
    """Put the variants of scoring together."""
    from wsol.benchmarking.experiment import Scoring

    choices: dict[str, Any] = {"protocols": (protocol,), "split": split}
    if "val" in thresholds and "val" in split.split("+"):
        raise ArgumentError("thresholds", f"val cannot be chosen on while {split!r} scores it")
    if "val" in split.split("+"):
        choices["choose"] = ""  # nothing is chosen
    given: dict[str, Any] = {
        "thresholds": tuple(thresholds),
        "methods": tuple(methods),
        "output_strides": tuple(output_strides),
        "size": size,
        **computed,
    }
    for name, value in given.items():
        if value:
            with about(name):
                Scoring(**{name: value})
            choices[name] = value
    return Scoring(**choices)


def _free(out: Path, force: bool) -> None:
    """Make room for results, or go on with a benchmark that was cut off."""
    begun = (out / MARKER).is_file() and not (out / "results.json").is_file()
    with about("out"), writing(out):
        free_folder(out, begun=begun or force)  # scores are kept by what they were made of
        write_file(out / MARKER, "{}\n")
