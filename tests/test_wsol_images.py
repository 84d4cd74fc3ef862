import io
import re
import struct
import sys

import cv2
import numpy as np
import pytest
from PIL import Image

from wsol.images import ImageError, SourceError, find_images, read_image, to_rgb

COLOUR = (200, 120, 40)


def photo(size=(40, 30)):
    """A picture whose left upper quarter has COLOUR, so that turning it shows."""
    image = Image.new("RGB", size, (10, 10, 10))
    image.paste(COLOUR, (0, 0, size[0] // 2, size[1] // 2))
    return image


def corner(image):
    """Mean colour of a patch near the left upper corner."""
    return np.asarray(image)[2:8, 2:8].reshape(-1, 3).mean(axis=0)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "bmp", "tiff", "gif"])
def test_formats(tmp_path, suffix):
    path = tmp_path / f"photo.{suffix}"
    photo().save(path)
    image = read_image(path)
    assert (image.mode, image.size) == ("RGB", (40, 30))
    np.testing.assert_allclose(corner(image), COLOUR, atol=12)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path, orientation):
    """A camera that was turned stores turned pixels and says so; people see them upright."""
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = photo().transpose(undo[orientation]) if orientation > 1 else photo()
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "photo.png", exif=exif)
    np.testing.assert_array_equal(np.asarray(read_image(tmp_path / "photo.png")), photo())


@pytest.mark.parametrize(
    ("size", "orientation", "boxed", "turns"),
    [
        ((40, 30), 6, (40, 30), False),
        ((40, 30), 6, (400, 300), False),  # a small copy
        ((40, 30), 6, (30, 40), True),
        ((40, 30), 6, (30, 30), True),  # a square does not tell
        ((40, 30), 6, None, True),
        ((30, 40), 8, (30, 40), False),
        ((40, 30), 3, (40, 30), True),  # nor does half a turn
    ],
)
def test_boxes_tell_whether_an_image_is_turned(tmp_path, size, orientation, boxed, turns):
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    stored = Image.fromarray(pixels)
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "photo.png", exif=exif)
    found = np.asarray(read_image(tmp_path / "photo.png", boxed=boxed))
    turned = np.rot90(pixels, {6: -1, 8: 1, 3: 2}[orientation])
    np.testing.assert_array_equal(found, turned if turns else pixels)


def test_exif_with_broken_tags_still_turns(tmp_path):
    """YCbCrPositioning as text instead of a number: it cannot be written again, nor need it be."""
    entries = struct.pack("<HHII", 0x0112, 3, 1, 6) + struct.pack("<HHI4s", 0x0213, 2, 2, b"1")
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 2) + entries + struct.pack("<I", 0)
    stored = photo().transpose(Image.Transpose.ROTATE_90)
    stored.save(tmp_path / "photo.jpg", exif=exif, quality=95, subsampling=0)
    image = read_image(tmp_path / "photo.jpg")
    np.testing.assert_allclose(np.asarray(image, int), np.asarray(photo(), int), atol=20)
    assert to_rgb(image).size == image.size  # once is enough


@pytest.mark.parametrize("mode", ["L", "P", "LA", "RGBA", "CMYK", "1"])
def test_modes(tmp_path, mode):
    suffix = "tiff" if mode == "CMYK" else "png"
    photo().convert(mode).save(tmp_path / f"photo.{suffix}")
    image = read_image(tmp_path / f"photo.{suffix}")
    assert (image.mode, image.size) == ("RGB", (40, 30))
    assert corner(image).mean() > np.asarray(image)[20:, 30:].mean()


def test_a_transparent_colour_is_white(tmp_path):
    photo().save(tmp_path / "key.png", transparency=COLOUR)
    np.testing.assert_array_equal(corner(read_image(tmp_path / "key.png")), (255, 255, 255))


def test_transparent_pixels_lie_on_white(tmp_path):
    layer = photo().convert("RGBA")
    layer.putalpha(Image.new("L", layer.size, 0))
    layer.save(tmp_path / "clear.png")
    assert np.asarray(read_image(tmp_path / "clear.png")).min() == 255


@pytest.mark.parametrize("name", ["grey.png", "grey.tiff", "colour.png", "colour.tiff"])
def test_16_bit(tmp_path, name):
    pixels = np.asarray(photo()).astype(np.uint16) * 257
    pixels = pixels[..., ::-1] if name.startswith("colour") else pixels[..., 0]
    assert cv2.imwrite(str(tmp_path / name), pixels)
    image = read_image(tmp_path / name)
    wanted = COLOUR if name.startswith("colour") else (COLOUR[0],) * 3
    assert (image.mode, image.size) == ("RGB", (40, 30))
    np.testing.assert_allclose(corner(image), wanted, atol=1)


def broken(kind):
    buffer = io.BytesIO()
    Image.effect_noise((64, 64), 80).save(buffer, "jpeg")
    whole = buffer.getvalue()
    return {"empty": b"", "text": b"not an image", "truncated": whole[: len(whole) // 2]}[kind]


@pytest.mark.parametrize(
    ("kind", "reason"),
    [("empty", "empty"), ("text", "not an image"), ("truncated", "truncated")],
)
def test_broken_files(tmp_path, kind, reason):
    path = tmp_path / "broken.jpg"
    path.write_bytes(broken(kind))
    with pytest.raises(ImageError, match=reason):
        read_image(path)


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(ImageError, match="no such file"):
        read_image(tmp_path / "none.jpg")
    with pytest.raises(ImageError, match="directory"):
        read_image(tmp_path)


@pytest.fixture
def folder(tmp_path):
    for name in ("b.jpg", "a.PNG", "deep/c.webp", "notes.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("", ["a.PNG", "b.jpg", "deep/c.webp"]),
        ("*.jpg", ["b.jpg"]),
        ("**/*", ["a.PNG", "b.jpg", "deep/c.webp"]),
        ("b.jpg", ["b.jpg"]),
        ("notes.md", ["notes.md"]),  # named by hand: reading it will say what is wrong
    ],
)
def test_sources(folder, source, expected):
    assert find_images([folder / source]) == [folder / name for name in expected]


@pytest.mark.parametrize("source", ["", "**/*"])
def test_photographs_of_other_formats_are_named(folder, source):
    (folder / "deep" / "one.HEIC").write_bytes(b"x")
    skipped = []
    found = find_images([folder / source], skipped.append)
    assert found == [folder / name for name in ("a.PNG", "b.jpg", "deep/c.webp")]
    assert skipped == [folder / "deep" / "one.HEIC"]


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_lists_are_relative_to_their_folder(folder, monkeypatch, mark):
    (folder / "list.txt").write_text(f"{mark}b.jpg\n\nmissing.jpg\n")
    assert find_images([folder / "list.txt"]) == [folder / "b.jpg", folder / "missing.jpg"]
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{folder}/b.jpg\n"))
    assert find_images(["-", folder / "b.jpg"]) == [folder / "b.jpg"]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (
            ["Dear reader,", "", "this is a letter."],
            "none of 2 lines is a file, such as Dear reader",
        ),
        (
            ["s3://bucket//birds/1.jpg"],
            "none of 1 line is a file, such as s3://bucket//birds/1.jpg",
        ),
        (["/files/?d=a//b.jpg", "c.jpg"], "none of 2 lines is a file, such as /files/?d=a//b.jpg"),
        (["x" * 3000], f"such as {'x' * 200}..."),
    ],
)
def test_a_text_of_which_no_line_is_a_file_is_no_list(folder, monkeypatch, lines, said):
    text = "\n".join(lines)
    (folder / "list.txt").write_text(text)
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    for source in (folder / "list.txt", "-"):
        with pytest.raises(SourceError, match=f"{re.escape(str(source))}: .*{re.escape(said)}"):
            find_images([source])


@pytest.mark.parametrize("source", ["none", "*.gif", "empty"])
def test_sources_without_images(folder, source):
    (folder / "empty").mkdir()
    with pytest.raises(SourceError, match=r"no such file|no images here"):
        find_images([folder / source])
