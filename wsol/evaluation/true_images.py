"""Images read beside their truth: one that the truth is not of is no image to score."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eval.stored_sizes import StoredSizes
from wsol.images import ImageError, read_image

if TYPE_CHECKING:
    from pathlib import Path

    from PIL import Image

    from eval.splits import Split


class TrueImages:
    """Reads the images of a split.

    Args:
        split: with boxes, masks or labels alone
        root: folder that its ids are relative to
    """

    def __init__(self, split: Split, root: Path) -> None:
        self.split, self.root = split, root
        paths = [root / image_id for image_id in split.ids]
        located = split.boxes is not None or split.masks is not None
        self._stored = None
        if located and split.sizes is not None:
            self._stored = StoredSizes(paths, [(w, h) for w, h in split.sizes.tolist()])

    def read(self, row: int) -> Image.Image:
        """Read an image as `wsol.images.read_image` does.

        Raises:
            ImageError: it cannot be read, or is neither what its truth is given for nor a resized
                copy, so that boxes and masks would lie elsewhere in it
        """
        size = self.split.size(row)
        image = read_image(self.root / self.split.ids[row], boxed=size)
        if self._stored is not None and size is not None:
            reason = self._stored.explain(image.size, size)
            if reason:
                raise ImageError(reason)
        return image
