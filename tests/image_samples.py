"""Small images of every kind that is read, as the bytes of their files."""

import io
import struct
import zlib
from functools import cache

import cv2
import numpy as np
import tifffile
from PIL import Image

GREY = np.clip(np.add.outer(np.arange(48) * 3, np.arange(64) * 2), 0, 255).astype(np.uint8)
GREY[0, :2] = 0, 255  # the whole range
COLOURS = np.stack([GREY, GREY[::-1], 255 - GREY], axis=-1)


def picture(width=64, height=48):
    """Draw a disc on a ramp with some noise, RGB."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width]
    ramp = np.stack([255 * x / width, 255 * y / height, 255 - 255 * x / width], axis=-1)
    ramp[(x - width / 2) ** 2 + (y - height / 2) ** 2 < height**2 / 9] = (220, 60, 30)
    return Image.fromarray(np.clip(ramp + rng.normal(0, 6, ramp.shape), 0, 255).astype(np.uint8))


def saved(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png_chunk(kind, content):
    return (
        struct.pack(">I", len(content)) + kind + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )  # fmt: skip


def tiff(pixels, **options):
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, metadata=None, **options)
    return buffer.getvalue()


def _rotated():
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "a camera"
    return exif


@cache
def list_originals():
    """List whole images of all kinds: suffix and content."""
    image = picture()
    grey, clear = image.convert("L"), image.convert("RGBA")
    clear.putalpha(grey)
    large = picture(640, 480)
    originals = []

    def add(suffix, content):
        originals.append((suffix, content))

    for options in ({}, {"progressive": True}, {"exif": _rotated()}, {"restart_marker_blocks": 2},
                    {"subsampling": 0, "optimize": True}):  # fmt: skip
        add("jpg", saved(image, "jpeg", **options))
    for mode in ("L", "CMYK"):
        add("jpg", saved(image.convert(mode), "jpeg"))
    add("jpg", saved(image.convert("CMYK"), "jpeg", progressive=True))
    add("jpg", saved(large, "jpeg", progressive=True, quality=30))
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
        source = clear if mode in ("LA", "RGBA") else grey if mode == "I;16" else image
        add("png", saved(source.convert("I").convert(mode) if mode == "I;16" else
                          source.convert(mode), "png"))  # fmt: skip
    add("png", saved(image, "png", exif=_rotated(), transparency=(220, 60, 30)))
    add("png", saved(image.convert("P"), "png", transparency=3, bits=8))
    add("png", saved(image, "png", save_all=True, append_images=[image.rotate(90)]))
    add("webp", saved(image, "webp", exif=_rotated()))
    add("webp", saved(clear, "webp", lossless=True))
    add("webp", saved(clear, "webp", save_all=True, append_images=[clear.rotate(90)]))
    for mode in ("1", "L", "P", "RGB"):
        add("bmp", saved(image.convert(mode), "bmp"))
    add("bmp", _run_length_bmp())
    add("gif", saved(image, "gif"))
    add("gif", saved(grey, "gif", interlace=0, comment=b"a comment"))
    add("gif", saved(image.convert("P"), "gif", transparency=3))
    add("gif", saved(image, "gif", save_all=True, append_images=[image.rotate(90)]))
    for mode in ("1", "L", "RGB"):
        add("ppm", saved(image.convert(mode), "ppm"))
    pixels = np.asarray(grey)[:12, :16]
    add("pgm", b"P2\n# text\n16 12\n255\n" + " ".join(map(str, pixels.ravel())).encode())
    add("pgm", b"P5 64 48 4095\n" + (np.asarray(grey).astype(">u2") * 16).tobytes())
    add("pbm", b"P1\n16 12\n" + b"01" * 96)
    for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"):
        for mode in ("L", "RGB"):
            add("tif", saved(image.convert(mode), "tiff", compression=compression))
    for mode, compression in (("1", "group4"), ("1", "group3"), ("CMYK", "tiff_lzw"),
                              ("RGBA", "tiff_lzw"), ("P", "raw"), ("LAB", "raw")):  # fmt: skip
        made = clear if mode == "RGBA" else image
        if mode == "LAB":
            made = Image.merge("LAB", image.split())
        add("tif", saved(made if mode in ("RGBA", "LAB") else made.convert(mode), "tiff",
                          compression=compression))  # fmt: skip
    add("tif", saved(image, "tiff", exif=_rotated(), compression="tiff_lzw"))
    wide = np.asarray(image).astype(np.uint16) * 257
    for options in ({}, {"byteorder": ">"}, {"compression": "zlib", "predictor": 2},
                    {"tile": (16, 16)}, {"bigtiff": True}, {"rowsperstrip": 7}):  # fmt: skip
        add("tif", tiff(wide, photometric="rgb", **options))
        add("tif", tiff(wide[..., 0], photometric="miniswhite", **options))
        planes = np.moveaxis(wide, -1, 0)
        add("tif", tiff(planes, photometric="rgb", planarconfig="separate", **options))
    few = wide // 257  # of 16 bits: OpenCV reads those whose high bytes are dark
    for suffix, pixels in (("png", few), ("png", np.dstack([few, few[..., 0]])), ("tiff", few)):
        add(suffix, cv2.imencode(f".{suffix}", pixels)[1].tobytes())
    add("ppm", b"P6 64 48 65535\n" + few.astype(">u2").tobytes())
    for kind in (np.float32, np.float64, np.float16, np.int16, np.int32, np.uint32, np.int8):
        values = np.asarray(grey)[:24, :32] / 2
        add("tif", tiff(values.astype(kind), photometric="minisblack"))
        add("tif", tiff(values.astype(kind), photometric="minisblack", compression="zlib"))
    add("tif", tiff(np.asarray(image), photometric="rgb", tile=(16, 16)))
    add("tif", tiff(np.stack([np.asarray(grey)] * 3), photometric="minisblack"))  # pages
    return tuple(originals)


def _run_length_bmp():
    rows = b"".join(b"\x20\x01\x20\x02\x00\x00" for _ in range(48)) + b"\x00\x01"
    head = struct.pack("<IiiHHIIiiII", 40, 64, 48, 1, 8, 1, len(rows), 0, 0, 256, 0)
    palette = bytes(range(256)) * 4
    start = 14 + len(head) + len(palette)
    return struct.pack("<2sIHHI", b"BM", start + len(rows), 0, 0, start) + head + palette + rows
