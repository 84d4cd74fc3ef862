"""`wsol reproduce`: a whole experiment; train what is missing, score, compare, and judge."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wsol.cli import common, outputs

if TYPE_CHECKING:
    from wsol.benchmarking.experiment import Experiment

COPY = "experiment.toml"  # what an experiment's folder is known by


def reproduce(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="Of an experiment that comes along, or a .toml file."),
    ],
    data: Annotated[
        Path | None,
        typer.Option(
            help="Data set; images with their splits in manifest/; or the official download of "
            "CUB-200-2011. Needed but for what is recorded."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the experiment; default: wsol-NAME.")
    ] = None,
    models: Annotated[
        str | None, typer.Option(help="Only these, such as none,tdam_joint.", metavar="A,B")
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(help="Only these, such as 0 or 0,1.", metavar="N,N")
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            help="Folder of MODEL-SEED.safetensors files or MODEL-SEED runs: score these, train "
            "nothing."
        ),
    ] = None,
    recorded: Annotated[
        bool,
        typer.Option(
            "--recorded",
            help="Take the runs whose scores are recorded beside the experiment (NAME.zip) as they "
            "are, but for those that OUT has trained. Without --data only these.",
        ),
    ] = False,
    root: Annotated[
        Path | None, typer.Option(help="Image root of the ids; default: as the data set has it.")
    ] = None,
    expect: Annotated[
        bool,
        typer.Option(
            "--expect",
            help="Check the expected values; exits with 1 where one is off. Without --models "
            "nothing is trained for it: models whose weights are there are checked.",
        ),
    ] = False,
    cache: Annotated[
        Path | None, typer.Option(help="Folder of packed images, which is kept.")
    ] = None,
    device: common.Device = "auto",
    workers: Annotated[int, typer.Option(help="Processes that read images.", min=0)] = 2,
) -> None:
    """Reproduce an experiment: train what is missing, score everything, compare, give a verdict.

    Every training has a folder in OUT/runs. The same command goes on where it was cut off: runs
    that have ended are not trained again, and scores are made anew only for other weights.
    Tables, page and values are OUT/table.md, OUT/table.csv, OUT/report and OUT/results.json;
    OUT/experiment.zip records what became of every image in every run.
    """
    from wsol.benchmarking.experiment_files import load_experiment
    from wsol.benchmarking.record import list_recorded

    with common.wrong_use("NAME"):
        whole = load_experiment(name)
    with common.wrong_use("--models"):
        experiment = whole.select(models=None if models is None else _split(models))
    with common.wrong_use("--seeds"):
        experiment = experiment.select(seeds=None if seeds is None else _to_numbers(seeds))
    out = Path(f"wsol-{whole.name}") if out is None else out
    known: list[str] = []
    if recorded and whole.record is not None:
        with common.wrong_use("--recorded"):
            known = list_recorded(whole.record)
            if not known:
                fault = "has no runs" if whole.record.is_file() else "no such file"
                raise ValueError(f"{whole.record}: {fault}, so that no scores are recorded")
    if data is None:
        for flag, folder in (("--root", root), ("--weights", weights)):
            if folder is not None:
                raise typer.BadParameter("goes with --data", param_hint=flag)
        experiment = _only_recorded(experiment, known)
    elif expect and whole.expected and models is None and weights is None:
        experiment = _without_training(experiment, out, known)
    if expect and not experiment.expected:
        what = "for these models and seeds" if whole.expected else "yet"
        message = f"experiment {whole.name} carries no expected values {what}"
        raise typer.BadParameter(message, param_hint="--expect")
    for flag, folder in (("--data", data), ("--root", root), ("--weights", weights)):
        if folder is not None and not folder.exists():
            raise typer.BadParameter(f"{folder}: no such file or folder", param_hint=flag)
    _free(out, whole)
    from wsol.cli.experiment_run import run_experiment
    from wsol.runtime import keep_freed_memory

    keep_freed_memory()
    left = len(whole.expected) - len(experiment.expected)
    if expect and left:
        sys.stderr.write(f"{left} expected values are of models or seeds that are left out\n")
    try:
        good = run_experiment(
            experiment,
            data,
            out,
            root=root,
            weights=weights,
            recorded=known,
            expect=expect,
            cache=cache,
            device=common.choose_device(device),
            workers=workers,
        )
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; the same command goes on from what is saved\n")
        raise
    if not good:
        raise typer.Exit(1)


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",")]


def _only_recorded(experiment: Experiment, recorded: list[str]) -> Experiment:
    """Leave out what would have to be scored, and say so."""
    if not recorded:
        there = experiment.record is not None and experiment.record.is_file()
        message = "expected a data set"
        message += ", or --recorded for the scores that come along" * there
        raise typer.BadParameter(message, param_hint="--data")
    wanted = [entry.run_name(seed) for entry, seed in experiment.runs]
    missing = [name for name in wanted if name not in recorded]
    if missing:
        sys.stderr.write(f"not recorded and left out: {', '.join(missing)}\n")
    with common.wrong_use("--recorded"):
        return experiment.select(runs=recorded)


def _without_training(experiment: Experiment, out: Path, recorded: list[str]) -> Experiment:
    """Leave out the models that have to be trained first, and say so."""
    from wsol.benchmarking.runs import list_ready

    ready = list_ready(experiment, out / "runs", recorded)
    missing = [entry.name for entry in experiment.models if entry.name not in ready]
    if missing:
        sys.stderr.write(f"not trained yet and left out: {', '.join(missing)}\n")
    if not ready:
        message = f"experiment {experiment.name} has no weights in {out} yet; train first"
        raise typer.BadParameter(message, param_hint="--expect")
    return experiment.select(models=ready)


def _to_numbers(text: str) -> list[int]:
    found = _split(text)
    if not all(part.isdigit() for part in found):
        raise ValueError(f"Expected seeds such as 0,1 but got {text!r}")
    return [int(part) for part in found]


def _free(out: Path, experiment: Experiment) -> None:
    """Make room for an experiment, or go on with this very one."""
    from wsol.benchmarking.experiment_files import load_experiment

    begun = (out / COPY).is_file()
    if begun:
        with common.wrong_use("--out"):
            other = load_experiment(str(out / COPY)).name
            if other != experiment.name:
                raise ValueError(f"{out} holds experiment {other!r}; choose another folder")
    elif out.is_dir() and any(out.iterdir()):
        message = f"{out} exists and holds no experiment; choose another folder"
        raise typer.BadParameter(message, param_hint="--out")
    outputs.free_folder(out, force=True)
    with outputs.writing(out, "--out"):
        (out / COPY).write_text(experiment.text, encoding="utf-8")
