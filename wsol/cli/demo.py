"""`wsol demo`: the main job on real photographs, without arguments, network or data set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wsol.cli import common, networks
from wsol.cli.usage import usage
from wsol.folder_lock import hold_folder
from wsol.out_folders import free_folder
from wsol.text import percent, write_beside

OWN_FOLDER = Path("wsol-demo")


def demo(
    out: Annotated[Path, typer.Option(help="Folder for pictures.")] = OWN_FOLDER,
    force: common.Force = False,
) -> None:
    """Localize, draw and score five photographs that installed packages carry."""
    with usage(), hold_folder(out):
        free_folder(out, force or out == OWN_FOLDER)
        model = networks.load_model(None, "auto", 0)

        from eval.metrics.localization import HIT
        from tdam.spec import describe_network
        from wsol.demo import run_demo

        name = f"{describe_network(model.settings)}, {model.spec.method}"
        typer.echo(f"weights {common.DEFAULT_WEIGHTS}: {name}", err=True)
        photos, scores = run_demo(model, out, name)
    rows = [
        [
            photo.picture.stem,
            photo.true_name,
            f"{photo.localization.name} {percent(photo.localization.score)}",
            write_beside(photo.iou, HIT / 100, 3),
            "yes" if photo.iou >= HIT / 100 else "no",
        ]
        for photo in photos
    ]
    title = "Boxes of the predicted class, IoU with the box drawn by hand"
    common.print_table(title, ["photograph", "class", "predicted", "IoU", "IoU >= 0.5"], rows)
    result = scores.to_dict()
    baselines = result["baselines"]
    typer.echo(
        f"protocol {scores.protocol.name}, threshold {result['threshold']['value']}: GT-known Loc "
        f"{result['gt_known_loc']:.0f} %, Top-1 Loc {result['top1_loc']:.0f} %, top-1 "
        f"{result['top1_cls']:.0f} %; centre box {baselines['centre_box']:.0f} %, full image "
        f"{baselines['full_image']:.0f} % ({result['images']} photographs: a demonstration, "
        "not a benchmark)"
    )
    typer.echo(f"\nReport:   {out}/index.html")
    typer.echo(f"Pictures: {out}/*.png")
    typer.echo(f"Next:     wsol predict {out}/photos --format coco --save-images")
    typer.echo(f"          wsol shift {out}/photos")
