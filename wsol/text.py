"""Numbers, choices and other people's text as people read them."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING
from unicodedata import category

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

RAW_BYTES = "".join(map(chr, range(0xDC80, 0xDD00)))  # what Python makes of a name's stray bytes
_UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp")  # control, format, lone surrogates, ends of lines
_JOINERS = "\u200c\u200d"  # which several scripts, and emoji, are written with


def escape(text: str, keep: str = "") -> str:
    r"""Write a text such that it stays in its line and tells a terminal nothing.

    Whatever is not seen is written as Python does in a string: control characters, marks that turn
    the direction of writing, ends of lines, halves of characters. So it is done with every name
    and message that came out of a file.

    Args:
        text: of a file, say
        keep: characters to leave as they are

    >>> print(escape("cat\x1b[2J\n.jpg"), escape("caf\udce9 \u202egpj"), escape("caf\xe9"))
    cat\x1b[2J\n.jpg caf\xe9 \u202egpj café
    """
    if text.isprintable():
        return text
    keep += _JOINERS
    return "".join(
        char if char in keep or category(char) not in _UNSEEN else _write_unseen(char)
        for char in text
    )


def _write_unseen(char: str) -> str:
    if char in RAW_BYTES:
        return f"\\x{ord(char) - 0xDC00:02x}"
    return char.encode("unicode_escape").decode()


def quote_words(words: Iterable[str]) -> str:
    r"""Write the words of a command such that a shell reads them again, each unseen character too.

    Args:
        words: as a program is given them

    Returns:
        a line in which every character is seen, for shells that know `$'...'`, as bash and zsh do

    >>> print(quote_words(["ls", "my cats", "caf\xe9 \u202egpj", "it's\n"]))
    ls 'my cats' $'café \xe2\x80\xaegpj' $'it\'s\x0a'
    """
    return " ".join(shlex.quote(w) if w.isprintable() else _quote_unseen(w) for w in words)


def _quote_unseen(word: str) -> str:
    seen = (
        f"\\{char}"
        if char in "\\'"
        else char
        if char.isprintable()
        else "".join(f"\\x{byte:02x}" for byte in os.fsencode(char))
        for char in word
    )
    return f"$'{''.join(seen)}'"


def write_beside(value: float, limit: float, digits: int, sign: str = "") -> str:
    """Write a number that stands beside a verdict at a limit.

    Rounded to the usual digits, 0.498 would be 0.50 beside a mark that says less than 0.5. It gets
    as many more digits as it takes to lie on its own side of the limit, or on it.

    Args:
        value: that was held against the limit
        limit: of the verdict, whether `at least` or `more than`
        digits: behind the point, where they do
        sign: `+` to write one before numbers that are not negative, too

    >>> write_beside(0.498, 0.5, 2), write_beside(0.5, 0.5, 2), write_beside(0.61, 0.5, 2)
    ('0.498', '0.50', '0.61')
    >>> write_beside(0.02, 0, 1, "+"), write_beside(-0.0, 0, 1, "+")
    ('+0.02', '+0.0')
    """
    value = float(value) + 0.0  # no negative zero
    for more in range(digits, 18):
        text = f"{value:{sign}.{more}f}"
        shown = float(text)
        if (shown > limit, shown < limit) == (value > limit, value < limit):
            return text
    return f"{value:{sign}}"


def write_ends(low: float, high: float) -> str:
    """Write the ends of a difference's interval, which shows something where zero is not in it.

    >>> write_ends(0.04, 3.21), write_ends(0.0, 3.21)
    ('+0.04 to +3.2', '+0.0 to +3.2')
    """
    return f"{write_beside(low, 0, 1, '+')} to {write_beside(high, 0, 1, '+')}"


def write_gap(points: float, low: float, high: float) -> str:
    """Write a difference with its interval.

    >>> write_gap(7.04, 3.7, 10.1)
    '+7.0 (+3.7 to +10.1)'
    """
    return f"{points:+.1f} ({write_ends(low, high)})"


def percent(share: float, limit: float = 0.0) -> str:
    """Write a share of one in percent, so that only none is 0 and only all of it is 100.

    Args:
        share: in [0, 1]
        limit: share that it was held against, and whose side it keeps

    >>> percent(0.5), percent(0.004), percent(1e-5), percent(0.99999)
    ('50 %', '0.4 %', '< 0.1 %', '> 99.9 %')
    >>> percent(0.0098), percent(0.0111), percent(0.0094), percent(0.9902)
    ('1 %', '1 %', '0.9 %', '99 %')
    >>> percent(0.3042, 0.304)
    '30.42 %'
    """
    if 0 < share < 0.0005:
        return "< 0.1 %"
    if 0.9995 <= share < 1:
        return "> 99.9 %"
    rounded = round(100 * share, 1)  # 0.0098 is 1 %, as its neighbour 0.0111 is
    digits = 1 if 0 < rounded < 1 or 99 < rounded < 100 else 0
    return f"{write_beside(100 * share, 100 * limit, digits)} %"


def count_things(count: int, thing: str, things: str = "") -> str:
    """Write a number of things.

    >>> count_things(1, "run"), count_things(2, "run"), count_things(2, "class", "classes")
    ('1 run', '2 runs', '2 classes')
    """
    return f"{count} {thing if count == 1 else things or f'{thing}s'}"


def write_time(seconds: float) -> str:
    """Write a time as people say it.

    >>> write_time(100), write_time(5000)
    ('2 min', '1 h 23 min')
    """
    minutes = max(round(seconds / 60), 1)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def list_choices(names: Iterable[str]) -> str:
    """Write what there is to choose from.

    >>> list_choices(["cam", "gradcam", "layercam"]), list_choices(["cam"])
    ('cam, gradcam or layercam', 'cam')
    """
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last


def list_few(items: Sequence[object], most: int = 10) -> str:
    """Write the first of many things, and how many more there are.

    >>> list_few(["a", "b"]), list_few(range(400), 3)
    ('a, b', '0, 1, 2 and 397 more')
    """
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(map(str, items[:most])) + more
