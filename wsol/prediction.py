"""Boxes for many photographs: sources in, each result told as it comes, files out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Unpack

from tdam.events import SILENT
from wsol.classes import name_outputs
from wsol.data_ranges import tells_stretched
from wsol.draft_page import DraftPage
from wsol.errors import ArgumentError, about
from wsol.format_choices import FormatOptions, check_formats, need_steps
from wsol.networks import get_network, settle_input
from wsol.own_threshold import AUTO
from wsol.prediction_run import PredictionRun
from wsol.sources import find_root, list_photographs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from torch import nn

    from tdam.events import Events
    from tdam.preprocessing import Preprocessing
    from wsol.folder_classes import KnownClasses
    from wsol.images import ImageError
    from wsol.localizer import Localizer
    from wsol.maps.core import MapExtractor
    from wsol.results import Localization
    from wsol.writers import Writer

DEFAULT_FOLDER = "wsol-predictions"
ORDERS = ("given", "uncertain")


@dataclass(frozen=True)
class PredictionSummary:
    """What became of the images of a prediction.

    Args:
        images: how many there were
        failed: how many of them could not be read
        folder: that the files are in; None where none were asked for
    """

    images: int
    failed: int
    folder: Path | None


@tells_stretched
def predict(
    model: nn.Module | str | Path | Callable[[], nn.Module],
    sources: str | Path | Iterable[str | Path],
    out: str | Path | None = None,
    *,
    formats: str | type[Writer] | Iterable[str | type[Writer]] = (),
    save_images: bool = False,
    page: str | Path | DraftPage | None = None,
    method: str | type[MapExtractor] = "auto",
    layer: str | None = None,
    fc_layer: str | nn.Module | None = None,
    threshold: float | Literal["auto"] | None = None,
    topk: int = 1,
    multi: bool = False,
    class_name: str | None = None,
    class_from_folder: bool = False,
    min_score: float = 0.0,
    sort: Literal["given", "uncertain"] = "given",
    names: Sequence[str] | None = None,
    preprocessing: Preprocessing | None = None,
    device: str = "auto",
    batch_size: int = 16,
    workers: int = 2,
    precision: str = "float32",
    channels_last: bool | None = None,
    smooth: str = "none",
    resume: bool = False,
    force: bool = False,
    on_result: Callable[[Path, Localization | ImageError], object] | None = None,
    every_step: bool = True,
    engine: Literal["ray"] | None = None,
    events: Events = SILENT,
    **options: Unpack[FormatOptions],
) -> PredictionSummary:
    """Localize the objects on photographs, and write files for the next tool.

    Where files are asked for, results are on the disk as soon as they are found, and memory does
    not grow. A run that was cut off, at whatever moment, goes on with `resume`, to the files of
    one that was not; after an interruption they hold what there was by then.

    Args:
        model: any network, or as for `wsol.networks.get_network`; a function is called last
        sources: as `wsol.images.find_images` takes them; one or several
        out: folder for the files; None for `wsol-predictions`
        formats: names in `wsol.writers.WRITERS`, or classes like these; one or several
        save_images: also draw boxes and map of every image, into `pictures`
        page: folder for a page of all images with a slider for their boxes' threshold
        method: as `Localizer` takes it
        layer: module of the network to make the maps of; None for a registered network's own
        fc_layer: the classifier's linear layer, which `cam` needs; as `layer`
        threshold: as `Localizer` takes it, or `auto` for what the images ask for without a box
        topk: classes to localize on each image
        multi: a box for every region, not only for the largest
        class_name: the class of all images, where it is known
        class_from_folder: an image's folder names its class; where the network knows none of this
            name, its maps are of the class that the network sees in the folder, by a vote
        min_score: probability below which a class has no box, in [0, 1]
        sort: `uncertain`: unreadable images first, then the least certain
        names: of the classes; None for those of a registered network
        preprocessing: what the network is given; None for a registered network's own
        device: `auto`, `cpu`, `cuda`, or any name that torch knows
        batch_size: how many images go through the network at once
        workers: threads that read images ahead
        precision: as `Localizer` takes it, like the next two
        channels_last: memory layout
        smooth: over views of an image
        resume: go on with the run of these images and settings in `out`; begin where there is none
        force: write into a folder that has files already; those of earlier runs go first
        on_result: called with each image's path and what was found, before too, or the error
        every_step: let `on_result` see all steps of what is found now; False is faster
        engine: `ray` for the workers of a cluster, as `wsol/engines/README.md` tells
        events: is told how far it is, and what people should know
        options: of formats, as `wsol.format_choices.FormatOptions` names them

    Returns:
        the counts

    Raises:
        ArgumentError: an argument that cannot be followed, which it names
        wsol.images.SourceError: a source that names no images
        wsol.errors.OutputError: a folder that takes no files, or whose run is of something else
        FolderHeldError: another process writes into the folder
        wsol.errors.EngineError: the engine is not installed, or failed
        OSError: the disk is full or gone; `resume` goes on once it is there again
        TypeError: a class that is no map method or no writer

    >>> from tempfile import TemporaryDirectory
    >>> from PIL import Image
    >>> from tdam import create_model
    >>> with TemporaryDirectory() as folder:
    ...     Image.new("RGB", (64, 48)).save(f"{folder}/grey.png")
    ...     predict(create_model("resnet18"), folder)
    PredictionSummary(images=1, failed=0, folder=None)
    """
    others = {"save_images": save_images, "page": page, "sort": sort, "on_result": on_result}
    kinds, extras = check_formats(formats, options, engine, others)
    sources = [sources] if isinstance(sources, (str, Path)) else list(sources)
    extras |= {"image_root": find_root(sources)} if "image_prefix" in extras else {}
    folder, page = _choose_folders(out, bool(kinds) or save_images, page, resume, force)
    _check_choices(method, smooth, sort, device if engine is None else "cpu", precision)
    paths, states = _list_images(sources, folder, events, engine)
    network = get_network(model)
    preprocessing = settle_input(network, preprocessing, layer)
    given: dict[str, Any] = {"preprocessing": preprocessing, "fc_layer": fc_layer}
    method = _check_maps(network, method, layer, smooth, events, **given)
    every = name_outputs(network, names)
    settings = {
        "method": method, "threshold": threshold, "contours": "outer" if multi else "largest",
        "topk": topk, "target_layer": layer, "names": every, "batch_size": batch_size,
        "workers": workers, "precision": precision, "channels_last": channels_last,
        "min_score": min_score, "smooth": smooth, **given,
        "every_step": (every_step and on_result is not None) or need_steps(kinds, engine),
    }  # fmt: skip
    known = _find_classes(every, paths, sources, class_name, class_from_folder, topk)
    localizer, settings = _make_localizer(network, device, settings, known, paths, states, events)
    failed = PredictionRun(
        localizer, settings, paths, states, known, folder, kinds, extras, save_images, sort,
        {"layer": layer, "fc_layer": fc_layer}, device, on_result, page, events,
    ).do(resume, force)  # fmt: skip
    return PredictionSummary(len(paths), failed, folder)


def _check_choices(
    method: str | type[MapExtractor], smooth: str, sort: str, device: str, precision: str
) -> None:
    """Refuse names that mean nothing, or nothing on this machine, before a network is read.

    Workers of an engine have devices of their own: there, `device` is the one of this process.
    """
    from wsol.maps.names import check_method
    from wsol.maps.smoothing import check_smooth
    from wsol.runtime import settle_device

    if sort not in ORDERS:
        raise ArgumentError("sort", f"Expected sort to be one of {ORDERS} but got {sort!r}")
    with about("method"):
        if method != "auto":
            check_method(method)
    with about("smooth"):
        check_smooth(smooth)
    settle_device(device, precision)


def _choose_folders(
    out: str | Path | None,
    writes: bool,
    page: str | Path | DraftPage | None,
    resume: bool,
    force: bool,
) -> tuple[Path | None, DraftPage | None]:
    """See to it that a run goes on or begins anew, and has a folder if it writes, and a page's."""
    if resume and force:
        raise ArgumentError("resume", "goes on with a run, and cannot be combined with --force")
    if page is not None and not isinstance(page, DraftPage):
        page = DraftPage(Path(page))
    if resume and not writes and page is None and out is None:
        message = "needs formats, save_images or page: without files there is nothing to go on with"
        raise ArgumentError("resume", message)
    if writes:
        return Path(DEFAULT_FOLDER if out is None else out), page
    if out is not None:
        raise ArgumentError("out", "needs formats or save_images, which say what to write there")
    return None if page is None else page.folder, page


def _list_images(
    sources: str | Path | Iterable[str | Path],
    folder: Path | None,
    events: Events,
    engine: str | None,
) -> tuple[list[Path], dict[str, str] | None]:
    """List the images; for an engine, with the state of each by its name."""
    if engine is None:
        return list_photographs(sources, folder, events), None
    from wsol.engines.addresses import list_images

    states = list_images(sources, folder, events)
    return list(map(Path, states)), states


def _check_maps(
    network: nn.Module,
    method: str | type[MapExtractor],
    layer: str | None,
    smooth: str,
    events: Events,
    preprocessing: Preprocessing | None,
    fc_layer: str | nn.Module | None,
) -> str:
    """Settle the method, and see to it that it can make maps of the layer."""
    from wsol.maps.names import explain_method, find_method, head_options, settle_method
    from wsol.maps.passes import check_layer, check_sizes

    with about("method"):
        name = settle_method(method, network)
    if note := explain_method(method, network):
        events.say(note)
    shown: Any = preprocessing or getattr(getattr(network, "spec", None), "preprocessing", None)
    if shown is not None:  # else the localizer asks for it
        options = head_options(name, fc_layer)
        with about("layer"):
            check_layer(network, name, layer, size=shown.size, **options)
        if smooth != "none":
            extractor = find_method(name)(network, layer, **options)
            extractor.smooth = smooth
            with about("smooth"):
                check_sizes(extractor, shown.size)
    return name


def _find_classes(
    names: tuple[str, ...],
    paths: list[Path],
    sources: str | Path | Iterable[str | Path],
    class_name: str | None,
    class_from_folder: bool,
    topk: int,
) -> KnownClasses:
    """Name all classes, and tell the known one of every image."""
    from wsol.classes import known_labels
    from wsol.folder_classes import KnownClasses, classify_folders

    if not class_from_folder or class_name is not None:
        with about("class_from_folder" if class_name is None else "class_name"):
            return KnownClasses(names, known_labels(paths, names, class_name, class_from_folder))
    several = [sources] if isinstance(sources, (str, Path)) else sources
    with about("class_from_folder"):
        known = classify_folders(paths, several, names)
    if known.strangers and topk > 1:
        few = ", ".join(repr(known.names[label]) for label in known.strangers[:5])
        message = f"cannot go with folders that the network knows no class of, as {few}"
        raise ArgumentError("topk", f"{message}: its next classes are none of the folders'")
    return known


def _borrow(
    localizer: Localizer,
    options: dict[str, Any],
    known: KnownClasses,
    paths: list[Path],
    states: dict[str, str] | None,
    events: Events,
) -> tuple[Localizer, dict[str, Any]]:
    """Make a localizer of the folders' classes, and its options, by a vote of their images."""
    from wsol.borrowed_classes import make_localizer
    from wsol.engines.addresses import is_address
    from wsol.folder_votes import borrow_classes

    if any(map(is_address, states or ())):
        message = "needs images on this machine where the network knows no class of a folder's name"
        raise ArgumentError("class_from_folder", message)
    borrowed = borrow_classes(localizer, known, paths, options["names"], events)
    own = {**options, "called": known.names, "borrowed": borrowed}
    return make_localizer(localizer.model, {**own, "device": str(localizer.device)}), own


def _settle_threshold(
    localizer: Localizer,
    options: dict[str, Any],
    asked: float | str | None,
    known: KnownClasses,
    paths: list[Path],
    states: dict[str, str] | None,
    events: Events,
) -> None:
    """Find the threshold that the images ask for where that is wanted, and say where it is from."""
    from wsol.evaluation.threshold_rules import ENOUGH, NO_BOXES
    from wsol.localizer import explain_threshold
    from wsol.own_threshold import find_own_threshold

    found = None
    if asked == AUTO:
        if states is not None:
            raise ArgumentError("threshold", "auto cannot go with an engine; find a number first")
        borrowed, labels = options.get("borrowed"), known.labels
        if borrowed is not None and labels is not None:
            labels = [borrowed[label] for label in labels]
        found = find_own_threshold(localizer, paths, labels, options, events)
    if found is not None:
        options["threshold"] = localizer.threshold = found
        localizer.origin = f"found on these images, {NO_BOXES}"
    elif note := explain_threshold(localizer.model, options["threshold"], localizer.threshold):
        stored = getattr(localizer.model, "threshold", None) is not None
        if asked is None and not stored and states is None and len(paths) >= ENOUGH:
            note += f"; --threshold {AUTO} (threshold={AUTO!r}) asks these {len(paths)} for one"
        events.say(note)


def _make_localizer(
    network: nn.Module,
    device: str,
    options: dict[str, Any],
    known: KnownClasses,
    paths: list[Path],
    states: dict[str, str] | None,
    events: Events,
) -> tuple[Localizer, dict[str, Any]]:
    """Make the localizer, with its options, and say what people should know of its boxes."""
    from wsol.localizer import Localizer

    with about("min_score"):
        if not 0 <= options["min_score"] <= 1:
            raise ValueError(f"Expected min_score to be in [0, 1] but got {options['min_score']}")
    asked = options["threshold"]
    options = {**options, "threshold": None if asked == AUTO else asked}
    localizer = Localizer(network, device=device if states is None else "cpu", **options)
    if (precision := options["precision"]) != "float32":
        events.say(f"the network computes in {precision}: scores and boxes can differ from float32")
    if known.strangers:
        localizer, options = _borrow(localizer, options, known, paths, states, events)
    _settle_threshold(localizer, options, asked, known, paths, states, events)
    return localizer, options
