"""Boxes of upright photographs beside the sizes that the photographs are stored in.

A phone stores its photographs unturned and says in EXIF how to turn them. Label Studio shows them
upright, and boxes are drawn so, but the sizes in its COCO file are the stored ones. Those of
other programs may be either: what lies in the one frame only tells.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from eval.box_edges import sticks_out
from eval.splits import ManifestError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from eval.box_edges import Size
    from eval.splits import Split


def find_upright(
    files: Sequence[str],
    sizes: Sequence[Size],
    boxes: Sequence[Sequence[Sequence[float]]],
    root: Path | None,
    always: bool,
) -> set[int]:
    """Find the images whose boxes are of the upright photograph, their size of the stored one.

    Args:
        files: ids of the images
        sizes: width and height of each, as a file tells them
        boxes: of each image, x0 y0 x1 y1, outer edges
        root: of the images; None where it is not known
        always: the program that wrote the file draws on upright photographs; else one box that
            only lies in the upright one says so for all
    """
    swapped = {
        row
        for row, (size, each) in enumerate(zip(sizes, boxes, strict=True))
        if any(sticks_out(box, size) for box in each)
        and not any(sticks_out(box, size[::-1]) for box in each)
    }
    if not always:
        known = () if root is None else (_is_turned(root / files[i], sizes[i]) for i in swapped)
        if not any(known):
            return set()
    found = set()
    for row, (file, size) in enumerate(zip(files, sizes, strict=True)):
        turned = None if root is None else _is_turned(root / file, size)
        if turned or (turned is None and row in swapped):
            found.add(row)
    return found


def list_doubtful(split: Split, root: Path) -> list[str]:
    """List the images whose boxes may be of the stored or of the upright photograph.

    Args:
        split: with sizes and boxes
        root: of the images

    Returns:
        ids of images that EXIF asks to turn by a quarter, and whose size is the stored one; none
        where one of their boxes does not lie in the upright photograph
    """
    doubtful = []
    for row, image_id in enumerate(split.ids):
        size, boxes = split.size(row), split.boxes[row] if split.boxes is not None else ()
        if size is None or not len(boxes) or not _is_turned(root / image_id, size):
            continue
        if any(sticks_out((x0, y0, x1 + 1, y1 + 1), size[::-1]) for x0, y0, x1, y1 in boxes):
            return []
        doubtful.append(image_id)
    return doubtful


def _is_turned(path: Path, size: Size) -> bool | None:
    """Tell whether a size is the stored one of an image that stands otherwise; None: not known."""
    from eval.headers import read_header  # and what decodes images, which few files ask for

    with suppress(ManifestError):
        header = read_header(path)
        return header.turned and size == (header.width, header.height) and size != header.upright
    return None
