"""Localizations as files for the next tool: one module a format, each a small writer."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from wsol.writers.base import Writer

WRITERS: dict[str, str] = {
    # results
    "coco": "wsol.writers.coco:CocoWriter",
    "csv": "wsol.writers.csv_table:CsvWriter",
    "jsonl": "wsol.writers.json_lines:JsonLinesWriter",
    "npy": "wsol.writers.npy:NpyWriter",
    # data sets, for labelling tools and trainers
    "coco-dataset": "wsol.writers.coco_dataset:CocoDatasetWriter",
    "labelstudio": "wsol.writers.label_studio:LabelStudioWriter",
    "voc": "wsol.writers.voc:VocWriter",
    "yolo": "wsol.writers.yolo:YoloWriter",
}


def check_format(name: str) -> str:
    """Return the name of a format.

    Raises:
        ValueError: no format has this name; the message lists those there are
    """
    if name not in WRITERS:
        raise ValueError(f"Expected format to be one of {', '.join(WRITERS)} but got {name!r}")
    return name


def create_writer(
    name: str, folder: Path, names: tuple[str, ...], confidence: bool = False
) -> Writer:
    """Open a writer.

    Args:
        name: of a format
        folder: that the files go to
        names: of all classes
        confidence: append the score to every line of `yolo`, which trainers refuse; the other
            formats have a place for it and always write it

    Raises:
        ValueError: no format has this name; the message lists those there are
    """
    module, _, attribute = WRITERS[check_format(name)].partition(":")
    options = {"confidence": confidence} if name == "yolo" else {}
    writer: Writer = getattr(import_module(module), attribute)(folder, names, **options)
    return writer
