"""`wsol train`: from labelled images to a localizer, in one folder that says how it came about."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tdam.named_weights import NAMED_WEIGHTS
from tdam.registry import find_spec, list_models
from tdam.training.recipe import DEFAULT_RECIPE, list_recipes, load_recipe
from tdam.training.recipe_rules import CHOICES
from tdam.unfinished import RECIPE
from wsol.cli import common
from wsol.cli.completing import offer
from wsol.cli.console import ConsoleEvents
from wsol.cli.interrupts import tell_nothing_saved, telling_what_is_kept
from wsol.cli.score_tables import print_overlaps
from wsol.cli.usage import usage
from wsol.text import count_things, escape

if TYPE_CHECKING:
    from wsol.training.train import TrainedRun

_DEFAULT = load_recipe(DEFAULT_RECIPE)


def _with_default(text: str, value: object) -> str:
    """Say at the end of an option's help what the default recipe has."""
    return f"{text}  [{DEFAULT_RECIPE}: {value}]"


def _tell_size() -> str:
    """Say which side of the input the default recipe means, which may be the network's own."""
    if _DEFAULT.size:
        return str(_DEFAULT.size)
    return f"{find_spec(_DEFAULT.model).preprocessing.size}, the network's own"


RecipeName = Annotated[
    str | None,
    typer.Option(
        help=f"{', '.join(list_recipes())}, or a .toml file; default: {DEFAULT_RECIPE}, whose "
        f"own values stand below as [{DEFAULT_RECIPE}: ...].",
        metavar="NAME",
        autocompletion=offer(list_recipes),
    ),
]
Network = Annotated[
    str | None,
    typer.Option(
        help=_with_default(common.NETWORKS, _DEFAULT.model),
        metavar="NAME",
        autocompletion=offer(list_models),
    ),
]
Start = Annotated[
    str | None,
    typer.Option(
        help=_with_default(
            "pretrained, imagenet1k_v1 or _v2 (torchvision's), random, or a file or run.",
            _DEFAULT.weights,
        ),
        metavar="W",
        autocompletion=offer((*NAMED_WEIGHTS, "random")),
    ),
]
Size = Annotated[
    int | None, typer.Option(help=_with_default("Side of the input in pixels.", _tell_size()))
]
Epochs = Annotated[
    int | None,
    typer.Option(help=_with_default("Times that every image is seen.", _DEFAULT.epochs)),
]
BatchSize = Annotated[
    int | None, typer.Option(help=_with_default("Images at once.", _DEFAULT.batch_size))
]
Rate = Annotated[
    float | None, typer.Option(help=_with_default("Highest learning rate.", _DEFAULT.lr))
]
Select = Annotated[
    str | None,
    typer.Option(
        help=_with_default(
            "Whose weights are the result: best accuracy, best localization, or last.",
            _DEFAULT.select,
        ),
        metavar="NAME",
        autocompletion=offer(CHOICES["select"]),
    ),
]
Seed = Annotated[
    int | None, typer.Option(help=_with_default("Of everything random.", _DEFAULT.seed))
]
Changes = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="Any other choice of the recipe, such as ema=0.99; repeatable.",
        metavar="KEY=VALUE",
    ),
]
PickThreshold = Annotated[
    str | None,
    typer.Option(
        help=_with_default(
            "Threshold to store: unlabelled, the one that training images ask for without a "
            "box; val, the one that fits its boxes best; or none.",
            _DEFAULT.pick_threshold,
        ),
        metavar="RULE",
        autocompletion=offer(CHOICES["pick_threshold"]),
    ),
]


def train(
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA",
            help="Folder with one folder a split, COCO data set file, folder of COCO, YOLO or VOC "
            "files with its splits, or folder of class folders.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the run.")] = Path("wsol-run"),
    root: common.Root = None,
    recipe: RecipeName = None,
    model: Network = None,
    attention: common.Attention = None,
    steps: common.Steps = None,
    distance: common.Distance = None,
    searchlight: common.Searchlight = None,
    weights: Start = None,
    size: Size = None,
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    lr: Rate = None,
    select: Select = None,
    seed: Seed = None,
    changes: Changes = None,
    pick_threshold: PickThreshold = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in --out, by its own recipe.")
    ] = False,
    cache: common.Cache = None,
    device: common.Device = "auto",
    workers: common.Readers = 2,
    allow_overlap: common.AllowOverlap = False,
    max_pixels: common.MaxPixels = None,
    force: common.Force = False,
) -> None:
    """Train a classifier with image labels, so that predict can localize with it.

    No boxes are needed. Where DATA has no split val, a part of every class is held out to choose
    the best epoch by. The weights are OUT/model.safetensors; OUT alone does as a --checkpoint too.
    Several processes share the batches, and the validation images.
    """
    given: dict[str, Any] = {
        "model": model, "attention": attention, "steps": steps, "distance": distance,
        "searchlight": searchlight, "weights": weights, "size": size, "epochs": epochs,
        "batch_size": batch_size, "lr": lr, "select": select, "seed": seed,
        "pick_threshold": pick_threshold,
    }  # fmt: skip
    if not data.exists():
        from wsol.shipped import tell_absent

        raise typer.BadParameter(tell_absent(data), param_hint="DATA")
    from dataclasses import fields

    from tdam.training.recipe import Recipe
    from wsol.workflows.train import train as run

    hint = "" if recipe is None else "--recipe"
    hints = {each.name: hint for each in fields(Recipe) if each.name not in given}
    interruptible = telling_what_is_kept(partial(_tell_kept, out))
    with interruptible, ConsoleEvents() as events, usage(recipe=hint, **hints):
        trained = run(
            data,
            out,
            recipe=recipe,
            changes=changes or (),
            root=root,
            resume=resume,
            force=force,
            cache=cache,
            device=device,
            workers=workers,
            allow_overlap=allow_overlap,
            events=events,
            **{name: value for name, value in given.items() if value is not None},
        )
    _report(trained)


def _tell_kept(out: Path) -> str:
    """Say what an interruption leaves."""
    if (out / RECIPE).is_file():
        return f"--resume goes on from what is saved in {out}"
    return tell_nothing_saved(out)


def _report(run: TrainedRun) -> None:
    best = run.best
    by = {
        "accuracy": f"best validation accuracy, {best['val_accuracy']:.1f} %",
        "localization": f"best validation MaxBoxAccV2, {best.get('val_max_box_acc_v2', 0):.1f} %",
        "last": "the last one",
    }[run.recipe.select]
    typer.echo(f"result: epoch {best['epoch']} of {run.recipe.epochs}, {by}")
    print_overlaps(run.overlaps)
    if run.calibration is not None:
        calibration = run.calibration
        low, high = calibration.interval
        by_boxes = run.recipe.pick_threshold == "val"
        where = "validation images with boxes" if by_boxes else "training images, no boxes used"
        typer.echo(
            f"threshold: {calibration.threshold:.3f} (95 % interval {low:.3f} to {high:.3f}), on "
            f"{calibration.images} {where}"
        )
    for image_id, reason in run.unreadable.items():
        sys.stderr.write(f"{escape(f'{image_id}: {reason}')}\n")
    if run.unreadable:
        count = count_things(len(run.unreadable), "image")
        sys.stderr.write(f"{count} could not be read, left out\n")
    typer.echo(f"weights: {run.weights}")
    typer.echo(f"next: wsol predict IMAGES --checkpoint {run.weights}")
    if run.recipe.pick_threshold != "val":
        typer.echo(f"then: correct about 50 drafts; wsol calibrate {run.weights} --boxes FILE")
    if run.unreadable:
        raise typer.Exit(1)
