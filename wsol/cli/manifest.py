"""`wsol manifest`: data sets as text files; list those that come along, build and check others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from eval.builders import BUILDERS
from wsol.cli import common
from wsol.cli.completing import offer
from wsol.cli.groups import HelpfulGroup
from wsol.cli.interrupts import telling_what_is_kept
from wsol.cli.usage import fail, usage
from wsol.folder_lock import hold_file
from wsol.text import escape, list_choices

_KEPT = "a data set is written in one step, when all of it is known: the same command begins anew"

app = typer.Typer(
    help="Data sets: list what comes along, build from official downloads, check your own.",
    cls=HelpfulGroup,
    rich_markup_mode=None,
)


def _name_data_sets() -> list[str]:
    from wsol.shipped import list_data_sets

    return [each.name for each in list_data_sets()]


@app.command("list")
def list_() -> None:
    """List the data sets whose manifests come with the project."""
    from wsol.shipped import list_data_sets, manifests_folder

    rows = [
        [each.name, name, str(split.get("images", "")), str(split.get("boxes", "")), each.licence]
        for each in list_data_sets()
        for name, split in each.splits.items()
    ]
    common.print_table("Manifests", ["data set", "split", "images", "boxes", "licence"], rows)
    typer.echo(f"in {manifests_folder()}")


@app.command()
def build(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help=f"{list_choices(BUILDERS)}.", autocompletion=offer(BUILDERS)
        ),
    ],
    source: Annotated[Path, typer.Option(help="Folder of the official download.")],
    out: Annotated[Path, typer.Option(help="Folder to write, which becomes DATA.")],
    val: Annotated[
        float | None,
        typer.Option(
            help="Move this share of train into a split val, to choose thresholds on.",
            metavar="SHARE",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Chooses the images of val.")] = 0,
    max_pixels: common.MaxPixels = None,
    force: common.Force = False,
) -> None:
    """Turn an official download into a folder with one folder a split.

    The splits are the official ones; ILSVRC's validation images become test. Neither CUB nor ILSVRC
    has a val split; --val SHARE makes one out of train, with boxes, for --threshold val. Of Tiny
    ImageNet's validation images the first 5 of every class are val, the others test. The standard
    evaluation's metadata (metadata/CUB, ILSVRC, OpenImages) needs no building: it is DATA as it is.
    """
    from eval.builders import find_builder
    from eval.writing import check_free

    with common.wrong_use("NAME"):
        builder = find_builder(name)
    if not source.is_dir():
        raise typer.BadParameter(f"{source}: no such folder", param_hint="--source")
    if val is not None and not 0 < val < 1:
        raise typer.BadParameter(f"expected between 0 and 1, got {val}", param_hint="--val")
    with telling_what_is_kept(lambda: _KEPT), usage(), hold_file(out):
        with common.wrong_use("--out"):
            check_free(out, force)
        built = builder(source, out, val=val, seed=seed, force=force)
    for split in built.splits:
        typer.echo(split.summary)
    typer.echo(f"in {out}; images: --root {built.root}")


@app.command()
def check(
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA",
            help="Folder with one folder a split, COCO file, folder of COCO, YOLO or VOC files "
            "with its splits, or folder of class folders.",
        ),
    ],
    root: Annotated[Path | None, typer.Option(help="Image root, to check the images too.")] = None,
    against: Annotated[
        str | None,
        typer.Option(
            help="Shipped data set that DATA should equal.",
            metavar="NAME",
            autocompletion=offer(_name_data_sets),
        ),
    ] = None,
    max_pixels: common.MaxPixels = None,
) -> None:
    """Check every line of a data set, and what its manifest.toml promises.

    Images may be stored in another size than the manifest says, since boxes scale with them; they
    are counted. Width and height that are swapped are a fault. Of the standard evaluation's
    metadata ids and labels are checked too, and it says what --root is.
    """
    from eval.manifest import ManifestError
    from wsol.shipped import check_data, find_data_set, tell_absent

    if not data.exists():
        raise typer.BadParameter(tell_absent(data), param_hint="DATA")
    if root is not None and not root.is_dir():
        raise typer.BadParameter(f"{root}: no such folder", param_hint="--root")
    with common.wrong_use("--against"):
        wanted = None if against is None else find_data_set(against)
    try:
        for line in check_data(data, root, wanted):
            typer.echo(escape(line))
    except ManifestError as error:
        fail(str(error))
