"""Which images a page shows: all, or the same sample for every run."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

GALLERY = 500  # images that a page shows at most


def choose_images(ids: Sequence[str]) -> list[str]:
    """Choose the images that a page shows: all, or a sample where they are too many.

    Whether an image is in the sample hangs on its id alone, so that runs show the same images.

    Args:
        ids: of all images

    Returns:
        the ids chosen, in the order in which they came
    """
    if len(ids) <= GALLERY:
        return list(ids)

    def draw(image_id: str) -> bytes:
        return hashlib.sha256(image_id.encode("utf-8", "surrogateescape")).digest()

    chosen = set(sorted(ids, key=draw)[:GALLERY])
    return [image_id for image_id in ids if image_id in chosen]
