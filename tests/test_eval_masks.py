"""Masks of every kind of file: foreground is what has another colour than black."""

import cv2
import numpy as np
import pytest
from PIL import Image

from eval.masks import read_mask
from eval.splits import MaskPaths

MASK = np.zeros((20, 30), bool)
MASK[5:15, 4:16] = True
WHITE_FIRST = [255, 255, 255, 0, 0, 0]


def palette(colours, mask=MASK, **options):
    image = Image.fromarray(mask.astype(np.uint8))
    image = image.convert("P")
    image.putpalette(colours)
    image.info.update(options)
    return image


def colour(mode, black, other):
    values = np.where(MASK[..., None], np.array(other, np.uint8), np.array(black, np.uint8))
    return Image.frombytes(mode, MASK.shape[::-1], values.tobytes())


def quantized():
    return Image.fromarray(MASK.astype(np.uint8) * 255).convert("RGB").quantize(2)


KINDS = {
    "white first": ("png", quantized),
    "white first, by hand": ("png", lambda: palette(WHITE_FIRST, ~MASK)),
    "white first, BMP": ("bmp", lambda: palette(WHITE_FIRST, ~MASK)),
    "white first, GIF": ("gif", lambda: palette(WHITE_FIRST, ~MASK)),
    "white first, TIFF": ("tif", lambda: palette(WHITE_FIRST, ~MASK)),
    "black is clear": ("png", lambda: palette(WHITE_FIRST, ~MASK, transparency=1)),
    "dark colours": ("png", lambda: palette([0, 0, 0, 0, 0, 1])),
    "segments": ("png", lambda: palette([0, 0, 0, 128, 0, 0])),
    "red": ("png", lambda: colour("RGB", (0, 0, 0), (1, 0, 0))),
    "blue": ("png", lambda: colour("RGB", (0, 0, 0), (0, 0, 4))),
    "blue, BMP": ("bmp", lambda: colour("RGB", (0, 0, 0), (0, 0, 1))),
    "opaque": ("png", lambda: colour("RGBA", (0, 0, 0, 255), (0, 1, 0, 255))),
    "clear": ("png", lambda: colour("RGBA", (0, 0, 0, 255), (1, 1, 1, 0))),
    "grey and alpha": ("png", lambda: colour("LA", (0, 255), (1, 0))),
    "ink": ("tif", lambda: colour("CMYK", (0, 0, 0, 255), (255, 255, 254, 254))),
    "inks": ("tif", lambda: colour("CMYK", (255, 255, 255, 0), (255, 255, 254, 0))),
    "grey": ("png", lambda: Image.fromarray(MASK.astype(np.uint8))),
    "1 bit": ("png", lambda: Image.fromarray(MASK)),
    "16 bits": ("png", lambda: Image.fromarray(MASK.astype(np.uint16))),
    "floats": ("tif", lambda: Image.fromarray(MASK.astype(np.float32) * 1e-9)),
    "negative": ("tif", lambda: Image.fromarray(-MASK.astype(np.int32))),
}  # fmt: skip


@pytest.mark.fault("numbers: a mask's index or dark colour for black")
@pytest.mark.parametrize("kind", KINDS)
def test_colour_decides(kind, tmp_path):
    suffix, make = KINDS[kind]
    make().save(tmp_path / f"mask.{suffix}")
    check(tmp_path, f"mask.{suffix}")


@pytest.mark.fault("numbers: a mask's index or dark colour for black")
@pytest.mark.parametrize("name", ["mask.png", "mask.tif", "mask.ppm"])
@pytest.mark.parametrize("bands", [3, 4])
def test_deep_colours_keep_their_lower_bits(name, bands, tmp_path):
    values = np.zeros((*MASK.shape, bands), np.uint16)
    values[..., 0] = MASK * 4
    values[..., 3:] = 65535
    if bands == 4 and name == "mask.ppm":
        name = "mask.tif"
    cv2.imwrite(str(tmp_path / name), values)
    check(tmp_path, name)


@pytest.mark.fault("numbers: a mask's index or dark colour for black")
def test_a_palette_of_black_alone_has_no_foreground(tmp_path):
    palette([0, 0, 0, 0, 0, 0]).save(tmp_path / "mask.png")
    assert not read_mask(MaskPaths(("mask.png",), None), tmp_path, 8).any()


def check(folder, name):
    wanted = cv2.resize(MASK.astype(np.uint8), (40, 40), interpolation=cv2.INTER_NEAREST)
    got = read_mask(MaskPaths((name,), None), folder, 40)
    np.testing.assert_array_equal(got, wanted)
    np.testing.assert_array_equal(read_mask(MaskPaths((), name), folder, 40), 2 * wanted)
