"""What a network wants as input, and which part of the photograph that input shows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from numbers import Integral
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    import torch

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
MIN_SIDE, MAX_SIDE = 16, 2048  # of an input that is trained on, or that a file may ask for; pixels


@dataclass(frozen=True)
class Preprocessing:
    """From an RGB photograph to a network's input, and the geometry back.

    `squash` resizes the whole photograph to a square and does not keep its aspect; `crop` resizes
    the shorter side to `resize` and takes the centre. Localization wants `squash`, the default:
    an object at the border stays in view.

    Args:
        size: side of the square input, in pixels
        mean: what is subtracted from each channel, on the scale 0 to 1, RGB
        std: what each channel is then divided by, on the same scale
        mode: `squash` or `crop`
        resize: length of the shorter side before a centre crop, in pixels; None for the usual
            256 to 224, whatever the size; `squash` ignores it
        interpolation: `bilinear` or `bicubic`, between the photograph's pixels
    """

    size: int = 224
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    mode: Literal["squash", "crop"] = "squash"
    resize: int | None = None
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"

    def __post_init__(self) -> None:
        if self.mode not in ("squash", "crop"):
            raise ValueError(f"Expected mode to be 'squash' or 'crop' but got {self.mode!r}")
        if self.interpolation not in ("bilinear", "bicubic"):
            raise ValueError(
                "Expected interpolation to be 'bilinear' or 'bicubic' but got "
                f"{self.interpolation!r}"
            )
        if not isinstance(self.size, Integral):
            raise ValueError(
                f"Expected size to be a whole number, of a square input, but got {self.size!r}"
            )
        if self.size < 1:
            raise ValueError(f"Expected size to be at least 1 but got {self.size}")
        if self.mode == "crop" and self.resize is not None and self.resize < self.size:
            raise ValueError(
                f"Expected resize to be at least size ({self.size}) but got {self.resize}"
            )

    def __call__(self, image: Image.Image) -> torch.Tensor:
        """Turn a photograph into the network's input.

        Args:
            image: RGB

        Returns:
            (3, size, size), float32, normalised
        """
        import torch

        between = Image.Resampling[self.interpolation.upper()]
        resized = image.resize((self.size, self.size), between, box=self.region(*image.size))
        pixels = np.asarray(resized)
        values = np.empty((3, *pixels.shape[:2]), np.float32)
        for channel, of_byte in enumerate(_normalise_bytes(tuple(self.mean), tuple(self.std))):
            of_byte.take(pixels[..., channel], out=values[channel], mode="clip")
        return torch.from_numpy(values)

    @property
    def share(self) -> float:
        """Share of the shorter side that a crop shows."""
        return 224 / 256 if self.resize is None else self.size / self.resize

    def region(self, width: int, height: int) -> tuple[float, float, float, float]:
        """Say which part of the photograph the input shows.

        Args:
            width: of the photograph, in pixels
            height: of the photograph, in pixels

        Returns:
            x0, y0, x1, y1: outer edges in the photograph's pixels
        """
        if self.mode == "squash":
            return 0.0, 0.0, float(width), float(height)
        side = min(width, height) * self.share
        x0, y0 = (width - side) / 2, (height - side) / 2
        return x0, y0, x0 + side, y0 + side


@cache
def _normalise_bytes(mean: tuple[float, ...], std: tuple[float, ...]) -> np.ndarray:
    """Normalise every value that a byte can have, (3, 256), which is faster to look up."""
    values = np.arange(256, dtype=np.float32)[:, None] / 255
    values = (values - np.array(mean, np.float32)) / np.array(std, np.float32)
    return np.ascontiguousarray(values.T)
