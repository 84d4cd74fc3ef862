"""Attention shifts of many photographs: sources in, each shift told as it comes, pictures out."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tdam.events import SILENT, working
from tdam.reprs import brief_repr
from tdam.spec import name_network
from wsol.blank_maps import BlankMaps
from wsol.data_ranges import tells_stretched
from wsol.errors import ArgumentError, about
from wsol.folder_lock import holds
from wsol.networks import get_network
from wsol.out_folders import free_folder
from wsol.sources import list_photographs
from wsol.text import count_things

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import numpy as np
    from torch import nn

    from eval.splits import Split
    from tdam.events import Events
    from tdam.preprocessing import Preprocessing
    from wsol.attention_shift.files import ShiftWriter
    from wsol.attention_shift.summary import ShiftSummary
    from wsol.attention_shift.trace import Shift
    from wsol.attention_shift.true_boxes import TrueBoxes
    from wsol.images import ImageError
    from wsol.localizer import Localizer
    from wsol.maps.core import MapExtractor
    from wsol.results import Localization

DEFAULT_FOLDER = "wsol-shift"
_NAMED = 5  # images that could not be read, in a notebook


@dataclass(frozen=True)
class ShiftRun:
    """What became of the images.

    Args:
        page: the gallery of the first 500 images; pictures, animations and numbers of all lie
            beside it
        done: how many images were drawn
        failed: path and reason of each image that could not be read
        one_step: the network has one step, so that there is no shift to see
        without_true_box: how many of the images drawn have no true box; 0 where no boxes were given
        summary: how far maps move, and how many objects the steps find
    """

    page: Path
    done: int
    failed: tuple[tuple[Path, str], ...]
    one_step: bool
    without_true_box: int
    summary: ShiftSummary

    __repr__ = brief_repr

    def _repr_html_(self) -> str:
        lines = [f"{count_things(self.done, 'image')} drawn: {self.page}"]
        lines += [f"{path}: {reason}" for path, reason in self.failed[:_NAMED]]
        if len(self.failed) > _NAMED:
            lines.append(f"and {len(self.failed) - _NAMED} more that could not be read")
        told = "<br>\n".join(map(escape, lines + self.summary.describe()))
        return f"<p>{told}</p>\n"


@holds("out")
@tells_stretched
def shift(
    model: nn.Module | Callable[[], nn.Module] | str | Path,
    sources: str | Path | Iterable[str | Path],
    out: str | Path = DEFAULT_FOLDER,
    *,
    method: str | type[MapExtractor] = "auto",
    threshold: float | None = None,
    class_name: str | None = None,
    class_from_folder: bool = False,
    blocks: str | Sequence[str] | None = None,
    boxes: str | Path | Split | None = None,
    colours: Literal["perceptual", "jet"] = "perceptual",
    names: Sequence[str] | None = None,
    preprocessing: Preprocessing | None = None,
    device: str = "auto",
    batch_size: int = 16,
    workers: int = 2,
    force: bool = False,
    on_image: Callable[[Path, Shift | ImageError], object] | None = None,
    events: Events = SILENT,
) -> ShiftRun:
    """Draw how attention shifts over the steps of a network, on photographs.

    Writes a picture (`NAME.png`) and an animation (`NAME.gif`) an image, one page of the first 500
    (`shift.html`), and all numbers (`shift.jsonl`). Memory grows with the images of the page alone.

    Args:
        model: a registered network, or what `wsol.networks.get_network` makes one of; a function is
            called once everything else has been checked
        sources: as `wsol.images.find_images` takes them; one or several
        out: folder for the files
        method: as `Localizer` takes it
        threshold: as `Localizer` takes it
        class_name: the class of all images, where it is known
        class_from_folder: an image's folder names its class
        blocks: top-down blocks whose searchlight maps to show; `all`, or None for the last one
        boxes: true boxes, to tell the IoU: a COCO data set file, or a split with boxes
        colours: of the maps
        names: of the classes; None for the network's own
        preprocessing: what the network wants as input; None for its own
        device: `auto`, `cpu`, `cuda`, or any name that torch knows
        batch_size: how many images go through the network at once
        workers: threads that read images ahead
        force: write into a folder that has files already
        on_image: called with each image's path and its shift, or why it could not be read
        events: is told how far it is, and what people should know

    Returns:
        where the page is, and the counts

    Raises:
        ArgumentError: an argument that cannot be followed, which it names
        wsol.images.SourceError: a source that names no images
        wsol.errors.OutputError: a folder that the files cannot go to
        ManifestError: a file of boxes that breaks a rule
        tdam.weights.WeightsError: a checkpoint that cannot be read

    >>> from tempfile import TemporaryDirectory
    >>> from PIL import Image
    >>> from tdam import create_model
    >>> model = create_model("resnet18", attention="tdam", steps=2)
    >>> with TemporaryDirectory() as folder:
    ...     Image.new("RGB", (64, 48)).save(f"{folder}/grey.png")
    ...     run = shift(model, f"{folder}/grey.png", f"{folder}/shift")
    ...     sorted(path.name for path in run.page.parent.glob("[!.]*"))
    ['grey.gif', 'grey.png', 'shift.html', 'shift.jsonl']
    >>> run.done, run.failed, run.one_step
    (1, (), False)
    """
    from wsol.attention_shift.files import ShiftWriter
    from wsol.classes import known_labels, name_outputs
    from wsol.localizer import Localizer, explain_threshold
    from wsol.maps.names import explain_method, settle_method
    from wsol.runtime import find_device

    _check_colours(colours)
    folder = Path(out)
    paths = list_photographs(sources, folder, events)
    truth = None if boxes is None else _load_boxes(boxes, events)
    with about("device"):
        find_device(device)
    network = get_network(model)
    outputs = name_outputs(network, names)
    with about("class_from_folder" if class_name is None else "class_name"):
        labels = known_labels(paths, outputs, class_name, class_from_folder)
    if note := explain_method(method, network):
        events.say(note)
    with about("method"):
        method = settle_method(method, network)
    localizer = Localizer(
        network,
        method,
        threshold,
        preprocessing=preprocessing,
        names=outputs,
        searchlights=_choose_blocks(network, blocks),
        device=device,
        batch_size=batch_size,
        workers=workers,
    )
    if note := explain_threshold(network, threshold, localizer.threshold):
        events.say(note)
    free_folder(folder, force)
    about_network = f"{name_network(network)}, threshold {localizer.threshold:.3g}"
    with ShiftWriter(folder, about_network, colours) as writer:
        drawing = _Drawing(localizer, truth, writer, on_image, events)
        drawing.draw(paths, labels)
    drawing.maps.tell(events)
    return drawing.summarize()


def _check_colours(colours: str) -> None:
    from wsol.palette import MAP_COLOURS

    if colours not in MAP_COLOURS:
        message = f"Expected colours to be one of {tuple(MAP_COLOURS)} but got {colours!r}"
        raise ArgumentError("colours", message)


def _load_boxes(boxes: str | Path | Split, events: Events) -> TrueBoxes:
    from wsol.attention_shift.true_boxes import TrueBoxes
    from wsol.drawn_boxes import load_drawn_boxes

    if isinstance(boxes, (str, Path)):
        if not Path(boxes).is_file():
            raise ArgumentError("boxes", f"{boxes}: no such file")
        boxes, _ = load_drawn_boxes(boxes, "boxes", events=events)
    with about("boxes"):
        return TrueBoxes(boxes)


def _choose_blocks(network: Any, blocks: str | Sequence[str] | None) -> list[str]:
    """Tell whose searchlights to show."""
    from tdam.steps import searchlight_blocks

    known = searchlight_blocks(network)
    if blocks is None:
        return known[-1:]
    wanted = list(dict.fromkeys([blocks] if isinstance(blocks, str) else blocks))
    if wanted == ["all"] and known:
        return known
    wrong = [name for name in wanted if name not in known]
    if wrong or not wanted:
        there = f"there are {', '.join(known)}" if known else "this network has none"
        what = f"{wrong[0]!r} has no searchlight" if wrong else "names no block"
        raise ArgumentError("blocks", f"{what}; {there}")
    return wanted


class _Drawing:
    """Traces and draws image after image, and counts.

    Args:
        localizer: finds the maps
        truth: where true boxes are known
        writer: open
        on_image: as for `shift`
        events: as for `shift`
    """

    def __init__(
        self,
        localizer: Localizer,
        truth: TrueBoxes | None,
        writer: ShiftWriter,
        on_image: Callable[[Path, Shift | ImageError], object] | None,
        events: Events,
    ) -> None:
        from wsol.attention_shift.summary import ShiftCounter  # which compiles

        self._localizer, self._truth, self._writer = localizer, truth, writer
        self._on_image, self._events = on_image, events
        self.maps = BlankMaps()
        self._failed: list[tuple[Path, str]] = []
        self._counter, self._without_true_box = ShiftCounter(), 0

    def draw(self, paths: list[Path], labels: list[int] | None) -> None:
        """Draw the shifts of all images."""
        from wsol.images import ImageError

        with working(self._events, "shift", len(paths)):
            for path, result in self._localizer.stream(paths, labels):
                outcome = self._draw_image(result)
                if isinstance(outcome, ImageError):
                    self._failed.append((path, str(outcome).removeprefix(f"{path}: ")))
                else:
                    self._counter.add(outcome)
                    self._without_true_box += outcome.true_boxes is None
                if self._on_image is not None:
                    self._on_image(path, outcome)
                self._events.advance()

    def summarize(self) -> ShiftRun:
        """Give the counts."""
        without = 0 if self._truth is None else self._without_true_box
        summary = self._counter.summarize()
        page, failed = self._writer.page, tuple(self._failed)
        return ShiftRun(page, summary.images, failed, summary.steps == 1, without, summary)

    def _draw_image(self, result: Localization | ImageError) -> Shift | ImageError:
        """Trace and draw one image's shift, unless the image cannot be read, or no more."""
        from wsol.attention_shift.trace import trace_shift
        from wsol.images import ImageError

        if isinstance(result, ImageError):
            return result
        self.maps.see(result)
        localizer = self._localizer
        true_boxes = self._find_true_boxes(result)
        traced = trace_shift(result, localizer.threshold, localizer.preprocessing, true_boxes)
        try:
            self._writer.add(traced)
        except ImageError as error:  # it has vanished by now
            return error
        return traced

    def _find_true_boxes(self, localization: Localization) -> np.ndarray | None:
        """Look the true boxes up; those of an image of another size are left out."""
        if self._truth is None:
            return None
        size = (localization.width, localization.height)
        try:
            return self._truth.find(localization.path or "", size)
        except ValueError as error:
            self._events.say(f"{localization.path}: {error}; its true boxes are left out")
            return None
