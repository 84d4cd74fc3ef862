"""File names for what belongs to an image, unique also where folders hold images of one name."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def unique_stem(path: Path | None, taken: set[str]) -> str:
    """Choose a name that no other image has.

    Args:
        path: of the image
        taken: names chosen before; the new one is added

    Returns:
        the image's stem, with `-2`, `-3` and so on behind it where that is taken

    >>> from pathlib import Path
    >>> taken = set()
    >>> unique_stem(Path("a/bird.jpg"), taken), unique_stem(Path("b/bird.jpg"), taken)
    ('bird', 'bird-2')
    """
    stem = name = "image" if path is None else path.stem
    number = 1
    while name in taken:
        number += 1
        name = f"{stem}-{number}"
    taken.add(name)
    return name
