"""A threshold from images without a box: the one whose boxes agree with boxes that hold still.

How much of a frame an object fills decides which threshold is right, and a map, stretched to its
own range, does not tell it. So the frame is made to follow the object: a first box is cut from the
map of the whole image at Li's threshold; the network is shown a frame half as wide again as that
box, the box is cut anew from the map of the frame, and so on. In such a frame every object fills
about the same share, at which Li's threshold is a good one. The boxes of the last round stand in
for true ones, and the threshold is chosen by them as a calibration chooses it by corrected boxes.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from eval.geometry import square_to_image
from eval.protocols import find_protocol
from eval.splits import Split, spread_rows, take_rows
from tdam.events import SILENT, Events, working
from wsol.boxes import threshold_boxes
from wsol.evaluation.calibration import Calibration, choose_threshold
from wsol.evaluation.map_source import read_batches
from wsol.evaluation.threshold_rules import ENOUGH, NO_BOXES
from wsol.frames import surround
from wsol.images import ImageError
from wsol.levels import LEVELS, quantise
from wsol.sharing import share
from wsol.sources import list_photographs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wsol.evaluation.map_source import FoundMap, MapSource
    from wsol.evaluation.network_maps import NetworkMaps

ROUNDS = 3  # frames that follow one another
_MOST = 300  # images; more change the threshold by less than it is sure
_METHOD = "gradcampp"  # of the maps that frames follow, whatever the method is
_WIDE, _ALIKE = 0.1, 0.6  # of the interval, and of the agreement, beyond which it is unsure
_LEAST = 0.02  # side of a box, as a share of the image's, that a frame can follow
_SMOOTH = find_protocol("clean")


def list_unlabelled(folder: str | Path, events: Events = SILENT) -> tuple[Split, Path]:
    """Take the photographs of a folder, at any depth, as a split of which nothing is known.

    Returns:
        the split, whose ids are relative to the folder, and the folder

    Raises:
        ValueError: there is none
    """
    home = Path(folder)
    paths = list_photographs(home, None, events)
    ids = tuple(path.relative_to(home).as_posix() for path in paths)
    return Split(home.name, ids, np.zeros(len(ids), np.int64)), home


def choose_unlabelled(
    source: NetworkMaps, events: Events = SILENT, task: str = "look without boxes"
) -> Calibration:
    """Pick the threshold at which a network's boxes agree with steady ones most.

    No true box is used, nor known to the images that are looked at.

    Args:
        source: of the maps that the threshold is for; of a large split, some 300 images spread
            over its classes are taken
        events: told of every image and round, and in a line what was chosen and how sure it is
        task: what that is called

    Returns:
        as of `choose_threshold`; overlaps are with steady boxes

    Raises:
        ValueError: fewer images than say something, or no map that shows something
    """
    looked = spread_rows(source.split, _MOST)
    with working(events, task, (ROUNDS + 2) * len(looked)):
        steady, unreadable = find_steady_boxes(replace(source, split=looked), events)
        if len(steady) < ENOUGH:
            raise ValueError(
                f"Expected at least {ENOUGH} images to choose a threshold on but got {len(steady)}"
            )
        chosen = choose_threshold(of_outputs(replace(source, split=steady)), events)
    events.say(explain_choice(chosen))
    return replace(chosen, unreadable=(*unreadable, *chosen.unreadable))


def explain_choice(chosen: Calibration) -> str:
    """Say which threshold images without boxes ask for, and whether it is unsure."""
    low, high = chosen.interval
    said = (
        f"threshold {chosen.threshold:.3f} ({low:.3f} to {high:.3f}) by {chosen.images} images, "
        f"{NO_BOXES}; its boxes agree with steady ones to {100 * chosen.overlap:.0f} %"
    )
    if high - low > _WIDE:
        said += "; unsure: other images of the same kind could ask for quite another one"
    if chosen.overlap < _ALIKE:
        said += "; unsure: the network's boxes do not hold still on these images"
    return said


def find_steady_boxes(
    source: NetworkMaps, events: Events = SILENT
) -> tuple[Split, tuple[str, ...]]:
    """Let frames follow what a network sees in images.

    Args:
        source: of any maps of a network; the frames follow those of Grad-CAM++, of the class that
            `source` asks for in the whole image
        events: told of every image in every round

    Returns:
        the images that could be read, each with one box and, as its label, the network's output
        that was looked for; and what could not be read, with the reason

    Raises:
        ValueError: no image can be read, or no map shows anything
    """
    follower = replace(
        source, split=_without_boxes(source.split), method=_METHOD, image="squash", fc_layer=None,
        guesses=0,
    )  # fmt: skip
    first, unreadable = _look(follower, events)
    kept = [shown for shown in first if shown is not None]
    if not kept:
        why = f"; the first: {unreadable[0]}" if unreadable else ""
        raise ValueError(
            f"Expected images of split {source.split.name} that can be read but there are none{why}"
        )
    split = take_rows(follower.split, [shown.row for shown in kept], source.split.name)
    labels = np.array([shown.label for shown in kept])
    sizes = np.array([shown.size for shown in kept])
    split = replace(split, labels=labels)  # the network's outputs, which stay the same from here
    follower = of_outputs(replace(follower, split=split))
    boxes = _cut(kept, np.tile([0.0, 0.0, 1.0, 1.0], (len(kept), 1)))
    for _ in range(ROUNDS):
        seen, _ = _look(replace(follower, frames=surround(boxes)), events)
        boxes = _cut(seen, boxes)
    pixels = boxes * np.tile(sizes, 2) - [0, 0, 1, 1]
    found = replace(follower.split, sizes=sizes, boxes=tuple(box[None] for box in pixels))
    return found, tuple(unreadable)


def of_outputs(source: NetworkMaps) -> NetworkMaps:
    """Take the labels of a source's images for the network's outputs."""
    outputs = {label: label for label in source.split.labels.tolist()}
    return replace(source, classes=outputs, class_map="ground_truth")


def _without_boxes(split: Split) -> Split:
    none = np.zeros((0, 4), np.int64)
    return replace(split, boxes=(none,) * len(split), masks=None, repeated_boxes=0)


def _look(source: MapSource, events: Events) -> tuple[list[FoundMap | None], list[str]]:
    """Make the maps of all images of a split; None where one cannot be had, and why."""
    found: list[FoundMap | None] = [None] * len(source.split)
    faults = []
    with closing(share(partial(read_batches, source))) as batches:
        for batch in batches:
            for shown in batch:
                events.advance()
                if shown.heat is None:
                    faults.append(shown.fault)
                else:
                    found[shown.row] = shown
    return found, faults


def _cut(seen: Sequence[FoundMap | None], before: np.ndarray) -> np.ndarray:
    """Cut the box of every map at the mean of Li's thresholds, in shares of its image.

    Where there is no map, or a box that is too small to follow, that of the round before stays.
    """
    from skimage.filters import threshold_li

    heats = [None if shown is None else _draw(shown) for shown in seen]
    levels = [threshold_li(quantise(heat)) for heat in heats if heat is not None and heat.any()]
    if not levels:
        raise ValueError("Expected maps that show something but all of them are blank")
    level = float(np.mean(levels)) / LEVELS
    boxes = before.copy()
    for row, (shown, heat) in enumerate(zip(seen, heats, strict=True)):
        if shown is None or heat is None or not heat.any():
            continue
        found = threshold_boxes(heat, level)
        if len(found):
            box = square_to_image(found[:1], _SMOOTH.size, np.array(shown.region))[0].clip(0, 1)
            if (box[2:] - box[:2] >= _LEAST).all():
                boxes[row] = box
    return boxes


def _draw(shown: FoundMap) -> np.ndarray | None:
    try:
        return None if shown.heat is None else shown.heat(_SMOOTH)
    except ImageError:
        return None
