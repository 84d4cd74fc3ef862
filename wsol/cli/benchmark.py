"""`wsol benchmark`: several checkpoints on one data set, side by side, with paired intervals."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from eval.protocols import PROTOCOLS
from tdam.strict_json import dumps
from wsol.cli import common
from wsol.cli.completing import offer
from wsol.cli.console import ConsoleEvents
from wsol.cli.interrupts import tell_nothing_saved, telling_what_is_kept
from wsol.cli.score_tables import print_outcome
from wsol.cli.usage import usage
from wsol.errors import about
from wsol.evaluation.threshold_rules import ORACLE, OWN, UNLABELLED, VAL
from wsol.folder_lock import has_files
from wsol.out_files import write_named
from wsol.out_folders import free_file, writing


def benchmark(
    data: common.Scored,
    runs: Annotated[
        list[str],
        typer.Option(
            "--run",
            help="Its name, and a checkpoint (file, or folder of a run), a network that comes with "
            "weights, maps:DIR or boxes:FILE, with predicted classes maps:DIR,FILE; repeatable. "
            "The others are compared with the first.",
            metavar="NAME=CHECKPOINT",
        ),
    ],
    split: common.SplitName = "test",
    root: common.Root = None,
    protocol: Annotated[
        str,
        typer.Option(
            help=f"{', '.join(PROTOCOLS)}, or a .toml file.",
            metavar="NAME",
            autocompletion=offer(PROTOCOLS),
        ),
    ] = "wsoleval",
    thresholds: Annotated[
        list[str] | None,
        typer.Option(
            "--threshold",
            help="val, oracle, unlabelled (by the scored images alone, no boxes used), own (the "
            "protocol's) or a number of its grid; repeatable, the first is what the report shows. "
            "Default: val and oracle where there is a split val, else own where there is one, else "
            "oracle.",
            metavar="T",
            autocompletion=offer((VAL, ORACLE, UNLABELLED, OWN)),
        ),
    ] = None,
    methods: Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            help=f"Map method: {common.METHOD_CHOICES}; repeatable.",
            metavar="NAME",
            autocompletion=offer(common.METHOD_NAMES),
        ),
    ] = None,
    smooth: common.Smooth = "none",
    output_strides: Annotated[
        list[int] | None,
        typer.Option(
            "--output-stride",
            help="Input pixels a map pixel, 32, 16 or 8, by dilation of the same weights; "
            "repeatable. Default: the weights' own.",
            autocompletion=offer(common.STRIDES),
        ),
    ] = None,
    size: Annotated[
        int, typer.Option(help="Side of the input in pixels; 0 for the weights' own.")
    ] = 0,
    classes: common.ClassTable = None,
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
    precision: common.Precision = "float32",
    allow_overlap: common.AllowOverlap = False,
    force: common.Force = False,
) -> None:
    """Score several checkpoints on the same images, and compare each with the first.

    Differences come with a paired bootstrap 95 % interval: both models meet the same resampled
    images. All threshold rules are taken from the same maps.
    """
    named = _read_runs(runs)
    with usage():
        if json_file is not None:
            with about("json"):
                free_file(json_file, force)
        from wsol.workflows.benchmark import benchmark as run

        with telling_what_is_kept(partial(_tell_kept, out)), ConsoleEvents() as events:
            outcome = run(
                data, named, root, split=split, protocol=protocol,
                thresholds=[_to_number(text) for text in thresholds or ()],
                methods=methods or (), output_strides=output_strides or (), size=size,
                smooth=smooth, classes=classes, expect=expect, out=out, report=report,
                device=device, batch_size=batch_size, workers=workers, precision=precision,
                allow_overlap=allow_overlap, force=force, events=events,
            )  # fmt: skip
        if json_file is not None:
            with about("json"), writing(json_file):
                write_named(json_file, dumps(outcome.to_dict()) + "\n")
    print_outcome(outcome)
    if not outcome.good:
        raise typer.Exit(1)


def _tell_kept(out: Path | None) -> str:
    """Say what an interruption leaves."""
    if out is None:
        return "nothing is kept: with --out the same command goes on where it was cut off"
    if not has_files(out):
        return tell_nothing_saved(out)
    add = " with --force" if (out / "results.json").is_file() else ""
    return f"the same command{add} goes on from what is saved in {out}"


def _read_runs(texts: list[str]) -> dict[str, str]:
    """Split NAME=CHECKPOINT, or exit with 2."""
    named: dict[str, str] = {}
    for text in texts:
        name, equals, path = text.partition("=")
        if not equals or not path or not name:
            message = f"expected NAME=CHECKPOINT, got {text!r}"
            raise typer.BadParameter(message, param_hint="--run")
        if name in named:
            raise typer.BadParameter(f"two runs are named {name!r}", param_hint="--run")
        named[name] = path
    return named


def _to_number(text: str) -> str | float:
    """Read a number; what is none stays a word, which the library knows or refuses."""
    try:
        return float(text)
    except ValueError:
        return text
