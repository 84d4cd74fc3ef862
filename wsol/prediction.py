"""Boxes for many photographs: sources in, each result told as it comes, files out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tdam.events import SILENT, working
from wsol.blank_maps import BlankMaps
from wsol.data_ranges import tells_stretched
from wsol.errors import ArgumentError, about
from wsol.networks import get_network
from wsol.sources import list_photographs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from torch import nn

    from tdam.events import Events
    from tdam.preprocessing import Preprocessing
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
    confidence: bool = False,
    method: str | type[MapExtractor] = "auto",
    layer: str | None = None,
    fc_layer: str | nn.Module | None = None,
    threshold: float | None = None,
    topk: int = 1,
    multi: bool = False,
    class_name: str | None = None,
    class_from_folder: bool = False,
    sort: Literal["given", "uncertain"] = "given",
    names: Sequence[str] | None = None,
    preprocessing: Preprocessing | None = None,
    device: str = "auto",
    batch_size: int = 16,
    workers: int = 2,
    precision: str = "float32",
    channels_last: bool = False,
    resume: bool = False,
    force: bool = False,
    on_result: Callable[[Path, Localization | ImageError], object] | None = None,
    events: Events = SILENT,
) -> PredictionSummary:
    """Localize the objects on photographs, and write files for the next tool.

    Where files are asked for, results are on the disk as soon as they are found, and memory does
    not grow. A run that was cut off, at whatever moment, goes on with `resume`, to the files of
    one that was not; after an interruption they hold what there was by then.

    Args:
        model: a registered network, or any other with `preprocessing`, `layer` and `names` given;
            or what `wsol.networks.get_network` makes one of; a function is called once everything
            else has been checked
        sources: as `wsol.images.find_images` takes them; one or several
        out: folder for the files; None for `wsol-predictions`
        formats: one or several: names in `wsol.writers.WRITERS`, or classes derived from
            `wsol.writers.Writer`
        save_images: also draw boxes and map of every image, into `pictures`
        confidence: add the score in formats that leave it out
        method: as `Localizer` takes it
        layer: module of the network to make the maps of; None for a registered network's own
        fc_layer: the classifier's linear layer, which `cam` needs; as `layer`
        threshold: as `Localizer` takes it
        topk: classes to localize on each image
        multi: a box for every region, not only for the largest
        class_name: the class of all images, where it is known
        class_from_folder: an image's folder names its class
        sort: `uncertain`: unreadable images first, then the least certain
        names: of the classes; None for those of a registered network
        preprocessing: what the network wants as input; None for that of a registered network
        device: `auto`, `cpu`, `cuda`, or any name that torch knows
        batch_size: how many images go through the network at once
        workers: threads that read images ahead
        precision: as `Localizer` takes it, like the next
        channels_last: memory layout
        resume: go on with the run of these images and settings in `out`; begin where there is none
        force: write into a folder that has files already; those of earlier runs go first
        on_result: called with each image's path and what was found on it, or why it could not be
            read; with `resume`, also with what was found before
        events: is told how far it is, and what people should know

    Returns:
        the counts

    Raises:
        ArgumentError: an argument that cannot be followed, which it names
        wsol.images.SourceError: a source that names no images
        wsol.errors.OutputError: a folder that takes no files, or whose run is of something else
        FolderHeldError: another process writes into the folder
        OSError: the disk is full or gone; `resume` goes on once it is there again
        TypeError: a class that is no map method or no writer

    >>> from tempfile import TemporaryDirectory
    >>> from PIL import Image
    >>> from tdam import create_model
    >>> results = {}
    >>> with TemporaryDirectory() as folder:
    ...     Image.new("RGB", (64, 48)).save(f"{folder}/grey.png")
    ...     predict(create_model("resnet18"), folder, on_result=results.__setitem__)
    PredictionSummary(images=1, failed=0, folder=None)
    >>> [(path.name, result.width) for path, result in results.items()]
    [('grey.png', 64)]
    """
    from wsol.classes import name_outputs
    from wsol.localizer import Localizer
    from wsol.stored_prediction import StoredPrediction

    kinds = _check_formats(formats, confidence)
    folder = _choose_folder(out, bool(kinds) or save_images)
    _check_beginning(folder, resume, force)
    _check_choices(method, sort, device, precision)
    paths = list_photographs(sources, folder, events)
    network = get_network(model)
    options: dict[str, Any] = {"preprocessing": preprocessing, "fc_layer": fc_layer}
    method = _check_maps(network, method, layer, events, **options)
    names = name_outputs(network, names)
    labels = _find_labels(paths, names, class_name, class_from_folder)
    localizer = Localizer(
        network, method, threshold, "outer" if multi else "largest", topk, target_layer=layer,
        names=names, device=device, batch_size=batch_size, workers=workers,
        precision=precision, channels_last=channels_last, **options,
    )  # fmt: skip
    _tell_choices(localizer, threshold, events)
    maps = BlankMaps()
    on_result = maps.watch(on_result)
    if folder is None:
        failed = _tell(localizer, paths, labels, sort, on_result, events)
    else:
        failed = StoredPrediction(
            folder, localizer, paths, labels, names, kinds, confidence, save_images,
            sort == "uncertain", {"layer": layer, "fc_layer": fc_layer}, on_result, events,
        ).run(resume, force)  # fmt: skip
    maps.tell(events)
    return PredictionSummary(len(paths), failed, folder)


def _check_beginning(folder: Path | None, resume: bool, force: bool) -> None:
    """See to it that a run goes on or begins anew, and has a folder to do so."""
    if resume and force:
        raise ArgumentError("resume", "goes on with a run, and cannot be combined with --force")
    if resume and folder is None:
        message = "needs formats or save_images: without files there is nothing to go on with"
        raise ArgumentError("resume", message)


def _check_choices(
    method: str | type[MapExtractor], sort: str, device: str, precision: str
) -> None:
    """Refuse names that mean nothing, or nothing on this machine, before a network is read."""
    from wsol.maps.names import check_method
    from wsol.runtime import settle_device

    if sort not in ORDERS:
        raise ArgumentError("sort", f"Expected sort to be one of {ORDERS} but got {sort!r}")
    with about("method"):
        if method != "auto":
            check_method(method)
    settle_device(device, precision)


def _tell_choices(localizer: Localizer, threshold: float | None, events: Events) -> None:
    """Say what people should know of how boxes are found."""
    from wsol.localizer import explain_threshold

    if note := explain_threshold(localizer.model, threshold, localizer.threshold):
        events.say(note)
    precision = localizer.extractor.precision
    if precision != "float32":
        events.say(f"the network computes in {precision}: scores and boxes can differ from float32")


def _check_formats(
    formats: str | type[Writer] | Iterable[str | type[Writer]], confidence: bool
) -> list[str | type[Writer]]:
    """Drop what comes twice, and see to it that all formats exist and one takes a confidence."""
    from wsol.writers import find_writer, formats_with

    kinds = list(dict.fromkeys([formats] if isinstance(formats, (str, type)) else formats))
    with about("formats"):
        writers = [find_writer(kind) for kind in kinds]
    if confidence and not any("confidence" in writer.options for writer in writers):
        wanted = " or ".join(formats_with("confidence"))
        raise ArgumentError("confidence", f"goes only with format {wanted}")
    return kinds


def _choose_folder(out: str | Path | None, writes: bool) -> Path | None:
    if writes:
        return Path(DEFAULT_FOLDER if out is None else out)
    if out is not None:
        raise ArgumentError("out", "needs formats or save_images, which say what to write there")
    return None


def _check_maps(
    network: nn.Module,
    method: str | type[MapExtractor],
    layer: str | None,
    events: Events,
    preprocessing: Preprocessing | None,
    fc_layer: str | nn.Module | None,
) -> str:
    """Settle the method, and see to it that it can make maps of the layer."""
    from wsol.maps.names import explain_method, head_options, settle_method
    from wsol.maps.passes import check_layer

    with about("method"):
        name = settle_method(method, network)
    if note := explain_method(method, network):
        events.say(note)
    shown: Any = preprocessing or getattr(getattr(network, "spec", None), "preprocessing", None)
    if shown is not None:  # else the localizer asks for it
        options = head_options(name, fc_layer)
        with about("layer"):
            check_layer(network, name, layer, size=shown.size, **options)
    return name


def _find_labels(
    paths: list[Path], names: tuple[str, ...], class_name: str | None, class_from_folder: bool
) -> list[int] | None:
    from wsol.classes import known_labels

    with about("class_from_folder" if class_name is None else "class_name"):
        return known_labels(paths, names, class_name, class_from_folder)


def _tell(
    localizer: Localizer,
    paths: list[Path],
    labels: list[int] | None,
    sort: str,
    on_result: Callable[[Path, Localization | ImageError], object],
    events: Events,
) -> int:
    """Localize and tell, without files; gives how many images could not be read."""
    from wsol.images import ImageError

    failed = 0
    with working(events, "predict", len(paths)):
        for path, result in _in_order(localizer, paths, labels, sort):
            failed += isinstance(result, ImageError)
            on_result(path, result)
            events.advance()
    return failed


def _in_order(
    localizer: Localizer, paths: list[Path], labels: list[int] | None, sort: str
) -> Iterable[tuple[Path, Localization | ImageError]]:
    results = localizer.stream(paths, labels)
    if sort == "given":
        return results
    return sorted(results, key=lambda pair: getattr(pair[1], "score", -1.0))
