"""Upright copies of turned photographs, for programs that pass over the EXIF orientation."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from eval.headers import find_orientation
from eval.image_files import image_errors, open_image
from wsol.images import read_image
from wsol.out_files import save_file

if TYPE_CHECKING:
    from pathlib import Path

_JPEG: tuple[str, dict[str, Any]] = (
    ".jpg",
    {"format": "JPEG", "quality": 95, "subsampling": 0},
)
_PNG: tuple[str, dict[str, Any]] = (".png", {"format": "PNG"})


def is_turned(path: Path) -> bool:
    """Tell whether EXIF says that the stored pixels of a photograph are turned or mirrored.

    Raises:
        wsol.images.ImageError: it cannot be read as an image
    """
    with image_errors(), open_image(path) as opened:
        return find_orientation(opened) != 1


def save_upright(source: Path, stem: Path) -> Path:
    """Write a photograph as people see it: a JPEG as JPEG of quality 95, any other as PNG.

    Colours are described as in the original; all else that EXIF says is left out.

    Args:
        source: of the copy
        stem: where it goes, without its suffix

    Returns:
        the copy's path

    Raises:
        wsol.images.ImageError: it cannot be read as an image
        OSError: it cannot be written
    """
    with image_errors(), open_image(source) as opened:
        suffix, options = _JPEG if opened.image.format == "JPEG" else _PNG
        colours = opened.image.info.get("icc_profile")
        if colours and opened.image.mode in ("RGB", "RGBA"):  # what the copy has, too
            options = {**options, "icc_profile": colours}
    target = stem.with_name(stem.name + suffix)
    save_file(target, partial(read_image(source).save, **options))
    return target
