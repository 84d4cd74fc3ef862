"""Boxes that people drew or corrected, out of the files that their tools export."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from eval.coco import load_coco
from eval.manifest import ManifestError
from eval.yolo import load_yolo
from tdam.events import SILENT, Events
from wsol.errors import ArgumentError
from wsol.text import count_things

if TYPE_CHECKING:
    from eval.splits import Split

_SHOWN = 5  # images that are named


def load_drawn_boxes(
    boxes: str | Path, name: str, root: str | Path | None = None, events: Events = SILENT
) -> tuple[Split, Path]:
    """Read boxes that people drew or corrected.

    Images with boxes of several classes are left out, and so are those of a COCO file that have
    neither an annotation nor a label of their own.

    Args:
        boxes: a COCO data set file, or a folder of YOLO label files
        name: of the split
        root: of the images; None: as the boxes have it
        events: told which images are left out

    Returns:
        the boxes, and the folder that their ids are relative to

    Raises:
        ManifestError: a record that breaks a rule
        wsol.errors.ArgumentError: no box at all
    """
    boxes = Path(boxes)
    skipped: list[str] = []
    try:
        if boxes.is_dir():
            home = None if root is None else Path(root)
            split, home = load_yolo(boxes, name, home, skipped.append)
        else:
            split = load_coco(boxes, name, skipped.append)
            home = boxes.parent if root is None else Path(root)
    except ManifestError:
        _tell(skipped, events)
        raise
    _tell(skipped, events)
    if split.boxes is None:
        raise ArgumentError("boxes", f"{boxes} holds no box")
    return split, home


def _tell(skipped: list[str], events: Events) -> None:
    for line in skipped[:_SHOWN]:
        events.say(line)
    if skipped:
        dots = "..., " if len(skipped) > _SHOWN else ""
        events.say(f"{dots}{count_things(len(skipped), 'image')} left out")
