"""The boxes that a file has of one image, as every reader gives them."""

from __future__ import annotations

from dataclasses import dataclass, field

Edges = tuple[float, float, float, float]


@dataclass(frozen=True)
class FoundClass:
    """What a file calls a class.

    Args:
        number: of it; None where it has a name alone
        name: of it; empty where it has a number alone
    """

    number: int | None = None
    name: str = ""


@dataclass(frozen=True)
class FoundBox:
    """One box, or a class without any.

    Args:
        edges: x0 y0 x1 y1, outer edges, in pixels of `FoundBoxes.size`; None for no box
        score: larger is more certain; None where the file has none
        kind: class; None where the file has none
        around: whether the edges are those of the box around a turned rectangle or an ellipse,
            which may reach out of the image though what people drew does not
    """

    edges: Edges | None
    score: float | None = None
    kind: FoundClass | None = None
    around: bool = False


@dataclass(frozen=True)
class FoundBoxes:
    """The boxes of one image.

    Args:
        where: file, and line where it has several images
        names: what the file calls the image, the fullest path first
        boxes: in the order of the file; none for an image that was looked at and has none
        size: width and height that the boxes are in pixels of, (1, 1) for shares; None: as in the
            data
        swapped: why the size may be one with width and height swapped, for messages; or nothing
    """

    where: str
    names: tuple[str, ...]
    boxes: list[FoundBox] = field(default_factory=list)
    size: tuple[int, int] | None = None
    swapped: str = ""
