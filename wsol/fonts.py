"""Names in pictures, whatever they hold: letters of all fonts there are, and nothing unshowable."""

from __future__ import annotations

import unicodedata
import warnings
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# Where installed, letters come from these that the usual font does not have.
_FONTS = (
    "Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans JP", "Source Han Sans", "WenQuanYi Zen Hei",
    "Droid Sans Fallback", "Hiragino Sans", "PingFang SC", "Yu Gothic", "Microsoft YaHei",
    "Malgun Gothic", "Noto Sans", "Arial Unicode MS",
)  # fmt: skip


@contextmanager
def letters() -> Iterator[None]:
    """Take letters from all fonts there are, and be silent about those that none has."""
    from matplotlib import rc_context

    with rc_context({"font.family": ["DejaVu Sans", *_other_fonts()]}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")
        yield


@cache
def _other_fonts() -> tuple[str, ...]:
    from matplotlib import font_manager

    installed = set(font_manager.get_font_names())
    return tuple(name for name in _FONTS if name in installed)


def displayable(text: str) -> str:
    """Replace what cannot be shown: controls of any kind, and bytes of names that are no text."""
    kept = (
        "\ufffd" if unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Cn", "Co") else letter
        for letter in text
    )
    return "".join(kept)
