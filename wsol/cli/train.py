"""`wsol train`: from labelled images to a localizer, in one folder that says how it came about."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wsol.cli import common, outputs

if TYPE_CHECKING:
    from tdam.training.recipe import Recipe
    from wsol.training.train import TrainedRun


def train(
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA",
            help="Folder with one folder a split, COCO data set file, or folder of class folders.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the run.")] = Path("wsol-run"),
    root: Annotated[
        Path | None, typer.Option(help="Image root of the ids; default: as DATA has it.")
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            help="finetune (default), scratch_small, add_attention, or a .toml file.",
            metavar="NAME",
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Network; `wsol models` lists them.", metavar="NAME")
    ] = None,
    attention: common.Attention = None,
    steps: Annotated[int | None, typer.Option(help="T, how often a TDAM block's end runs.")] = None,
    distance: Annotated[
        int | None, typer.Option(help="m, how many convolutions run again.")
    ] = None,
    searchlight: Annotated[
        str | None, typer.Option(help="top, joint or joint_sum.", metavar="NAME")
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(help="pretrained, random, or a file or run to begin with.", metavar="W"),
    ] = None,
    size: Annotated[int | None, typer.Option(help="Side of the input in pixels.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Times that every image is seen.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images at once.")] = None,
    lr: Annotated[float | None, typer.Option(help="Highest learning rate.")] = None,
    select: Annotated[
        str | None,
        typer.Option(
            help="Whose weights are the result: best accuracy, best localization, or last.",
            metavar="NAME",
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of everything random.")] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="Any other choice of the recipe, such as ema=0.99; repeatable.",
            metavar="KEY=VALUE",
        ),
    ] = None,
    pick_threshold: Annotated[
        str | None,
        typer.Option(
            help="val: store the threshold that fits the validation boxes best.", metavar="SPLIT"
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in --out, by its own recipe.")
    ] = False,
    cache: Annotated[
        Path | None, typer.Option(help="Folder of packed images, which runs may share.")
    ] = None,
    device: common.Device = "auto",
    workers: Annotated[int, typer.Option(help="Processes that read images.", min=0)] = 2,
    force: common.Force = False,
) -> None:
    """Train a classifier with image labels, so that predict can localize with it.

    No boxes are needed. Where DATA has no split val, a part of every class is held out to choose
    the best epoch by. The weights are OUT/model.safetensors; OUT alone does as a --checkpoint too.
    Started by torchrun, every process works on its part of each batch.
    """
    given = {
        "model": model,
        "attention": attention,
        "steps": steps,
        "distance": distance,
        "searchlight": searchlight,
        "weights": weights,
        "size": size,
        "epochs": epochs,
        "batch_size": batch_size,
        "lr": lr,
        "select": select,
        "seed": seed,
        "pick_threshold": None if pick_threshold is None else True,
    }
    settled = _settle(
        recipe, {k: v for k, v in given.items() if v is not None}, changes, out, resume
    )
    if not data.exists():
        raise typer.BadParameter(f"{data}: no such file or folder", param_hint="DATA")
    if root is not None and not root.is_dir():
        raise typer.BadParameter(f"{root}: no such folder", param_hint="--root")
    if pick_threshold not in (None, "val"):
        message = f"expected val, got {pick_threshold!r}"
        raise typer.BadParameter(message, param_hint="--pick-threshold")
    import torch

    from eval.manifest import ManifestError
    from tdam.training.errors import TrainingError
    from tdam.training.ranks import find_ranks, join_ranks
    from tdam.weights import WeightsError
    from wsol.cli.train_progress import TrainProgress
    from wsol.folder_lock import FolderHeldError
    from wsol.runtime import keep_freed_memory
    from wsol.training.train import train_localizer

    keep_freed_memory()
    where = join_ranks(torch.device(common.choose_device(device)))
    ranks = find_ranks(where)
    if ranks.first and not resume:
        _check_free(out, force)
    with TrainProgress(settled.epochs, quiet=not ranks.first) as shown:
        try:
            run = train_localizer(
                data,
                out,
                settled,
                root=root,
                resume=resume,
                force=force,
                device=str(where),
                workers=workers,
                cache=cache,
                on_data=shown.on_data,
                on_packed=shown.on_packed,
                on_batch=shown.on_batch,
                on_epoch=shown.on_epoch,
            )
        except KeyboardInterrupt:
            if (out / "recipe.toml").is_file():
                shown.say(f"interrupted; --resume goes on from what is saved in {out}")
            raise
        except (FolderHeldError, ManifestError, TrainingError, WeightsError) as error:
            common.fail(str(error))
        except OSError as error:
            common.fail(f"{error.filename or out}: {error.strerror or error}")
        except ValueError as error:
            text = str(error)
            asked = "--recipe" if recipe is not None else None
            if weights is not None and "weights" in text:
                asked = "--weights"
            with common.wrong_use("--out" if resume else asked):
                raise
    if ranks.first:
        _report(run)


def _settle(
    name: str | None, given: dict[str, Any], changes: list[str] | None, out: Path, resume: bool
) -> Recipe:
    """Put together the recipe that the flags ask for."""
    from tdam.registry import find_attention, find_spec
    from tdam.training.recipe import load_recipe

    with common.wrong_use(None if name is None else "--recipe"):
        if resume and name is None:
            path = out / "recipe.toml"
            if not path.is_file():
                raise typer.BadParameter(f"{out} holds no run to go on with", param_hint="--resume")
            settled = load_recipe(path)
        else:
            settled = load_recipe(name or "finetune")
    with common.wrong_use("--set"):
        settled = settled.change_by_text(changes or [])
    for key, value in given.items():
        with common.wrong_use("--" + key.replace("_", "-")):
            settled = settled.change(**{key: value})
    with common.wrong_use("--model"):
        find_spec(settled.model)
    with common.wrong_use("--attention"):
        find_attention(settled.attention)
    return settled


def _check_free(out: Path, force: bool) -> None:
    """Exit with 2 where a run would overwrite something, or with `force` what is no run."""
    if not out.is_dir():
        outputs.free_file(out, "--out", force)
    elif any(out.iterdir()) and not force:
        raise typer.BadParameter(
            f"{out} exists; choose another folder, go on with --resume, or add --force",
            param_hint="--out",
        )
    elif any(out.iterdir()) and not (out / "recipe.toml").is_file():
        message = f"{out} holds something that is no run; choose another folder"
        raise typer.BadParameter(message, param_hint="--out")


def _report(run: TrainedRun) -> None:
    best = run.best
    by = {
        "accuracy": f"best validation accuracy, {best['val_accuracy']:.1f} %",
        "localization": f"best validation MaxBoxAccV2, {best.get('val_max_box_acc_v2', 0):.1f} %",
        "last": "the last one",
    }[run.recipe.select]
    typer.echo(f"result: epoch {best['epoch']} of {run.recipe.epochs}, {by}")
    if run.calibration is not None:
        found = run.calibration
        typer.echo(
            f"threshold: {found.threshold:.3f} (95 % interval {found.interval[0]:.3f} to "
            f"{found.interval[1]:.3f}), on {found.images} validation images with boxes"
        )
    for image_id, reason in run.unreadable.items():
        sys.stderr.write(f"{image_id}: {reason}\n")
    if run.unreadable:
        count = common.count_things(len(run.unreadable), "image")
        sys.stderr.write(f"{count} could not be read, left out\n")
    typer.echo(f"weights: {run.weights}")
    typer.echo(f"next: wsol predict IMAGES --checkpoint {run.weights}")
    if run.unreadable:
        raise typer.Exit(1)
