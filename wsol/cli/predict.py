"""`wsol predict`: images in, boxes out, on the terminal and in the formats of the next tools."""

from __future__ import annotations

import sys
from contextlib import ExitStack, closing
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wsol.cli import common, networks, outputs

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wsol.images import ImageError
    from wsol.results import Localization
    from wsol.writers.base import Writer


class Order(StrEnum):
    """In which order the predictions come."""

    given = "given"
    uncertain = "uncertain"


def predict(
    sources: common.Sources,
    out: Annotated[
        Path | None, typer.Option(help="Folder for files; default: wsol-predictions.")
    ] = None,
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            help="coco, coco-dataset, csv, jsonl, labelstudio, npy, voc or yolo; repeatable.",
            metavar="NAME",
        ),
    ] = None,
    confidence: Annotated[
        bool, typer.Option("--confidence", help="Add the confidence column to yolo files.")
    ] = False,
    save_maps: Annotated[bool, typer.Option("--save-maps", help="As --format npy.")] = False,
    save_images: Annotated[
        bool, typer.Option("--save-images", help="A picture of boxes and map for every image.")
    ] = False,
    model: common.AnyModel = None,
    weights: common.Weights = "auto",
    checkpoint: common.Checkpoint = None,
    attention: common.Attention = None,
    steps: common.Steps = None,
    distance: common.Distance = None,
    searchlight: common.Searchlight = None,
    output_stride: common.OutputStride = None,
    method: common.Method = "auto",
    layer: common.Layer = None,
    threshold: common.Threshold = None,
    topk: Annotated[int, typer.Option(help="Classes to localize on each image.", min=1)] = 1,
    multi: Annotated[
        bool, typer.Option("--multi", help="A box for every region, not only the largest.")
    ] = False,
    class_name: common.ClassName = None,
    class_from_folder: common.ClassFromFolder = False,
    sort: Annotated[Order, typer.Option(help="uncertain: least certain first.")] = Order.given,
    device: common.Device = "auto",
    batch_size: common.BatchSize = 16,
    workers: common.Workers = 2,
    seed: common.Seed = 0,
    force: common.Force = False,
) -> None:
    """Predict boxes for images.

    Prints one line an image and class: file, class, probability, boxes as x0 y0 x1 y1 in pixels
    of the original image, tab-separated, that of the highest peak first. An image that cannot be
    read is named on stderr and has the line file, error, reason; the rest is done, and the exit
    code is 1.
    """
    from wsol.writers import check_format

    kinds = list(dict.fromkeys([*(formats or []), *(["npy"] if save_maps else [])]))
    with common.wrong_use("--format"):
        for kind in kinds:
            check_format(kind)
    writes = bool(kinds or save_images)
    if out is not None and not writes:
        message = "needs --format, --save-maps or --save-images, which say what to write there"
        raise typer.BadParameter(message, param_hint="--out")
    out = out or Path("wsol-predictions")
    if confidence and "yolo" not in kinds:
        raise typer.BadParameter("goes only with --format yolo", param_hint="--confidence")
    asked = networks.attention_flags(attention, steps, distance, searchlight)
    networks.check_model(model, method, checkpoint, weights, **asked)
    common.check_classes(class_name, class_from_folder)
    common.check_threshold(threshold)
    paths = common.list_images(sources)
    if writes:
        paths = outputs.keep_apart(paths, out)
    network = networks.load_model(
        model, weights, seed, checkpoint, output_stride=output_stride, **asked
    )

    from wsol.classes import class_names
    from wsol.images import ImageError
    from wsol.localizer import Localizer
    from wsol.writers import create_writer

    device = common.choose_device(device)
    method = networks.choose_method(network, method)
    networks.check_layer(network, method, layer)
    names = class_names(network.settings["num_classes"], network.class_names)
    labels = common.known_classes(paths, names, class_name, class_from_folder)
    localizer = Localizer(
        network,
        method,
        threshold,
        "outer" if multi else "largest",
        topk,
        target_layer=layer,
        names=names,
        device=device,
        batch_size=batch_size,
        workers=workers,
    )
    networks.note_threshold(network, threshold, localizer.threshold)
    writers: list[Writer] = []
    if writes:
        outputs.free_folder(out, force)
        writers = [create_writer(kind, out, names, confidence=confidence) for kind in kinds]
    pictures: set[str] = set()
    failed = 0
    with ExitStack() as stack:  # what is written only at the end, is also after an interruption
        stack.enter_context(localizer)
        for writer in writers:
            stack.enter_context(closing(writer))
        advance = stack.enter_context(common.progress("predict", len(paths)))
        results: Iterable[tuple[Path, Localization | ImageError]]
        results = localizer.stream(paths, labels)
        if sort is Order.uncertain:
            results = sorted(results, key=_certainty)
        for path, found in results:
            if isinstance(found, ImageError):
                failed += 1
                sys.stderr.write(f"{found}\n")
                reason = str(found).removeprefix(f"{path}: ")
                common.print_row(path, "error", reason)
                for writer in writers:
                    writer.add_error(path, reason)
            else:
                for each in found.classes:
                    common.print_row(*_columns(each))
                for writer in writers:
                    writer.add(found)
                if save_images:
                    try:
                        _save_picture(found, localizer.threshold, out / "pictures", pictures)
                    except ImageError as error:  # it has vanished by now
                        failed += 1
                        sys.stderr.write(f"{path}: {error}\n")
            advance(1)
    if writes:
        count = common.count_things(len(paths) - failed, "image")
        sys.stderr.write(f"{count} localized, files in {out}\n")
    if failed:
        sys.stderr.write(f"{failed} of {len(paths)} images could not be read\n")
        raise typer.Exit(1)


def _certainty(pair: tuple[Path, Localization | ImageError]) -> float:
    return getattr(pair[1], "score", -1.0)


def _columns(found: Localization) -> list[str]:
    boxes = ["{:.1f} {:.1f} {:.1f} {:.1f}".format(*box) for box in found.boxes.tolist()]
    return [str(found.path), found.name, f"{found.score:.4f}", *(boxes or ["no box"])]


def _save_picture(found: Localization, threshold: float, folder: Path, taken: set[str]) -> None:
    from wsol.figures import draw_localization, save_figure
    from wsol.images import read_image
    from wsol.writers.names import unique_stem

    folder.mkdir(exist_ok=True)
    image = read_image(found.path or "")
    figure = draw_localization(image, found, threshold)
    save_figure(figure, folder / f"{unique_stem(found.path, taken)}.png")
