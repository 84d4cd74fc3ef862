"""Images of more than 8 bits: shown by the range that they declare, or else by their own."""

import struct
import zlib

import cv2
import numpy as np
import pytest
from image_samples import COLOURS, GREY, png_chunk, saved, tiff
from listeners import Counter
from PIL import Image

from tdam import create_model
from wsol.data_ranges import telling_stretched
from wsol.images import read_image
from wsol.prediction import predict

LAYOUTS = {
    "plain": {},
    "big-endian": {"byteorder": ">"},
    "deflate": {"compression": "zlib"},
    "predictor": {"compression": "zlib", "predictor": 2},
    "tiles": {"tile": (16, 32)},
    "strips": {"rowsperstrip": 7},
    "bigtiff": {"bigtiff": True},
}


def deep_images():
    """List values, how they are to be seen, and what the file says of them."""
    wide, twelve = GREY.astype(np.uint16) * 257, GREY.astype(np.uint32) * 4095 // 255
    dark, colours = GREY // 2, COLOURS.astype(np.uint16) * 257
    darker = (dark.astype(np.uint32) * 4095 // 255).astype(np.uint16)
    grey = {"photometric": "minisblack"}
    yield "16 bits", wide, GREY, grey
    yield "white is zero", 65535 - wide, GREY, {"photometric": "miniswhite"}
    yield "planar", np.moveaxis(colours, -1, 0), COLOURS, {
        "photometric": "rgb", "planarconfig": "separate"}  # fmt: skip
    yield "planar 8", np.moveaxis(COLOURS, -1, 0).copy(), COLOURS, {
        "photometric": "rgb", "planarconfig": "separate"}  # fmt: skip
    yield "colours", colours, COLOURS, {"photometric": "rgb"}
    yield "12 in 16", twelve.astype(np.uint16), GREY, grey
    yield "12 declared", darker, dark, {**grey, "extratags": [(281, 3, 1, 4095, True)]}
    yield "12 declared by S", darker, dark, {**grey, "extratags": [(341, 3, 1, 4095, True)]}
    yield "a false declaration", wide, GREY, {**grey, "extratags": [(281, 3, 1, 255, True)]}
    yield "int8", (GREY.astype(int) - 128).astype(np.int8), GREY, grey
    yield "int16", (GREY.astype(int) * 100 - 9000).astype(np.int16), GREY, grey
    yield "int32", GREY.astype(np.int32) * 100_003 - 50_000, GREY, grey
    yield "uint32", GREY.astype(np.uint32) * 1_000_003, GREY, grey
    yield "uint32 of colours", COLOURS.astype(np.uint32) * 1_000_003, COLOURS, {
        "photometric": "rgb"}  # fmt: skip


def deep_floats():
    grey, unit = {"photometric": "minisblack"}, GREY / 255
    for kind in (np.float16, np.float32, np.float64):
        yield f"unit {kind.__name__}", unit.astype(kind), GREY, grey
        yield f"above 255 {kind.__name__}", (GREY * 40.0).astype(kind), GREY, grey
        yield f"negative {kind.__name__}", (unit * 2 - 1).astype(kind), GREY, grey
    yield "to 255", GREY.astype(np.float32), GREY, grey
    declared = [(340, 11, 1, 0.0, True), (341, 11, 1, 2000.0, True)]
    yield "declared", (GREY * 4.0).astype(np.float32), GREY * 0.51, {
        **grey, "extratags": declared}  # fmt: skip
    yield "colours", COLOURS.astype(np.float32) * 40, COLOURS, {"photometric": "rgb"}


@pytest.mark.fault("input: deep images")
@pytest.mark.parametrize("layout", LAYOUTS)
def test_deep_images(read, layout, record_property):
    cases = [*deep_images(), *(deep_floats() if layout != "predictor" else ())]
    record_property("tried", len(cases))
    for name, values, seen, options in cases:
        shown = read(tiff(values, **options, **LAYOUTS[layout]))
        wanted = seen if seen.ndim == 3 else np.repeat(seen[..., None], 3, axis=2)
        np.testing.assert_allclose(shown, wanted, atol=1, err_msg=name)


@pytest.mark.fault("input: deep images")
@pytest.mark.parametrize("compression", ["tiff_lzw", "packbits"])
def test_deep_images_that_pil_decodes(read, compression):
    floats = np.float32(GREY)
    cases = {"I;16": GREY.astype(np.uint16) * 257, "F": floats * 40, "I": np.int32(GREY) * 1000}
    for mode, values in [*cases.items(), ("F", floats / 255)]:
        image = Image.fromarray(values)
        assert image.mode == mode
        shown = read(saved(image, "tiff", compression=compression))
        np.testing.assert_allclose(shown[..., 0], GREY, atol=1)


@pytest.mark.fault("input: deep images")
@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_colours_of_12_in_16_bits_are_not_dark(tmp_path, suffix):
    cv2.imwrite(
        str(tmp_path / f"a.{suffix}"), (COLOURS.astype(np.uint32) * 4095 // 255).astype("u2")
    )
    shown = np.asarray(read_image(tmp_path / f"a.{suffix}"))[..., ::-1]
    np.testing.assert_allclose(shown.astype(int), COLOURS, atol=1)


def few_values(factor):
    """List 16-bit images of 256 values: name, content and suffix."""
    colours, grey = COLOURS.astype(np.uint16) * factor, GREY.astype(np.uint16) * factor
    clear = np.full((*GREY.shape, 1), 65535, np.uint16)
    size = "{1} {0}".format(*GREY.shape).encode()

    def png(pixels):
        return cv2.imencode(".png", pixels)[1].tobytes()

    yield "colours", png(colours[..., ::-1]), "png"
    yield "with alpha", png(np.concatenate([colours[..., ::-1], clear], axis=2)), "png"
    yield "compressed", cv2.imencode(".tiff", colours[..., ::-1])[1].tobytes(), "tif"
    yield "P6", b"P6 " + size + b" 65535\n" + colours.astype(">u2").tobytes(), "ppm"
    yield "P3", b"P3 " + size + b" 65535\n" + " ".join(map(str, colours.ravel())).encode(), "ppm"
    yield "grey", png(grey), "png"
    yield "P5", b"P5 " + size + b" 65535\n" + grey.astype(">u2").tobytes(), "pgm"
    yield "P2", b"P2 " + size + b" 65535\n" + " ".join(map(str, grey.ravel())).encode(), "pgm"


@pytest.mark.fault("input: deep images")
@pytest.mark.parametrize("factor", [1, 3, 16, 63, 257])
def test_few_bits_in_16_keep_all_their_shades(tmp_path, factor, record_property):
    cases = list(few_values(factor))
    record_property("tried", len(cases))
    for name, content, suffix in cases:
        events, path = Counter(), tmp_path / f"{name}.{suffix}"
        path.write_bytes(content)
        with telling_stretched(events):
            shown = np.asarray(read_image(path))
        grey = np.repeat(GREY[..., None], 3, axis=2)
        wanted = grey if name in ("grey", "P5", "P2") else COLOURS
        np.testing.assert_array_equal(shown, wanted, err_msg=name)
        assert len(events.said) == (factor < 64), name  # whether the data's range is shown


@pytest.mark.fault("input: deep images")
def test_grey_and_alpha_of_few_bits_keep_their_shades(read):
    """Written by hand, since neither PIL nor OpenCV writes two channels of 16 bits."""
    layers = np.dstack([GREY.astype(">u2"), np.full(GREY.shape, 65535, ">u2")])
    rows = b"".join(b"\0" + row.tobytes() for row in layers)
    header = struct.pack(">IIBBBBB", *GREY.shape[::-1], 16, 4, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header)
    content += png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b"")
    np.testing.assert_array_equal(read(content, "png")[..., 0], GREY)


@pytest.mark.fault("input: deep images")
def test_full_16_bits_are_divided_by_256(read):
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    for content, suffix in ((tiff(values, photometric="minisblack"), "tif"),
                            (saved(Image.fromarray(values), "png"), "png")):  # fmt: skip
        np.testing.assert_array_equal(read(content, suffix)[..., 1], values // 256)


@pytest.mark.fault("input: deep images")
def test_alpha_of_16_bits_lies_on_white(read):
    layers = np.dstack([COLOURS, np.zeros_like(GREY)]).astype(np.uint16) * 257
    content = tiff(layers, photometric="rgb", extrasamples=["unassalpha"])
    assert read(content).min() == 255


@pytest.mark.fault("input: deep images")
def test_the_datas_own_range_is_told_once(tmp_path):
    for name, factor in (("a", 40), ("b", 400), ("c", 1 / 255)):
        values = np.float32(GREY) * np.float32(factor)
        (tmp_path / f"{name}.tif").write_bytes(tiff(values, photometric="minisblack"))
    events = Counter()
    network = create_model("efficientnet_lite0", num_classes=2)
    predict(network, tmp_path, names=("a", "b"), workers=1, events=events)
    (line,) = [line for line in events.said if "range" in line]
    assert line.startswith(f"2 images with no declared range of values, such as {tmp_path}")
    events = Counter()
    with telling_stretched(events):
        read_image(tmp_path / "c.tif")
    assert events.said == []
