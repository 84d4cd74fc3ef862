"""Maps as the mean over views of an image: mirrored, and somewhat smaller and larger."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

SMOOTH = ("none", "flip", "flip+scale")
_SCALES = ((0.9, floor), (1.1, ceil))
_STRIDE = 32  # of most networks: the pixels of maps of such sizes lie edge to edge over the image


@dataclass(frozen=True)
class View:
    """An image as it is shown once more.

    Args:
        mirrored: left and right change places
        size: height and width, in pixels
    """

    mirrored: bool
    size: tuple[int, int]

    def alter(self, images: Tensor) -> Tensor:
        """Turn images, (N, 3, H, W), into this view of them."""
        from torch.nn.functional import interpolate

        if self.size != images.shape[2:]:
            images = interpolate(images, self.size, mode="bilinear", antialias=True)
        return images.flip(3) if self.mirrored else images

    def restore(self, maps: Tensor, shape: tuple[int, int]) -> Tensor:
        """Turn maps of this view, (N, T, h, w), into those of the image, of `shape`, (h, w)."""
        from torch.nn.functional import interpolate

        maps = maps.flip(3) if self.mirrored else maps
        if maps.shape[2:] == shape:
            return maps
        return interpolate(maps, shape, mode="bilinear", antialias=True)


def check_smooth(smooth: str) -> None:
    """Refuse what is no way of smoothing.

    Raises:
        ValueError: it is none of `SMOOTH`
    """
    if smooth not in SMOOTH:
        raise ValueError(f"Expected smooth to be one of {', '.join(SMOOTH)} but got {smooth!r}")


def list_views(smooth: str, height: int, width: int) -> list[View]:
    """List the views whose maps are averaged with those of the unaltered image.

    Args:
        smooth: one of `SMOOTH`; sizes are 0.9 and 1.1 of the image's, down and up to the next
            multiple of 32, and each is shown mirrored too
        height: of the image, in pixels
        width: likewise

    >>> [view.size for view in list_views("flip+scale", 224, 224) if not view.mirrored]
    [(192, 192), (256, 256)]
    """
    check_smooth(smooth)
    own = (height, width)
    sizes = [own]
    if smooth == "flip+scale":
        for scale, whole in _SCALES:
            rows, columns = (max(1, whole(scale * side / _STRIDE)) * _STRIDE for side in own)
            sizes.append((rows, columns))
    mirrored = (False,) if smooth == "none" else (False, True)
    views = [View(turned, size) for size in dict.fromkeys(sizes) for turned in mirrored]
    return [view for view in views if view != View(False, own)]
