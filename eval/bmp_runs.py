"""BMP files of runs, which PIL decodes pixel by pixel in Python."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PIL import Image

from eval.image_errors import ImageError

if TYPE_CHECKING:
    from typing import BinaryIO

_LINE_END, _END, _MOVE = 0, 1, 2


def decode_runs(image: Image.Image, file: BinaryIO) -> Image.Image:
    """Decode runs of 8 or 4 bits, a run at a time.

    Args:
        image: as PIL opened it
        file: that it comes from

    Returns:
        a palette image or a grey one

    Raises:
        ImageError: runs that end before the pixels do
    """
    tile: Any = image.tile[0]  # type: ignore[attr-defined]
    _, four_bits, direction = tile.args
    width, height = image.size
    file.seek(tile.offset)
    data = file.read()
    pixels = bytearray(width * height)
    read = done = column = 0
    while done < len(pixels) and read + 1 < len(data):
        count, value = data[read], data[read + 1]
        read += 2
        if count:
            count = min(count, max(width - column, 0), len(pixels) - done)
            run = bytes((value >> 4, value & 15)) * (count + 1 >> 1) if four_bits else None
            pixels[done : done + count] = run[:count] if run else bytes((value,)) * count
            done += count
            column += count
        elif value == _LINE_END:
            done += -done % width
            column = 0
        elif value == _END:
            break
        elif value == _MOVE:
            right, up = data[read : read + 2].ljust(2, b"\0")
            read += 2
            done += right + up * width
            column = done % width
        else:
            size = value + 1 >> 1 if four_bits else value
            part = data[read : read + size]
            if four_bits:
                part = bytes(half for each in part for half in (each >> 4, each & 15))[:value]
            part = part[: len(pixels) - done]
            pixels[done : done + len(part)] = part
            done += len(part)
            column += value
            read += size + size % 2
    if done < len(pixels):
        raise ImageError("truncated: its data does not fill the size in its header")
    rows = Image.frombytes("L", image.size, bytes(pixels))
    if direction == -1:
        rows = rows.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    if image.mode == "P" and image.palette is not None:
        rows.putpalette(image.palette.palette, image.palette.rawmode or "RGB")
    return rows
