"""Image files of strangers: whatever is in them, the reader answers with pixels or with why not."""

import io
import struct
import zlib
from contextlib import suppress
from functools import partial

import fuzz_images
import numpy as np
import pytest
from image_samples import COLOURS, list_originals, picture, png_chunk, saved, tiff
from PIL import Image

from eval.file_structure import Directory
from eval.headers import read_header
from eval.image_files import MAX_PIXELS, set_max_pixels
from eval.masks import read_mask
from eval.splits import ManifestError, MaskPaths
from tdam import create_model
from wsol.images import ImageError, read_image
from wsol.prediction import predict


def png(width, height, depth, colour, *, rows=None, before=b""):
    """Write a PNG of zeros."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    row = bytes((width * channels * depth + 7) // 8 + 1)
    packer = zlib.compressobj(9)
    data = [packer.compress(row) for _ in range(height if rows is None else rows)]
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)),
        (b"IDAT", b"".join([*data, packer.flush()])),
        (b"IEND", b""),
    ]
    made = [png_chunk(*chunk) for chunk in chunks]
    return b"\x89PNG\r\n\x1a\n" + made[0] + before + made[1] + made[2]


def bare_tiff(entries, data=b""):
    """Write a little-endian TIFF of given entries; `START` stands for where the data begins."""
    start = 8 + 2 + 12 * len(entries) + 4
    lines = [
        struct.pack("<HHII", tag, kind, count, start if value is START else value)
        for tag, kind, count, value in sorted(entries, key=lambda entry: entry[0])
    ]
    head = b"II*\0" + struct.pack("<IH", 8, len(entries))
    return head + b"".join(lines) + bytes(4) + data


START = object()


@pytest.mark.fault("input: mutated images")
def test_mutated_images(record_property):
    outcomes = fuzz_images.run(400, seed=1)
    record_property("tried", 400)
    assert (outcomes.escaped, outcomes.noise) == ([], [])
    assert outcomes.read > 50
    assert outcomes.refused > 50


@pytest.mark.slow
@pytest.mark.fault("input: mutated images")
def test_many_mutated_images(record_property):
    outcomes = fuzz_images.run(6000, seed=2)
    record_property("tried", 6000)
    assert (outcomes.escaped, outcomes.noise) == ([], [])


def test_whole_images_of_all_kinds_are_read(tmp_path):
    for suffix, content in list_originals():
        path = tmp_path / f"whole.{suffix}"
        path.write_bytes(content)
        assert read_image(path).size == read_header(path).upright


@pytest.mark.fault("input: good images beside mutated ones")
def test_good_images_beside_mutated_ones_are_localized(tmp_path, record_property):
    for index in range(30):
        suffix, content = fuzz_images.make_mutant(index, 3)
        (tmp_path / f"{index:02}.{suffix}").write_bytes(content)
        if index % 3 == 0:
            picture(40, 30).save(tmp_path / f"{index:02}-good.png")
    results = {}
    network = create_model("efficientnet_lite0", num_classes=2)
    options = {"names": ("a", "b"), "on_result": results.__setitem__}
    summary = predict(network, tmp_path, **options)
    record_property("tried", 40)
    assert summary.images == len(results) == 40
    good = [result for path, result in results.items() if path.name.endswith("-good.png")]
    assert [(result.width, result.height) for result in good] == [(40, 30)] * 10
    assert summary.failed == sum(isinstance(each, ImageError) for each in results.values()) > 0


# Headers that ask for more than their files are worth.


def gif_of_comments():
    whole = saved(Image.new("P", (64, 48), 7), "gif")
    start = 13 + (3 << ((whole[10] & 7) + 1) if whole[10] & 128 else 0)
    return whole[:start] + b"!\xfe\x01a\0" * 500_000 + whole[start:]


def jpeg_of_exif():
    """EXIF of many segments, each of whose tags asks for all of it."""
    count = 4000
    entries = [struct.pack("<HHII", 40000 + tag, 7, 3_000_000, 8) for tag in range(count)]
    blob = (b"II*\0" + struct.pack("<IH", 8, count) + b"".join(entries)).ljust(3_100_000, b"\1")
    parts = [blob[start : start + 65000] for start in range(0, len(blob), 65000)]
    segments = [
        b"\xff\xe1" + struct.pack(">H", 8 + len(part)) + b"Exif\0\0" + part for part in parts
    ]
    whole = saved(Image.new("RGB", (64, 48)), "jpeg")
    return whole[:2] + b"".join(segments) + whole[2:]


def jpeg_of_scans():
    whole = saved(Image.new("RGB", (3000, 3000)), "jpeg", progressive=True)
    return whole[:-2] + whole[whole.rfind(b"\xff\xda") : -2] * 900 + b"\xff\xd9"


def tiff_of_tags():
    count, data = 3000, bytes(1_000_000)
    sizes = [(256, 3, 1, 64), (257, 3, 1, 48)]
    return bare_tiff([*sizes, *((40000 + n, 7, len(data), START) for n in range(count))], data)


def tiff_of_a_tile():
    data = zlib.compress(bytes(100_000_000), 9)
    return bare_tiff(
        [(256, 3, 1, 64), (257, 3, 1, 48), (258, 3, 1, 8), (259, 3, 1, 8), (262, 3, 1, 1),
         (322, 4, 1, 10000), (323, 4, 1, 10000), (324, 4, 1, START), (325, 4, 1, len(data))],
        data,
    )  # fmt: skip


def bmp_of_a_run():
    """A million columns of one run."""
    head = struct.pack("<IiiHHIIiiII", 40, 1_900_000, 48, 1, 8, 1, 2, 0, 0, 256, 0)
    return struct.pack("<2sIHHI", b"BM", 0, 0, 0, 1078) + head + bytes(1024) + b"\1\7" * 48


def float_tiff(side=16_000):
    strip = zlib.compress(bytes(4 * side * 50), 9)
    count = side // 50
    data = struct.pack(f"<{count}I", *[8 + 2 + 120 + 4 + 8 * count] * count)
    data += struct.pack(f"<{count}I", *[len(strip)] * count) + strip
    return bare_tiff(
        [(256, 3, 1, side), (257, 3, 1, side), (258, 3, 1, 32), (259, 3, 1, 8), (262, 3, 1, 1),
         (273, 4, count, 134), (278, 3, 1, 50), (279, 4, count, 134 + 4 * count),
         (339, 3, 1, 3), (277, 3, 1, 1)],
        data,
    )  # fmt: skip


STARVING = {
    "float.tif": (float_tiff, "too large"),
    "wide.png": (partial(png, 60_000, 60_000, 1, 0, rows=1), "too large"),
    "exif.png": (
        lambda: png(64, 48, 8, 2, before=png_chunk(b"eXIf", b"II*\0\x08\0\0\0" + bytes(3_000_000))),
        None,
    ),
    "text.png": (
        lambda: png(
            64, 48, 8, 2, before=png_chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(90_000_000)))
        ),
        "too large",
    ),
    "chunks.png": (lambda: png(64, 48, 8, 2, before=png_chunk(b"abCd", b"") * 90_000), "chunks"),
    "comments.gif": (gif_of_comments, "more blocks"),
    "screen.gif": (
        lambda: b"GIF89a\xff\xff\xff\xff" + saved(Image.new("P", (64, 48)), "gif")[10:],
        "too large",
    ),
    "exif.jpg": (jpeg_of_exif, "more values"),
    "scans.jpg": (jpeg_of_scans, "scans"),
    "tags.tif": (tiff_of_tags, "more values"),
    "tile.tif": (tiff_of_a_tile, "tiles"),
    "run.bmp": (bmp_of_a_run, "truncated"),
    "comments.ppm": (lambda: b"P3\n10 10\n255\n" + b"#\n" * 2_000_000 + b"7 " * 300, None),
    "odd.ppm": (lambda: b"P6\n1000 1000\n200\n" + b"\7" * 3_000_000, None),
}


@pytest.mark.fault("input: a file that starves the others")
def test_no_file_takes_too_much(tmp_path, record_property):
    for name, (make, _) in STARVING.items():
        (tmp_path / name).write_bytes(make())
    results = fuzz_images.read_watched(tmp_path / name for name in STARVING)
    record_property("tried", len(STARVING))
    for (name, (_, reason)), (outcome, seconds, grown) in zip(
        STARVING.items(), results, strict=True
    ):
        if reason is None:
            assert outcome is None, name
        else:
            assert reason in outcome, name
        assert seconds < fuzz_images.TIME, name
        assert grown < fuzz_images.MEMORY, name


@pytest.mark.slow
@pytest.mark.fault("input: a file that starves the others")
@pytest.mark.parametrize(("depth", "colour"), [(8, 2), (8, 6), (16, 6), (16, 0), (16, 2), (1, 0)])
def test_a_hundred_million_pixels(tmp_path, depth, colour):
    (tmp_path / "large.png").write_bytes(png(9999, 9999, depth, colour))
    ((outcome, _, grown),) = fuzz_images.read_watched([tmp_path / "large.png"])
    assert outcome is None
    assert grown < fuzz_images.MEMORY


@pytest.fixture
def limited():
    yield set_max_pixels
    set_max_pixels(MAX_PIXELS)


@pytest.mark.fault("input: the limit of pixels")
def test_every_reader_keeps_the_limit(tmp_path, limited):
    for name in ("a.png", "a.tif", "a.jpg", "a.ppm"):
        picture().save(tmp_path / name)
        limited(64 * 48)
        assert read_image(tmp_path / name).size == read_header(tmp_path / name).upright
        assert read_mask(MaskPaths((name,), None), tmp_path, 224).any()
        limited(64 * 48 - 1)
        with pytest.raises(ImageError, match=r"64 x 48 pixels, .* 3,071 \(eval\..*set_max_pixels"):
            read_image(tmp_path / name)
        with pytest.raises(ManifestError, match=rf"{name}: expected an image but .*set_max_pixels"):
            read_header(tmp_path / name)
        with pytest.raises(ManifestError, match=rf"{name}: expected a mask but .*set_max_pixels"):
            read_mask(MaskPaths((name,), None), tmp_path, 224)
    with pytest.raises(ValueError, match="max_pixels to be at least 1"):
        set_max_pixels(0)


# Sizes that the data does not fill.


def taller_jpeg(mode, height, **options):
    data = bytearray(saved(picture().convert(mode), "jpeg", **options))
    start = max(data.find(b"\xff\xc0"), data.find(b"\xff\xc2"))
    data[start + 5 : start + 7] = struct.pack(">H", height)
    return bytes(data)


def taller_tiff(content, height, rows=None):
    """Change the height of a TIFF, and perhaps the rows of its strips."""
    data, tags = bytearray(content), Directory(io.BytesIO(content))
    for tag, value in ((257, height), (278, rows)):
        if value is not None:
            kind, _, offset = tags._entries[tag]
            struct.pack_into("<H" if kind == 3 else "<I", data, offset, value)
    return bytes(data)


def taller_gif(height):
    data = bytearray(saved(picture(), "gif"))
    frame = data.find(b",", 13 + 768)
    data[8:10] = data[frame + 7 : frame + 9] = struct.pack("<H", height)
    return bytes(data)


@pytest.mark.fault("input: pixels that the data does not fill")
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 2}])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_jpeg_that_ends_early(read, mode, options):
    for height in (49, 64, 300, 60_000):
        with pytest.raises(ImageError, match="truncated"):
            read(taller_jpeg(mode, height, **options), "jpg")
    if not options:
        whole = saved(picture().convert(mode), "jpeg")
        with pytest.raises(ImageError, match="truncated"):
            read(whole[: len(whole) * 2 // 3] + b"\xff\xd9", "jpg")


@pytest.mark.fault("input: pixels that the data does not fill")
def test_other_files_that_end_early(read, record_property):
    cases = [("gif", taller_gif(300)), ("png", png(64, 300, 8, 2, rows=48))]
    cases += [("png", png(64, 48, depth, colour, rows=47)) for depth, colour in ((1, 0), (8, 6))]
    for mode in ("RGB", "P", "1", "L"):
        data = bytearray(saved(picture().convert(mode), "bmp"))
        struct.pack_into("<i", data, 22, 3000)
        cases.append(("bmp", bytes(data)))
    for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"):
        for mode in ("L", "RGB", "1")[: 2 if compression == "jpeg" else 3]:
            whole = saved(picture().convert(mode), "tiff", compression=compression)
            cases += [("tif", taller_tiff(whole, 3000, rows)) for rows in (None, 3000)]
    for options in ({}, {"compression": "zlib"}, {"tile": (16, 16)}):
        deep = tiff(COLOURS.astype(np.uint16) * 257, photometric="rgb", **options)
        cases.append(("tif", taller_tiff(deep, 3000)))
    cases += [
        ("ppm", saved(picture(), "ppm").replace(b"64 48", b"64 49")),
        ("pgm", b"P5 64 48 200\n" + bytes(64 * 47)),
        ("pgm", b"P2 64 48 255\n" + b"7 " * 64),
        ("webp", saved(picture(), "webp")[:-200]),
    ]
    record_property("tried", len(cases))
    for suffix, content in cases:
        with pytest.raises(ImageError):
            read(content, suffix)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 2}])
def test_what_looks_unfilled_but_is_not(read, options):
    """Grey as a JPEG's rest is, and the values that unfilled pixels are marked with."""
    for size in ((64, 48), (61, 47), (1, 1)):
        for value in (127, 128, 129):
            read(saved(Image.new("L", size, value), "jpeg", **options), "jpg")
        for value in (0, 90, 165, 255):
            for kind in ("png", "gif", "bmp", "tiff", "webp"):
                shown = read(saved(Image.new("L", size, value), kind), kind)
                np.testing.assert_allclose(shown, value, atol=1)


@pytest.mark.fault("input: words of decoders")
def test_decoders_are_silent(tmp_path, capfd, recwarn):
    """Broken EXIF and fax lines of which libraries speak themselves."""
    fax = bytearray(saved(picture().convert("1"), "tiff", compression="group4"))
    for start in range(20, 200, 7):
        fax[start] ^= 0x55
    exif = b"Exif\0\0II*\0" + struct.pack("<IHHHII", 8, 1, 0x010F, 2, 900, 100)
    whole = saved(picture(), "jpeg", exif=exif)
    for name, content in (("fax.tif", bytes(fax)), ("exif.jpg", whole)):
        (tmp_path / name).write_bytes(content)
    read_image(tmp_path / "exif.jpg")
    with suppress(ImageError):
        read_image(tmp_path / "fax.tif")
    assert capfd.readouterr() == ("", "")
    assert [each for each in recwarn if "PIL" in str(each.filename)] == []
