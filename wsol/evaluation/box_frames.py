"""The pixels that boxes of any program are given in: carried to those of the data, or doubted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from eval.box_edges import has_area, sticks_out
from eval.splits import ManifestError
from eval.stored_sizes import find_squashed, fits
from wsol.text import count_things, list_few

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from eval.box_edges import Size
    from eval.splits import Split
    from wsol.evaluation.file_faults import FileFaults
    from wsol.readers import FoundBoxes

_ENOUGH = 20  # boxes whose frame can be doubted
_LARGER = 1.25  # of all edges, beyond which an image is larger than the boxes' frame
_SHARES = (1, 1)


def scale_boxes(
    path: Path, images: Mapping[str, FoundBoxes], split: Split, faults: FileFaults
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Carry boxes to the pixels of the data, clipped to their images.

    Args:
        path: of the file or folder, for messages
        images: of it, by id
        split: that they are of, with sizes
        faults: told of images whose size contradicts the data's, or their own boxes, and of boxes
            without an area in their image

    Returns:
        boxes by id, (k, 4), outer edges in original pixels, with a row of zeros in the place of
        each class without a box; and what people should know

    Raises:
        ManifestError: edges in the wrong order, or most boxes of another frame
    """
    sizes = {
        image_id: split.size(row) or _SHARES
        for row, image_id in enumerate(split.ids)
        if image_id in images
    }
    told = {image_id: images[image_id].size for image_id in sizes}
    copies = {image_id: size for image_id, size in told.items() if size not in (None, _SHARES)}
    squashed = find_squashed(
        (size for size in copies.values() if size), [sizes[each] for each in copies]
    )
    scaled: dict[str, np.ndarray] = {}
    outside: list[str] = []
    largest, total = 0.0, 0
    for image_id, size in sizes.items():
        image, given = images[image_id], told[image_id] or size
        contradicted = given not in (size, squashed, _SHARES) and not fits(given, size)
        if contradicted:
            _tell_size(image_id, image, given, size, faults)
        edges = [box.edges for box in image.boxes]
        boxes = np.array([each or (0.0,) * 4 for each in edges], np.float64).reshape(-1, 4)
        if (boxes[:, 2:] < boxes[:, :2]).any():
            raise ManifestError(f"{image.where}: expected x0 <= x1 and y0 <= y1")
        if not contradicted:
            _check_boxes(image_id, image, given, size, faults)
        if given != size:
            boxes = boxes * (*size, *size) / (*given, *given)
        if given in (size, _SHARES):  # else what reaches out of it is a fault already
            drawn = [box.edges is not None and not box.around for box in image.boxes]
            outside += [image_id] * sum(sticks_out(each, size) for each in boxes[drawn].tolist())
        total += sum(each is not None for each in edges)
        largest = max(largest, np.inf if given == _SHARES else boxes.max(initial=0.0))
        scaled[image_id] = boxes.clip(0, np.tile(size, 2))
    few = list_few([*dict.fromkeys(outside)])
    if 2 * len(outside) > total:
        raise ManifestError(
            f"{path}: expected boxes in pixels of their images but {len(outside)} of {total} reach "
            f"outside, such as in {few}: are they of images of another size? A table's columns "
            "width and height say of which"
        )
    if total and largest <= 1:
        raise ManifestError(
            f"{path}: expected boxes in pixels but all of {total} lie from 0 to 1, as shares of "
            "width and height do"
        )
    if not outside:
        return scaled, []
    reach = "reaches" if len(outside) == 1 else "reach"
    return scaled, [
        f"{count_things(len(outside), 'box', 'boxes')} {reach} out of the image and count as far "
        f"as inside: {few}"
    ]


def _tell_size(
    image_id: str, image: FoundBoxes, given: Size, size: Size, faults: FileFaults
) -> None:
    """Note a size that contradicts the data's, since a resized copy could not have it."""
    if fits(given[::-1], size):
        kind = f"with width and height swapped{image.swapped}"
    else:
        kind = "with a size that is neither the image's nor that of a resized copy"
    faults.add(
        kind, image_id, f"{given[0]} x {given[1]} pixels, where the image has {size[0]} x {size[1]}"
    )


def _check_boxes(
    image_id: str, image: FoundBoxes, given: Size, size: Size, faults: FileFaults
) -> None:
    """Note boxes that no detector means: of no area, or beyond the size that the file states."""
    for box in image.boxes:
        if box.edges is None:
            continue
        if not has_area(box.edges, given):
            kind = "with a box that has no area in the image"
        elif given not in (size, _SHARES) and not box.around and sticks_out(box.edges, given):
            kind = "with a box outside of the size that the file states"
        else:
            continue
        shown = " ".join(f"{value:g}" for value in box.edges)
        faults.add(kind, image_id, f"{shown} in {given[0]} x {given[1]}")


def doubt_frame(images: Mapping[str, FoundBoxes], split: Split) -> list[str]:
    """Say where boxes seem to be in pixels of smaller copies of the images.

    All of them end in a corner, though most images are larger than that in both directions.

    Args:
        images: of a file, by id
        split: that they are of, with sizes
    """
    sizes, ends = [], []
    for row, image_id in enumerate(split.ids):
        image = images.get(image_id)
        if image is not None and image.size is None:
            found = [box.edges[2:] for box in image.boxes if box.edges is not None]
            sizes += [split.size(row) or _SHARES] * len(found)
            ends += found
    if len(ends) < _ENOUGH:
        return []
    most = np.max(ends, axis=0)
    larger = (np.array(sizes) > _LARGER * most.max()).all(axis=1)
    if 2 * larger.sum() <= len(ends):
        return []
    return [
        f"all of {len(ends)} boxes end within {most[0]:g} x {most[1]:g} pixels though most images "
        "are larger: are they of images of another size? A table's columns width and height say "
        "of which"
    ]
