"""`wsol reproduce`: a whole experiment; train what is missing, score, compare, and judge."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from wsol.cli import common
from wsol.cli.completing import offer
from wsol.cli.console import ConsoleEvents
from wsol.cli.interrupts import tell_nothing_saved, telling_what_is_kept
from wsol.cli.score_tables import print_outcome
from wsol.cli.usage import usage
from wsol.errors import about
from wsol.folder_lock import has_files
from wsol.text import escape


def _list_experiments() -> list[str]:
    from wsol.benchmarking.experiment_names import list_experiments

    return list_experiments()


def reproduce(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="Of an experiment that comes along, or a .toml file.",
            autocompletion=offer(_list_experiments),
        ),
    ],
    data: Annotated[
        Path | None,
        typer.Option(
            help="Data set; images with their splits in manifest/; or the official download of "
            "CUB-200-2011 or ILSVRC. Needed but for what is recorded."
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
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="Change the recipe of all models, such as epochs=1, for a run at reduced size; "
            "repeatable. Every output says so, without verdicts or expected values.",
            metavar="KEY=VALUE",
        ),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            help="Folder of MODEL-SEED.safetensors files or MODEL-SEED runs: score these, train "
            "nothing; and of files that the experiment's card asks for."
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
    workers: common.Readers = 2,
    allow_overlap: common.AllowOverlap = False,
) -> None:
    """Reproduce an experiment: train what is missing, score everything, compare, give a verdict.

    Every training has a folder in OUT/runs. The same command goes on where it was cut off: runs
    that have ended are not trained again, and scores are made anew only where something that they
    depend on changed. Tables, page and values are OUT/table.md, OUT/table.csv, OUT/report and
    OUT/results.json; OUT/experiment.zip records what became of every image in every run.
    """
    with usage(data="--data"):
        from wsol.workflows.reproduce import reproduce as run

        with about("seeds"):
            numbers = None if seeds is None else _to_numbers(seeds)
        with telling_what_is_kept(partial(_tell_kept, name, out)), ConsoleEvents() as events:
            outcome = run(
                name, data, out, models=None if models is None else _split(models),
                seeds=numbers, changes=changes or (), weights=weights, recorded=recorded,
                root=root, expect=expect, cache=cache, device=device, workers=workers,
                allow_overlap=allow_overlap, events=events,
            )  # fmt: skip
    print_outcome(outcome)
    sys.stderr.writelines(f"failed: {escape(line)}\n" for line in outcome.failures)
    if not outcome.good:
        raise typer.Exit(1)


def _tell_kept(name: str, out: Path | None) -> str:
    """Say what an interruption leaves."""
    from wsol.benchmarking.experiment_files import load_experiment
    from wsol.workflows.reproduce import default_folder

    folder = default_folder(load_experiment(name).name) if out is None else out
    if not has_files(folder):
        return tell_nothing_saved(folder)
    return f"the same command goes on from what is saved in {folder}"


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",")]


def _to_numbers(text: str) -> list[int]:
    parts = _split(text)
    if not all(part.isdecimal() and len(part) < 19 for part in parts):
        raise ValueError(f"Expected seeds such as 0,1 but got {text!r}")
    return [int(part) for part in parts]
