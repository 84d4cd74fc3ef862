"""`wsol benchmark`: several checkpoints on one data set, side by side, with paired intervals."""

from __future__ import annotations

import json
import sys
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wsol.cli import common, data_sets, outputs, reports

if TYPE_CHECKING:
    from wsol.benchmarking.expected import Expected
    from wsol.benchmarking.experiment import Entry, Scoring

MARKER = "benchmark.json"  # says that a folder is a benchmark's, before any result is there


def benchmark(
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA",
            help="Folder with one folder a split, or with manifest/ and images; or a COCO file.",
        ),
    ],
    runs: Annotated[
        list[str],
        typer.Option(
            "--run",
            help="Its name, and a checkpoint (file, or folder of a run) or a network that comes "
            "with weights; repeatable. The others are compared with the first.",
            metavar="NAME=CHECKPOINT",
        ),
    ],
    split: Annotated[str, typer.Option(help="Such as test, or val+test.")] = "test",
    root: Annotated[
        Path | None, typer.Option(help="Image root of the ids; default: as DATA has it.")
    ] = None,
    protocol: Annotated[
        str, typer.Option(help="wsoleval, tdam, clean, or a .toml file.", metavar="NAME")
    ] = "wsoleval",
    thresholds: Annotated[
        list[str] | None,
        typer.Option(
            "--threshold",
            help="val, oracle, own (the protocol's) or a number of its grid; repeatable, the "
            "first is what the report shows. Default: val and oracle where there is a split val, "
            "else own where there is one, else oracle.",
            metavar="T",
        ),
    ] = None,
    methods: Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            help="Map method: auto, cam, gradcam, gradcam++, xgradcam, layercam or scorecam "
            "(slow); repeatable.",
            metavar="NAME",
        ),
    ] = None,
    output_strides: Annotated[
        list[int] | None,
        typer.Option(
            "--output-stride",
            help="Input pixels a map pixel, 32, 16 or 8, by dilation of the same weights; "
            "repeatable. Default: the weights' own.",
        ),
    ] = None,
    size: Annotated[
        int, typer.Option(help="Side of the input in pixels; 0 for the weights' own.")
    ] = 0,
    classes: Annotated[
        Path | None,
        typer.Option(help="CSV with label,imagenet1k_index; default: classes.csv near DATA."),
    ] = None,
    expect: Annotated[
        Path | None,
        typer.Option(help="TOML of expected values and tolerances; exits with 1 where one is off."),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write all values to this file.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for tables and results of every image; what was cut off goes on."
        ),
    ] = None,
    report: common.Report = None,
    device: common.Device = "auto",
    batch_size: common.BatchSize = 32,
    workers: common.Workers = 2,
    force: common.Force = False,
) -> None:
    """Score several checkpoints on the same images, and compare each with the first.

    Differences come with a paired bootstrap 95 % interval: both models meet the same resampled
    images. All threshold rules are taken from the same maps.
    """
    from eval.manifest import ManifestError, list_splits, open_data_set
    from eval.protocols import find_protocol
    from wsol.benchmarking.expected import load_expected

    with common.wrong_use("--protocol"):
        rules = find_protocol(protocol)
    entries = _read_runs(runs)
    expected: tuple[Expected, ...] = ()
    if expect is not None:
        with common.wrong_use("--expect"):
            expected = load_expected(expect)
    if not data.exists():
        raise typer.BadParameter(f"{data}: no such file or folder", param_hint="DATA")
    if root is not None and not root.is_dir():
        raise typer.BadParameter(f"{root}: no such folder", param_hint="--root")
    try:
        place = open_data_set(data, root)
        if place.root is None:
            raise ManifestError(f"{place.path}: expected to be told its image root (--root)")
    except ManifestError as error:
        raise typer.BadParameter(str(error), param_hint="--root") from error
    data, root = place.path, place.root
    if not thresholds:
        has_val = "val" in list_splits(data) and "val" not in split.split("+")
        rest = "oracle" if rules.threshold is None else "own"
        thresholds = ["val", "oracle"] if has_val else [rest]
    scoring = _settle(protocol, thresholds, methods, output_strides, size, split)
    scored, chooser = data_sets.load_splits(data, split, "val" in scoring.thresholds)
    if scored.boxes is None:
        raise typer.BadParameter(f"{data} has no boxes", param_hint="DATA")
    if json_file is not None:
        outputs.free_file(json_file, "--json", force)
    if out is not None:
        _free(out, force)
    work = None if report is None else reports.free(report, out, False, force)
    where = common.choose_device(device)
    with TemporaryDirectory() as temporary:
        from tdam.weights import WeightsError
        from wsol.benchmarking.experiment import PRETRAINED
        from wsol.benchmarking.score_weights import Images, score_weights
        from wsol.benchmarking.summary import summarise
        from wsol.benchmarking.tables import to_plain, write_tables
        from wsol.cli.benchmark_output import check_expected, list_verdicts, print_rows, read_runs
        from wsol.cli.run_progress import pass_progress
        from wsol.runtime import keep_freed_memory

        keep_freed_memory()
        folder = out or Path(temporary)
        find = cache(partial(data_sets.find_classes, data, scored, root, classes))
        images = Images(scored, chooser, root, find)
        samples, places, failed = [], {}, []
        for entry in entries:
            try:
                found, places[entry.name] = score_weights(
                    entry,
                    0,
                    str(entry.checkpoint),
                    images,
                    scoring,
                    folder / entry.name,
                    shows=work is not None,
                    device=where,
                    batch_size=batch_size,
                    workers=workers,
                    progress=pass_progress,
                )
                samples += found
            except (WeightsError, ValueError, OSError, RuntimeError) as error:
                failed.append(f"{entry.name}: {' '.join(str(error).split())}")
                sys.stderr.write(f"{failed[-1]}\n")
        if not samples:
            common.fail("no run could be scored")
        rows = summarise(samples, entries[0].name)
        title = f"{scored.summary}, protocol {rules.name}, class map {rules.class_map}"
        weights = {
            entry.name: entry.recipe.model if entry.checkpoint == PRETRAINED else entry.checkpoint
            for entry in entries
        }
        record = {"data": str(data.resolve()), "split": split, "protocol": rules.name,
                  "runs": weights, "failures": failed}  # fmt: skip
        verdicts = list_verdicts(rows)
        if out is not None:
            write_tables(out, title, verdicts, rows, record)
        if json_file is not None:
            content = {"schema": 1, **record, "verdicts": verdicts, "rows": to_plain(rows)}
            with outputs.writing(json_file, "--json"):
                json_file.write_text(json.dumps(content) + "\n", encoding="utf-8")
        print_rows(rows, title)
        typer.echo("\n".join(verdicts))
        if work is not None:
            reports.write(work.folder, read_runs(places, scored, rules), root)
    good = check_expected(expected, rows) if expect is not None else True
    if failed or not good:
        raise typer.Exit(1)


def _read_runs(texts: list[str]) -> list[Entry]:
    from tdam.registry import list_models
    from tdam.training.recipe import Recipe
    from tdam.weights import find_weights
    from wsol.benchmarking.experiment import PRETRAINED, Entry

    entries: dict[str, Entry] = {}
    for text in texts:
        name, equals, path = text.partition("=")
        if not equals or not path or name != Path(name).name or name in ("", ".", ".."):
            message = f"expected NAME=CHECKPOINT, got {text!r}"
            raise typer.BadParameter(message, param_hint="--run")
        if name in entries:
            raise typer.BadParameter(f"two runs are named {name!r}", param_hint="--run")
        found = find_weights(path)
        if not found.exists() and path in list_models():
            entries[name] = Entry(name, Recipe(model=path), checkpoint=PRETRAINED)
            continue
        if not found.exists():
            message = f"{path}: no such file or folder, and no network of wsol models"
            raise typer.BadParameter(message, param_hint="--run")
        entries[name] = Entry(name, Recipe(), checkpoint=str(found))
    return list(entries.values())


def _settle(
    protocol: str,
    thresholds: list[str],
    methods: list[str] | None,
    output_strides: list[int] | None,
    size: int,
    split: str,
) -> Scoring:
    """Put the ways of scoring together, or exit with 2."""
    from wsol.benchmarking.experiment import Scoring

    choices: dict[str, Any] = {"protocol": protocol, "split": split}
    levels: list[str | float] = []
    for text in thresholds:
        try:
            levels.append(float(text))
        except ValueError:
            levels.append(text)
    if "val" in thresholds and "val" in split.split("+"):
        message = f"val cannot be chosen on while {split!r} scores it"
        raise typer.BadParameter(message, param_hint="--threshold")
    if "val" in split.split("+"):
        choices["choose"] = ""  # nothing is chosen
    for flag, name, value in (
        ("--threshold", "thresholds", levels),
        ("--method", "methods", methods),
        ("--output-stride", "output_strides", output_strides),
        ("--size", "size", size),
    ):
        if value:
            with common.wrong_use(flag):
                one: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value}
                Scoring(**one)
                choices |= one
    return Scoring(**choices)


def _free(out: Path, force: bool) -> None:
    """Make room for results, or go on with a benchmark that was cut off."""
    begun = (out / MARKER).is_file() and not (out / "results.json").is_file()
    outputs.free_folder(out, force or begun)
    with outputs.writing(out, "--out"):
        (out / MARKER).write_text("{}\n", encoding="utf-8")
