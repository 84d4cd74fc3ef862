"""File names for what belongs to an image, unique also where folders hold images of one name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from unicodedata import normalize

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

# control characters, ends of lines, and marks that turn the direction of writing
_UNSEEN = re.compile("[\0-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def plain_name(name: str) -> str:
    r"""Make a name one that is safe to list: what tells a terminal something becomes `_`.

    So do ends of lines, since lists have a name a line, and marks that turn the direction of
    writing, behind which a name reads as another one.

    >>> plain_name("cat\x1b[2J\n.jpg"), plain_name("caf\xe9 \u202egpj")
    ('cat_[2J_.jpg', 'café _gpj')
    """
    return _UNSEEN.sub("_", name)


def unique_stem(path: Path | None, taken: set[str]) -> str:
    """Choose a name that no other image has.

    Args:
        path: of the image
        taken: names chosen before, as a disk compares them; the new one is added

    Returns:
        the image's stem, with `-2`, `-3` and so on behind it where that is taken, be it in other
        letter case or another form of Unicode, which not every disk tells apart; plain, as
        `plain_name` makes it

    >>> from pathlib import Path
    >>> taken = set()
    >>> unique_stem(Path("a/bird.jpg"), taken), unique_stem(Path("b/bird.jpg"), taken)
    ('bird', 'bird-2')
    >>> unique_stem(Path("c/Bird.jpg"), taken)
    'Bird-3'
    """
    stem = name = "image" if path is None else plain_name(path.stem)
    number = 1
    while (key := normalize("NFC", name).casefold()) in taken:
        number += 1
        name = f"{stem}-{number}"
    taken.add(key)
    return name


def list_names(names: Iterable[str]) -> str:
    r"""Write a list with a name a line, plain, and in whole characters.

    >>> list_names(["cat", "a\nb"])
    'cat\na_b\n'
    """
    text = "".join(f"{plain_name(name)}\n" for name in names)
    return text.encode("utf-8", "replace").decode()
