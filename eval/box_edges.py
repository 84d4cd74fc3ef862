"""How far a box may reach out of its image: what rounding explains is clipped, all else a fault."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eval.parsing import show
from eval.splits import ManifestError

if TYPE_CHECKING:
    from collections.abc import Sequence

Size = tuple[int, int]
ROUNDING = 1.0  # pixels
ROUNDED_SHARE = 0.01  # of the side, where a file has shares of it, written with few digits


def sticks_out(box: Sequence[float], size: Size, rounding: float = ROUNDING) -> bool:
    """Tell whether a box reaches out of an image by more than rounding explains.

    Args:
        box: x0 y0 x1 y1, outer edges
        size: width and height, (1, 1) for a box in shares
        rounding: by which it may, in the box's unit
    """
    x0, y0, x1, y1 = box
    return max(-x0, -y0, x1 - size[0], y1 - size[1]) > rounding


def has_area(box: Sequence[float], size: Size) -> bool:
    """Tell whether a box has an area in an image, once it is clipped to it.

    Args:
        box: x0 y0 x1 y1, outer edges
        size: width and height, (1, 1) for a box in shares

    >>> [has_area(box, (9, 9)) for box in ((0, 0, 9, 9), (9, 0, 12, 9), (3, 0, 3, 9))]
    [True, False, False]
    """
    x0, y0, x1, y1 = box
    return max(x0, 0) < min(x1, size[0]) and max(y0, 0) < min(y1, size[1])


def lies_in(box: Sequence[float], size: Size, rounding: float = ROUNDING) -> bool:
    """Tell whether a box is one of an image, up to rounding, and has an area there.

    Args:
        box: as for `sticks_out`, like the others
        size: width and height
        rounding: by which it may stick out
    """
    return has_area(box, size) and not sticks_out(box, size, rounding)


def check_box(box: Sequence[float], size: Size, where: str, around: bool = False) -> None:
    """See to it that a box is one of an image.

    Args:
        box: x0 y0 x1 y1, outer edges in pixels
        size: width and height of the image
        where: file, and line where it has several boxes
        around: whether it is the box around a shape, such as a turned rectangle, that may reach
            out of the image though what people drew does not

    Raises:
        ManifestError: it sticks out by more than rounding explains, or has no area in the image
    """
    if not (has_area(box, size) if around else lies_in(box, size)):
        raise ManifestError(
            f"{where}: expected a box in an image of {size[0]} x {size[1]} but got outer edges "
            f"{show([*map(float, box)])}"
        )
