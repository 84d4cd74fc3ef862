"""Lists of results that can be read: a line each, in a notebook tables or a sheet of pictures."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any, TypeVar

from wsol.results import Localization

if TYPE_CHECKING:
    from PIL import Image

T = TypeVar("T")
_MOST = 12  # results that are shown
_COLUMNS = 2
_PANEL = 2.6  # inches: width of a picture
_GAP = 10  # pixels between pictures


class ResultList(list[T]):
    """A list whose results stand on a line each, of many the first dozen; its parts do so too."""

    def __repr__(self) -> str:
        lines = [repr(each) for each in list(self)[:_MOST]]
        if len(self) > _MOST:
            lines.append(f"... and {len(self) - _MOST} more")
        text = ",\n ".join(lines)
        return f"[{text}]"

    def __getitem__(self, index: Any) -> Any:
        found = super().__getitem__(index)
        return type(self)(found) if isinstance(index, slice) else found


class Tables(ResultList[T]):
    """Results that a notebook shows as one table below the other."""

    def _repr_html_(self) -> str:
        return "".join(each._repr_html_() for each in self)  # type: ignore[attr-defined]


class Localizations(ResultList[Localization]):
    """What was found on several photographs, which a notebook shows on one sheet.

    >>> from tdam import create_model
    >>> from wsol import Localizer
    >>> from PIL import Image
    >>> grey = Image.new("RGB", (64, 48))
    >>> with Localizer(create_model("resnet18")) as localizer:
    ...     found = localizer([grey, grey, grey])
    >>> len(found), found[:2].draw().width == found.draw().width
    (3, True)
    """

    def draw(self) -> Image.Image:
        """Draw every photograph as `Localization.draw` does, smaller, two beside each other.

        Returns:
            RGB

        Raises:
            ImageError: a file that can be read no more
            ValueError: a photograph that was not kept, or no result at all
        """
        from PIL import Image

        from wsol.figures import draw_picture
        from wsol.pictures import find_photograph

        if not self:
            raise ValueError("Expected results to draw but the list is empty")
        pictures = [draw_picture(find_photograph(each), each, panel=_PANEL) for each in self]
        rows = [pictures[at : at + _COLUMNS] for at in range(0, len(pictures), _COLUMNS)]
        heights = [max(each.height for each in row) for row in rows]
        width = max(each.width for each in pictures)
        columns = min(_COLUMNS, len(pictures))
        size = (columns * (width + _GAP) - _GAP, sum(heights) + _GAP * (len(rows) - 1))
        sheet = Image.new("RGB", size, "white")
        top = 0
        for row, height in zip(rows, heights, strict=True):
            for column, picture in enumerate(row):
                sheet.paste(picture, (column * (width + _GAP), top))
            top += height + _GAP
        return sheet

    def _repr_jpeg_(self) -> bytes | None:
        try:
            sheet = Localizations(self[:_MOST]).draw()
        except ValueError:  # an ImageError, too
            return None
        file = BytesIO()
        sheet.save(file, "jpeg", quality=88)
        return file.getvalue()
