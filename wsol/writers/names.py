"""File names for what belongs to an image, unique also where folders hold images of one name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from unicodedata import normalize

if TYPE_CHECKING:
    from pathlib import Path

_BREAKS = re.compile("[\n\v\f\r\x1c-\x1e\x85\u2028\u2029]")


def unique_stem(path: Path | None, taken: set[str]) -> str:
    """Choose a name that no other image has.

    Args:
        path: of the image
        taken: names chosen before, as a disk compares them; the new one is added

    Returns:
        the image's stem, with `-2`, `-3` and so on behind it where that is taken, be it in other
        letter case or another form of Unicode, which not every disk tells apart; what ends a line
        becomes `_`, since lists have a name a line

    >>> from pathlib import Path
    >>> taken = set()
    >>> unique_stem(Path("a/bird.jpg"), taken), unique_stem(Path("b/bird.jpg"), taken)
    ('bird', 'bird-2')
    >>> unique_stem(Path("c/Bird.jpg"), taken)
    'Bird-3'
    """
    stem = name = "image" if path is None else _BREAKS.sub("_", path.stem)
    number = 1
    while (key := normalize("NFC", name).casefold()) in taken:
        number += 1
        name = f"{stem}-{number}"
    taken.add(key)
    return name
