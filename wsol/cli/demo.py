"""`wsol demo`: the main job on real photographs, without arguments, network or data set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wsol.cli import common, networks
from wsol.cli.usage import usage
from wsol.folder_lock import hold_folder
from wsol.out_folders import free_folder
from wsol.text import percent

OWN_FOLDER = Path("wsol-demo")


def demo(
    out: Annotated[Path, typer.Option(help="Folder for pictures.")] = OWN_FOLDER,
    force: common.Force = False,
) -> None:
    """Localize and draw five photographs that installed packages carry.

    Prints what the same weights were measured to score on hundreds of other images, too.
    """
    with usage(), hold_folder(out):
        free_folder(out, force or out == OWN_FOLDER)
        model = networks.load_model(None, "auto", 0)

        from tdam.spec import describe_network
        from wsol.demo import FEW, run_demo

        name = f"{describe_network(model.settings)}, {model.spec.method}"
        typer.echo(f"weights {common.DEFAULT_WEIGHTS}: {name}", err=True)
        photos, measured = run_demo(model, out, name)
    rows = [
        [
            photo.picture.stem,
            photo.true_name,
            f"{photo.localization.name} {percent(photo.localization.score)}",
            f"{photo.iou:.3f}",
        ]
        for photo in photos
    ]
    title = "Boxes of the predicted class, and their IoU with the box drawn by hand"
    common.print_table(title, ["photograph", "class", "predicted", "IoU"], rows)
    typer.echo(f"{len(photos)} {FEW}\n")
    percents = [
        [score, *(f"{value} ({ends})" for value, ends in zip(cells[::2], cells[1::2], strict=True))]
        for score, *cells in measured.texts()
    ]
    heads = [f"{name} (95 %)" for name in measured.header[1::2]]
    common.print_table(f"{measured.title}, in percent", ["score", *heads], percents)
    for note in measured.notes:
        typer.echo(note)
    typer.echo(f"\nReport:   {out}/index.html")
    typer.echo(f"Pictures: {out}/*.png")
    typer.echo(f"Next:     wsol predict {out}/photos --format coco --save-images")
    typer.echo(f"          wsol shift {out}/photos")
