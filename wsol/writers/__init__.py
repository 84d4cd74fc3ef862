"""Localizations as files for the next tool: one module a format, each a small writer."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from wsol.writers.base import Writer

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["WRITERS", "Writer", "check_format", "create_writer", "find_writer", "formats_with"]

WRITERS: dict[str, str] = {
    # results
    "coco": "wsol.writers.coco:CocoWriter",
    "csv": "wsol.writers.csv_table:CsvWriter",
    "jsonl": "wsol.writers.json_lines:JsonLinesWriter",
    "npy": "wsol.writers.npy:NpyWriter",
    # data sets, for labelling tools and trainers
    "coco-dataset": "wsol.writers.coco_dataset:CocoDatasetWriter",
    "huggingface": "wsol.writers.hugging_face:HuggingFaceWriter",
    "labelstudio": "wsol.writers.label_studio:LabelStudioWriter",
    "labelstudio-polygons": "wsol.writers.label_studio:LabelStudioPolygonsWriter",
    "masks": "wsol.writers.masks:MasksWriter",
    "voc": "wsol.writers.voc:VocWriter",
    "yolo": "wsol.writers.yolo:YoloWriter",
    "yolo-seg": "wsol.writers.yolo_segments:YoloSegmentsWriter",
}


def check_format(name: str) -> str:
    """Return the name of a format.

    Raises:
        ValueError: no format has this name; the message lists those there are
    """
    if name not in WRITERS:
        raise ValueError(f"Expected format to be one of {', '.join(WRITERS)} but got {name!r}")
    return name


def find_writer(kind: str | type[Writer]) -> type[Writer]:
    """Look a format up.

    Args:
        kind: its name, or a class derived from `wsol.writers.Writer`, which is returned

    Raises:
        TypeError: a class of something else
        ValueError: no format has this name; the message lists those there are
    """
    if isinstance(kind, type):
        if not issubclass(kind, Writer):
            raise TypeError(
                "Expected format to be a name or a subclass of wsol.writers.Writer but got "
                f"{kind.__qualname__}"
            )
        return kind
    module, _, attribute = WRITERS[check_format(kind)].partition(":")
    writer: type[Writer] = getattr(import_module(module), attribute)
    return writer


def formats_with(option: str) -> list[str]:
    """Name the formats whose writers take an option."""
    return [name for name in WRITERS if option in find_writer(name).options]


def create_writer(
    kind: str | type[Writer], folder: Path, names: tuple[str, ...], **options: Any
) -> Writer:
    """Open a writer.

    Args:
        kind: name of a format, or a class derived from `wsol.writers.Writer`
        folder: that the files go to
        names: of all classes
        options: for whichever formats take them, as `Writer.options` of each says; the others
            pass over them

    Raises:
        TypeError: a class of something else
        ValueError: no format has this name; the message lists those there are
    """
    writer = find_writer(kind)
    taken = {option: value for option, value in options.items() if option in writer.options}
    return writer(folder, names, **taken)
