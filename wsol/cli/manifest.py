"""`wsol manifest`: the data sets that come along, and a check of any other."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Data sets as text files: list those that come along, check your own.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command("list")
def list_() -> None:
    """List the data sets whose manifests come with the project."""
    from wsol.cli.common import print_table
    from wsol.shipped import list_data_sets, manifests_folder

    rows = [
        [each.name, name, str(split.get("images", "")), str(split.get("boxes", "")), each.licence]
        for each in list_data_sets()
        for name, split in each.splits.items()
    ]
    print_table("Manifests", ["data set", "split", "images", "boxes", "licence"], rows)
    typer.echo(f"in {manifests_folder()}")


@app.command()
def check(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Folder with one folder a split.")],
    root: Annotated[Path | None, typer.Option(help="Image root, to check the images too.")] = None,
) -> None:
    """Check every line of a data set, and what its manifest.toml promises."""
    from eval.manifest import ManifestError
    from wsol.cli.common import fail
    from wsol.shipped import check_data

    if not data.is_dir():
        raise typer.BadParameter(f"{data}: no such folder", param_hint="DATA")
    if root is not None and not root.is_dir():
        raise typer.BadParameter(f"{root}: no such folder", param_hint="--root")
    try:
        for line in check_data(data, root):
            typer.echo(line)
    except ManifestError as error:
        fail(str(error))
