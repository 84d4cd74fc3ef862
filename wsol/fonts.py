"""Names in pictures, whatever they hold: characters of all installed fonts, nothing unshowable."""

from __future__ import annotations

import unicodedata
import warnings
from contextlib import contextmanager
from functools import cache
from threading import RLock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# Where installed, these have the characters that the usual font lacks.
_FONTS = (
    "Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans JP", "Source Han Sans", "WenQuanYi Zen Hei",
    "Droid Sans Fallback", "Hiragino Sans", "PingFang SC", "Yu Gothic", "Microsoft YaHei",
    "Malgun Gothic", "Noto Sans", "Arial Unicode MS",
)  # fmt: skip

drawing = RLock()  # of threads that draw, one after the other

_UNSHOWABLE = ("Cc", "Cf", "Cs", "Cn", "Co")  # categories of Unicode


@contextmanager
def all_fonts() -> Iterator[None]:
    """Let text take characters from all installed fonts, and be silent about those none has.

    Both are settings of the whole process, which a thread beside others must not change.
    """
    from matplotlib import rc_context

    with (
        drawing,
        rc_context({"font.family": list_fonts()}),
        warnings.catch_warnings(),
    ):
        warnings.filterwarnings("ignore", "Glyph .* missing")
        yield


@cache
def list_fonts() -> tuple[str, ...]:
    """Name the fonts to take characters from, the usual one first."""
    from matplotlib import font_manager

    installed = set(font_manager.get_font_names())
    return ("DejaVu Sans", *(name for name in _FONTS if name in installed))


@cache
def _known_characters() -> frozenset[int]:
    from matplotlib.font_manager import FontProperties, findfont, get_font

    fonts = [get_font(findfont(FontProperties(family=name))) for name in list_fonts()]
    return frozenset(code for font in fonts for code in font.get_charmap())


def substitute(text: str) -> str:
    """Put an empty box in place of every character that no installed font has.

    It looks as matplotlib draws it, which warns of each.
    """
    known = _known_characters()
    return "".join(each if ord(each) in known else "\u25af" for each in text)


def displayable(text: str) -> str:
    """Replace what cannot be shown: control characters, and bytes of names that are no text."""
    kept = (
        "\ufffd" if unicodedata.category(character) in _UNSHOWABLE else character
        for character in text
    )
    return "".join(kept)


def shorten(text: str, width: int) -> str:
    """Cut a text that is too wide, in its middle; wide characters count twice.

    Args:
        text: any
        width: in characters of a usual width

    Returns:
        text that can be shown, not wider; of a width below 1, an ellipsis

    >>> shorten("a very long name of a class", 11)
    'a ver…class'
    """
    text, width = displayable(text), max(width, 1)
    if _width(text) <= width:
        return text
    half = (width - 1) // 2
    head, tail = text, text
    while _width(head) > width - 1 - half:
        head = head[:-1]
    while _width(tail) > half:
        tail = tail[1:]
    return f"{head}\u2026{tail}"


def _width(text: str) -> int:
    return sum(1 + (unicodedata.east_asian_width(character) in "WF") for character in text)
