"""`wsol predict`: images in, boxes out, on the terminal and in the formats of the next tools."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from wsol import prediction
from wsol.cli import common, networks
from wsol.cli import predict_options as options
from wsol.cli.console import ConsoleEvents, silence
from wsol.cli.interrupts import tell_nothing_saved, telling_what_is_kept, terminable
from wsol.cli.repeated import repeat_command
from wsol.cli.usage import usage
from wsol.draft_page import DraftPage
from wsol.text import count_things, escape

if TYPE_CHECKING:
    from tdam.backbones.base import Backbone
    from wsol.images import ImageError
    from wsol.results import Localization


def predict(
    context: typer.Context,
    sources: common.Sources,
    out: options.Out = None,
    formats: options.Formats = None,
    confidence: options.Confidence = False,
    rle: options.Rle = False,
    zero_based: common.ZeroBased = False,
    val: options.Val = 0.0,
    image_prefix: options.ImagePrefix = None,
    upright_copies: options.UprightCopies = False,
    save_maps: options.SaveMaps = False,
    save_images: options.SaveImages = False,
    page: options.Page = None,
    model: common.AnyModel = None,
    weights: common.Weights = "auto",
    checkpoint: common.Checkpoint = None,
    attention: common.Attention = None,
    steps: common.Steps = None,
    distance: common.Distance = None,
    searchlight: common.Searchlight = None,
    output_stride: common.OutputStride = None,
    method: common.Method = "auto",
    smooth: common.Smooth = "none",
    layer: common.Layer = None,
    threshold: options.Threshold = None,
    topk: options.TopK = 1,
    multi: options.Multi = False,
    class_name: common.ClassName = None,
    class_from_folder: options.ClassFromFolder = False,
    min_score: options.MinScore = 0.0,
    sort: options.Sort = options.Order.given,
    device: common.Device = "auto",
    batch_size: common.BatchSize = 16,
    workers: common.Workers = 2,
    precision: common.Precision = "float32",
    channels_last: common.ChannelsLast = None,
    seed: common.Seed = 0,
    engine: options.ByEngine = None,
    resume: options.Resume = False,
    max_pixels: common.MaxPixels = None,
    force: common.Force = False,
) -> None:
    """Predict boxes for images.

    Prints one line an image and class: file, class, probability, boxes as x0 y0 x1 y1 in pixels
    of the original image, tab-separated, that of the highest peak first. An image that cannot be
    read is named on stderr and has the line file, error, reason; the rest is done, and the exit
    code is 1. With --engine nothing is printed: the parts have it all.
    """
    kinds = [*(formats or []), *(["npy"] if save_maps else [])]
    if out is not None and not (kinds or save_images or engine):
        message = "needs --format, --save-maps or --save-images, which say what to write there"
        raise typer.BadParameter(message, param_hint="--out")
    asked = networks.attention_flags(attention, steps, distance, searchlight)
    networks.check_model(model, method, checkpoint, weights, **asked)
    common.check_classes(class_name, class_from_folder)
    level = options.read_threshold(threshold)

    def load() -> Backbone:
        return networks.load_model(
            model, weights, seed, checkpoint, output_stride=output_stride, **asked
        )

    drafts = None if page is None else _ask_page(page, context)
    writes = bool(kinds or save_images or engine)
    shown = _Printer(Path(out or prediction.DEFAULT_FOLDER) if writes else page)
    home = "--out" if page is None or writes else "--page"
    interruptible = telling_what_is_kept(shown.tell_kept)
    with terminable(), interruptible, ConsoleEvents() as events, usage(out=home):
        summary = prediction.predict(
            load,
            sources,
            out,
            formats=kinds,
            save_images=save_images,
            page=drafts,
            confidence=confidence,
            rle=rle,
            zero_based=zero_based,
            val=val,
            image_prefix=image_prefix,
            upright_copies=upright_copies,
            method=method,
            smooth=smooth,
            layer=layer,
            threshold=level,
            topk=topk,
            multi=multi,
            class_name=class_name,
            class_from_folder=class_from_folder,
            min_score=min_score,
            sort=sort.value,
            device=device,
            batch_size=batch_size,
            workers=workers,
            precision=precision,
            channels_last=channels_last,
            resume=resume,
            force=force,
            on_result=None if engine else shown,
            every_step=False,
            engine=None if engine is None else "ray",
            events=events,
        )
    if summary.folder is not None:
        count = count_things(summary.images - summary.failed, "image")
        sys.stderr.write(f"{count} localized, files in {summary.folder}\n")
    if summary.failed:
        sys.stderr.write(f"{summary.failed} of {summary.images} images could not be read\n")
    if summary.failed or shown.failed:
        raise typer.Exit(1)


def _ask_page(folder: Path, context: typer.Context) -> DraftPage:
    """Ask for a page that shows the command, without what it has for itself."""
    words = repeat_command(context, ("threshold", "min_score", "resume", "force"))
    # The page, and the drafts of this run, are in the way of those at another threshold.
    return DraftPage(folder, [*words, "--force"])


class _Printer:
    """Prints results, until standard output fails; where files are written, those are worth more.

    Args:
        folder: of the files; None where there are none
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.failed = False

    def __call__(self, path: Path, result: Localization | ImageError) -> None:
        if self.failed:
            return
        try:
            _print_result(path, result)
        except OSError as error:
            if self.folder is None:
                raise
            self.failed = True
            silence(sys.stdout)
            reason = f"Error: standard output: {error.strerror}"
            sys.stderr.write(f"{reason}; the files in {self.folder} are written all the same\n")

    def tell_kept(self) -> str:
        """Say what an interruption leaves."""
        if self.folder is None:
            return "only what was printed is kept: with --format or --page, --resume goes on"
        from wsol.kept_run import is_begun, is_ended

        if is_begun(self.folder):
            return f"--resume goes on from what is saved in {self.folder}"
        if is_ended(self.folder):
            return f"the prediction in {self.folder} has ended"
        return tell_nothing_saved(self.folder)


def _print_result(path: Path, result: Localization | ImageError) -> None:
    from wsol.images import ImageError

    if isinstance(result, ImageError):
        sys.stderr.write(f"{escape(str(result))}\n")
        common.print_row(path, "error", str(result).removeprefix(f"{path}: "))
        return
    for each in result.classes:
        boxes = ["{:.1f} {:.1f} {:.1f} {:.1f}".format(*box) for box in each.boxes.tolist()]
        common.print_row(each.path, each.name, f"{each.score:.4f}", *(boxes or ["no box"]))
