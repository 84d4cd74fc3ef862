"""The photograph that a result is of, found again, and results as the pictures of a notebook."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any, Protocol

from PIL.Image import Resampling

from wsol.images import ImageError

if TYPE_CHECKING:
    from pathlib import Path

    from PIL import Image

_WIDEST = 1280  # pixels of a notebook's picture


class Depicted(Protocol):
    """What was found on one photograph."""

    @property
    def width(self) -> int:
        """Of the photograph, in pixels."""

    @property
    def height(self) -> int:
        """Of the photograph, in pixels."""

    @property
    def path(self) -> Path | None:
        """Of its file, or None."""

    @property
    def image(self) -> Any:
        """The photograph itself where it came from memory and was kept, or None."""

    def draw(self) -> Image.Image:
        """Draw what was found."""


def find_photograph(result: Depicted, given: Any = None) -> Image.Image:
    """Find the photograph that a result is of.

    Args:
        result: what was found on it
        given: the photograph, as `Localizer` takes one; None for the one that the result keeps or,
            by its path, for its file, which is read again

    Returns:
        RGB, upright

    Raises:
        ImageError: a file that can be read no more
        ValueError: nothing says where the photograph is, or it has another size
    """
    from wsol.inputs import to_image

    item = next((each for each in (given, result.image, result.path) if each is not None), None)
    if item is None:
        raise ValueError(
            "Expected a photograph, as in draw(image), for a result that keeps none: those of a "
            "stream have it beside them"
        )
    try:
        image = to_image(item)
    except ImageError as error:
        raise ImageError(f"{item}: {error}; draw(image) takes the photograph itself") from error
    size = (result.width, result.height)
    if image.size != size:
        raise ValueError(
            f"Expected the photograph that this was found on, {size[0]} x {size[1]} pixels, but "
            f"got one of {image.width} x {image.height}"
        )
    return image


def to_png(result: Depicted) -> bytes | None:
    """Draw a result for a notebook, which shows its line where there is no picture.

    Args:
        result: what was found on a photograph

    Returns:
        a PNG file, no wider than a notebook shows it; None where the photograph is not at hand
    """
    try:
        picture = result.draw()
    except ValueError:  # an ImageError, too
        return None
    if picture.width > _WIDEST:
        size = (_WIDEST, round(picture.height * _WIDEST / picture.width))
        picture = picture.resize(size, Resampling.LANCZOS)
    file = BytesIO()
    picture.save(file, "png", optimize=True)
    return file.getvalue()
