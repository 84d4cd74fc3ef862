"""The options that `wsol predict` alone has."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import typer

from wsol.cli import common
from wsol.cli.completing import offer
from wsol.own_threshold import AUTO
from wsol.prediction import DEFAULT_FOLDER
from wsol.text import list_choices
from wsol.writers import WRITERS


class Order(StrEnum):
    """In which order the predictions come."""

    given = "given"
    uncertain = "uncertain"


class Engine(StrEnum):
    """What spreads a prediction over a cluster."""

    ray = "ray"


Out = Annotated[Path | None, typer.Option(help=f"Folder for files; default: {DEFAULT_FOLDER}.")]
Formats = Annotated[
    list[str] | None,
    typer.Option(
        "--format",
        help=f"{list_choices(sorted(WRITERS))}; repeatable. Boxes, masks and polygons are drafts.",
        metavar="NAME",
        autocompletion=offer(sorted(WRITERS)),
    ),
]
Threshold = Annotated[
    str | None,
    typer.Option(
        help="Share of the map's range above which a pixel counts, or auto for the one that these "
        "images ask for without a box; default: the one stored with the weights for their own "
        "maps, or 0.2.",
        metavar="T",
        autocompletion=offer((AUTO,)),
    ),
]
Confidence = Annotated[
    bool, typer.Option("--confidence", help="Add the confidence column to yolo files.")
]
Rle = Annotated[
    bool, typer.Option("--rle", help="Masks instead of polygons in coco and coco-dataset files.")
]
Val = Annotated[
    float,
    typer.Option(
        help="Share of the images, from 0 to below 1, of all classes alike, for the part val of "
        "yolo, yolo-seg, voc and huggingface folders.",
        metavar="SHARE",
    ),
]
ImagePrefix = Annotated[
    str | None,
    typer.Option(
        help="URL or path that labelstudio tasks have before an image's path below SOURCE, such as "
        "/data/local-files/?d=photos/",
        metavar="PREFIX",
    ),
]
UprightCopies = Annotated[
    bool,
    typer.Option(
        "--upright-copies",
        help="Upright copies of photographs that EXIF turns, for programs that pass over it: in "
        "the folders of images of yolo, voc and huggingface, and in one beside coco files.",
    ),
]
SaveMaps = Annotated[
    bool,
    typer.Option(
        "--save-maps",
        help="As --format npy; wsol evaluate --save-maps writes those that evaluate --maps takes.",
    ),
]
SaveImages = Annotated[
    bool, typer.Option("--save-images", help="A picture of boxes and map for every image.")
]
Page = Annotated[
    Path | None,
    typer.Option(
        help="Folder for a page of all images, with a slider that moves their boxes to those of "
        "any threshold."
    ),
]
TopK = Annotated[int, typer.Option(help="Classes to localize on each image.", min=1)]
Multi = Annotated[
    bool, typer.Option("--multi", help="A box for every region, not only the largest.")
]
ClassFromFolder = Annotated[
    bool,
    typer.Option(
        "--class-from-folder",
        help="An image's folder names its class. Where the network knows no such class, maps are "
        "of the one that it sees in the folder, by a vote of up to 20 images.",
    ),
]
MinScore = Annotated[
    float, typer.Option(help="Probability below which a class has no box.", min=0, max=1)
]
Sort = Annotated[Order, typer.Option(help="uncertain: least certain first.")]
ByEngine = Annotated[
    Engine | None,
    typer.Option(
        help="ray: workers of a cluster write records into parts of --out (jsonl, parquet); "
        "SOURCE may be an address such as s3://. Needs the extra ray.",
    ),
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on with a run that was cut off, or begin it.")
]


def read_threshold(text: str | None) -> float | Literal["auto"] | None:
    """Read a threshold, or exit with 2 where it is neither a share nor `auto`."""
    if text is None or text == AUTO:
        return None if text is None else "auto"
    try:
        share = float(text)
    except ValueError:
        raise typer.BadParameter(
            f"expected auto or a number from 0 to 1, got {text}", param_hint="--threshold"
        ) from None
    common.check_threshold(share)
    return share
