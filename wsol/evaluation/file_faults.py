"""What is wrong with a file of results of many images: counted by kind, and the first few named."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eval.splits import ManifestError
from wsol.text import count_things, list_few

if TYPE_CHECKING:
    from pathlib import Path

OF_NO_IMAGE = "of no image"
OF_SEVERAL = "of several images"
_OF_NAMES = (OF_NO_IMAGE, OF_SEVERAL)  # which are passed over where they are allowed


class FileFaults:
    """Collects the images of a file that cannot be used.

    Args:
        path: of the file or folder
        count: of the images that it should have
    """

    def __init__(self, path: Path, count: int) -> None:
        self._path, self._count = path, count
        self._kinds: dict[str, dict[str, str]] = {}

    def add(self, kind: str, image_id: str, detail: str = "") -> None:
        """Note that an image is `missing`, `doubled`, `of no image` and so on.

        Args:
            kind: of the fault
            image_id: of the image, or the name that the file has
            detail: what people should know of this one; stands behind its name
        """
        named = f"{image_id} ({detail})" if detail else image_id
        self._kinds.setdefault(kind, {})[image_id] = named

    def has(self, image_id: str) -> bool:
        """Tell whether anything is wrong with an image."""
        return any(image_id in names for names in self._kinds.values())

    def settle(self, allow: bool | None, counted: str) -> tuple[str, ...]:
        """Refuse what is wrong, or give it in lines for people.

        Args:
            allow: whether it is allowed; None where whoever asks cannot allow it
            counted: how such images count then

        Raises:
            ManifestError: there is something, and it is not allowed; in one line
        """
        lines = [
            f"{count_things(len(names), 'name' if kind in _OF_NAMES else 'image')} {kind}: "
            f"{list_few([*names.values()])}"
            for kind, names in self._kinds.items()
        ]
        if lines and not allow:
            images = count_things(self._count, "image")
            said = f"{self._path}: expected results of {images}, one of each, but got "
            said += f"{'; '.join(lines)}. Mend the file"
            if allow is not None:
                said += ", or allow it (--allow-missing, allow_missing=True): such images are "
                said += counted
            raise ManifestError(said)
        return tuple(
            f"{self._path}: {line}; {'passed over' if kind in _OF_NAMES else counted}"
            for kind, line in zip(self._kinds, lines, strict=True)
        )
