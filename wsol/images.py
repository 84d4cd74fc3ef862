"""Photographs in: any common format becomes upright 8-bit RGB, and sources become file lists."""

from __future__ import annotations

import os
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import ExifTags, Image
from PIL.PpmImagePlugin import PpmImageFile

from eval.headers import QUARTER_TURNS
from eval.image_decoding import decode, split_bands, taking_turns
from eval.image_errors import ImageError as ImageError
from eval.image_files import image_errors, open_image, read_orientation
from eval.image_names import (
    SUFFIXES,
    expand_pattern,
    is_broken_link,
    is_image_name,
    is_other_picture,
    walk_folders,
)
from eval.written_files import WrittenFiles
from wsol.data_ranges import tell_stretched
from wsol.deep_images import (
    declared_range,
    is_deep,
    read_deep,
    reads_deep,
    reduce_colours,
    reduce_image,
    reduce_pnm,
)
from wsol.text import count_things

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from eval.image_files import OpenImage

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # by EXIF's orientation; 1 is upright
_BACK = {5: 5, 6: 8, 7: 7, 8: 6}  # what undoes a quarter turn
_DEEP = ("F", "I", "I;16", "I;16B", "I;16L", "I;16N")
_KINDS = "JPEG, PNG, WebP, BMP, TIFF, GIF and PPM"

# What is said of an image for which a network has no numbers, and so neither class nor box.
NOT_FINITE = "the network's scores or maps are not finite numbers"


class SourceError(ValueError):
    """A source that names no images; the message names the source."""


def read_image(
    path: str | Path, at_least: int | None = None, boxed: tuple[int, int] | None = None
) -> Image.Image:
    """Read a photograph as people see it.

    JPEG, PNG, WebP, BMP, TIFF, GIF (first frame) and PPM, by their content. The EXIF orientation
    is applied; transparent pixels are laid on white; grey, palette, CMYK and 16-bit images become
    8-bit RGB, as `wsol.deep_images` tells.

    Args:
        path: of the file
        at_least: a JPEG may come at half, a quarter or an eighth of its size, which is decoded
            faster, as long as its shorter side keeps this many pixels
        boxed: width and height that the image's true boxes refer to; None where there are none.
            Official boxes are often those of the stored pixels: a quarter turn is not applied
            where it would make a wide image tall, or a tall one wide, against this size

    Returns:
        an RGB image; at full size, its width and height are the ones that boxes refer to

    Raises:
        ImageError: missing, empty, truncated, not an image, or over the limits of
            `eval.image_files.set_max_pixels`, which are checked before decoding
    """
    path = Path(path)
    with image_errors(), open_image(path) as opened, taking_turns(opened.size):
        image, from_data = _decode(opened, at_least)
        tag = opened.orientation() if not opened.late else read_orientation(image)
        rgb = _to_rgb(image)
        if rgb is not image:
            image.close()  # a large one's memory
        if from_data:
            tell_stretched(path)
        if boxed is not None and tag in QUARTER_TURNS and _lie_alike(opened.size, boxed):
            tag = 1
        return _plain(rgb.transpose(_TURNS[tag]) if tag in _TURNS else rgb)


def to_rgb(image: Image.Image, boxed: tuple[int, int] | None = None) -> Image.Image:
    """Turn an image of any mode into 8-bit RGB.

    Args:
        image: any mode that PIL knows
        boxed: as in `read_image`

    Returns:
        RGB, upright; transparent pixels on white; more than 8 bits as `wsol.deep_images` tells
    """
    image = _turn_upright(image, boxed)
    if image.mode in _DEEP:
        image, _ = reduce_image(image)
    return _to_rgb(image)


def _decode(opened: OpenImage, at_least: int | None) -> tuple[Image.Image, bool]:
    """Decode to 8 bits a channel, and tell whether the data's range became black to white."""
    tags = opened.tags
    if tags is not None and is_deep(tags) and reads_deep(tags):
        return read_deep(opened)
    if opened.deep and isinstance(opened.image, PpmImageFile):
        return reduce_pnm(opened)
    image = decode(opened, at_least)
    if image.mode in _DEEP:
        declared, inverted = None, False
        if tags is not None:
            declared, inverted = declared_range(tags), tags.number(262) == 0
        elif isinstance(opened.image, PpmImageFile) and image.mode != "F":
            declared = (0, 65535)
        return reduce_image(image, declared, inverted)
    if image.mode in ("RGB", "RGBA") and (opened.deep or (tags is not None and is_deep(tags))):
        return reduce_colours(image, opened, None if tags is None else declared_range(tags))
    return image, False


def _to_rgb(image: Image.Image) -> Image.Image:
    """Turn 8 bits a channel into RGB, in bands, which take little memory."""
    clear = image.mode in ("LA", "PA", "RGBA", "RGBa", "La") or "transparency" in image.info
    if image.mode == "RGB" and not clear:
        return image
    rgb = None
    for top, band in split_bands(image):
        if clear:
            layer = band.convert("LA" if band.mode == "La" else band.mode).convert("RGBA")
            if layer.getchannel("A").getextrema() != (255, 255):
                layer = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
            part = layer.convert("RGB")
        else:
            part = band.convert("RGB")
        if band is image:
            return part
        if rgb is None:
            rgb = Image.new("RGB", image.size)
        rgb.paste(part, (0, top))
    return image if rgb is None else rgb


def _plain(image: Image.Image) -> Image.Image:
    """Forget EXIF, which has been applied, and all else that a file says beside its pixels."""
    plain = image._new(image.im)
    plain.info = {}
    return plain


def _turn_upright(image: Image.Image, boxed: tuple[int, int] | None) -> Image.Image:
    """Turn as EXIF says, and forget EXIF: other tags of it may be broken, and are not written."""
    tag, stored = image.getexif().get(ExifTags.Base.Orientation), _stored_size(image)
    image.load()
    if not isinstance(tag, int) or tag not in _TURNS:
        return image
    done = ExifTags.Base.Orientation not in image.getexif()  # PIL turns a TIFF as it loads it
    if boxed is not None and tag in QUARTER_TURNS and _lie_alike(stored, boxed):
        return image.transpose(_TURNS[_BACK[tag]]) if done else image
    if done:
        return image
    turned = image.transpose(_TURNS[tag])
    turned.info = {k: v for k, v in image.info.items() if k == "transparency"}
    return turned


def _stored_size(image: Image.Image) -> tuple[int, int]:
    """Width and height of the pixels as they are stored; of a TIFF, PIL tells those as seen."""
    tags = getattr(image, "tag_v2", {})
    width, height = (tags.get(tag) for tag in (256, 257))
    return image.size if width is None or height is None else (width, height)


def _lie_alike(size: tuple[int, int], other: tuple[int, int]) -> bool:
    """Tell whether both are wide or both are tall; a square is neither."""
    return (size[0] - size[1]) * (other[0] - other[1]) > 0


def find_images(
    sources: Iterable[str | Path],
    skip: Callable[[Path], object] | None = None,
    tell_written: Callable[[Path], object] | None = None,
) -> list[Path]:
    """Turn sources into a list of image files, in order, each once.

    Two paths are one image where their files' folders are the same one and their names too; the
    first spelling counts. A link of another name is an image of its own.

    Args:
        sources: each a file, a folder (searched to any depth for image suffixes), a glob pattern,
            a list file (`.txt`, one path a line, relative to the list's folder), or `-` for a
            list on standard input. What folders and patterns pass over, such as hidden files, is
            in `eval.image_names`
        skip: is told of pictures in a folder, or that a pattern matches, whose format is not
            read, such as HEIC, and of folders that cannot be read
        tell_written: is told of folders below a source, or that a pattern matches, in which wsol
            wrote files, which are passed over as `eval.written_files` has it

    Returns:
        paths; those from lists are not checked, as long as any is there, and links may lead to
        nothing, so that one missing file does not stop a run

    Raises:
        SourceError: a source that is missing, or that holds or matches no image; a list of which
            no line is a file
    """
    images: dict[tuple[str, str], Path] = {}
    find_home = cache(_find_home)
    for source in map(str, sources):
        paths = _expand(source, skip or _ignore, WrittenFiles(tell_written))
        if not paths:
            raise SourceError(f"{source}: no images here ({' '.join(sorted(SUFFIXES))})")
        for path in paths:
            images.setdefault((find_home(path.parent), path.name), path)
    return list(images.values())


def _find_home(folder: Path) -> str:
    """Tell where a folder is, whatever its spelling."""
    try:
        return os.path.realpath(folder)
    except (OSError, ValueError):  # a name that no folder has
        return str(folder)


def describe_passed_over(paths: Sequence[Path]) -> str:
    """Say that pictures were passed over because their format, or their folder, cannot be read.

    Args:
        paths: of these pictures and folders, at least one
    """
    pictures = [path for path in paths if is_other_picture(path.name)]
    folders = [path for path in paths if not is_other_picture(path.name)]
    parts = []
    if pictures:
        kinds = ", ".join(sorted({path.suffix.lower() for path in pictures}))
        count = count_things(len(pictures), "file")
        parts.append(
            f"passed over, since {kinds} is not read: {count}, such as {pictures[0]}; {_KINDS} are"
        )
    if folders:
        count = count_things(len(folders), "folder")
        parts.append(f"passed over, since they cannot be read: {count}, such as {folders[0]}")
    return "; ".join(parts)


def _ignore(path: Path) -> None:
    """Pass over a file."""


def _expand(source: str, skip: Callable[[Path], object], written: WrittenFiles) -> list[Path]:
    path = Path(source)
    if source == "-":
        return _place(source, [line.removeprefix("\ufeff").strip() for line in sys.stdin], Path())

    def pass_over(error: OSError) -> None:
        skip(Path(str(error.filename)))

    try:
        if path.is_dir():
            walk = walk_folders(path, pass_over, written)
            return _choose((folder / name for folder, names in walk for name in names), skip)
        if path.exists():
            if path.suffix.lower() != ".txt":
                return [path]
            return _place(source, read_list_file(path), path.parent)
        if is_broken_link(path) and is_image_name(path.name.lstrip(".")):
            return [path]
    except OSError as error:
        raise SourceError(f"{source}: cannot be read ({error.strerror})") from error
    if any(letter in source for letter in "*?["):
        return _choose(expand_pattern(source, pass_over, written), skip, named=source)
    raise SourceError(f"{source}: no such file or folder")


def _choose(paths: Iterable[Path], skip: Callable[[Path], object], named: str = "") -> list[Path]:
    """Keep the images, sorted; a pattern may name hidden ones."""
    images, hidden = [], Path(named).name.startswith(".")
    for path in sorted(set(paths)):
        name = path.name.lstrip(".") if hidden else path.name
        if is_image_name(name):
            images.append(path)
        elif is_other_picture(name):
            skip(path)
    return images


_LONGEST_PATH = 4096  # characters, which no system exceeds
_SHOWN = 200  # characters of a line that a message shows


def read_list_file(path: Path) -> list[str]:
    """Read the lines of a list of images, stripped; some may be empty.

    Args:
        path: of a text in UTF-8

    Raises:
        SourceError: no such text
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise SourceError(f"{path}: expected a list of paths in UTF-8") from error
    if any("\0" in line or len(line) > _LONGEST_PATH for line in lines):
        raise SourceError(f"{path}: expected a list of paths, one a line")
    return [line.strip() for line in lines]


def _place(source: str, lines: Iterable[str], folder: Path) -> list[Path]:
    """Find the files of a list, of which some may be missing, but not all: then it is none.

    Args:
        source: the list, for messages
        lines: of it, stripped; some may be empty
        folder: that they are relative to

    Raises:
        SourceError: no line is a file; the first is shown as it is written, since a path of
            `s3://` or of an address with `//` would lose a sign
    """
    named = [line for line in lines if line]
    paths = [folder / line for line in named]
    if named and not any(map(os.path.lexists, paths)):
        first = named[0] if len(named[0]) <= _SHOWN else f"{named[0][:_SHOWN]}..."
        raise SourceError(
            f"{source}: expected a list of images, a path a line from {folder}, but none of "
            f"{count_things(len(named), 'line')} is a file, such as {first}"
        )
    return paths
