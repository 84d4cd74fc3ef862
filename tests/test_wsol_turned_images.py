"""EXIF asks for a quarter turn, but the sizes, and so the true boxes, are those before it."""

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image
from small_reports import block

from eval.headers import read_header
from eval.manifest import Split
from tdam import create_model
from wsol import evaluate
from wsol.images import read_image
from wsol.inputs import to_image
from wsol.report import read_run, write_report
from wsol.training.validation import Validator

SIZE = (451, 300)


@pytest.fixture
def split():
    box = np.array([[0, 0, 399, 299]])
    names = ("cat", "none")
    return Split(
        "test", ("chelsea.png",), np.array([0]), np.array([SIZE]), (box,), class_names=names
    )


@pytest.fixture
def model():
    torch.manual_seed(0)
    return create_model("efficientnet_lite0", num_classes=2)


@pytest.fixture
def turned(photos, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "images").mkdir()
    Image.open(photos / "chelsea.png").save(tmp_path / "images/chelsea.png", exif=exif)
    return tmp_path / "images"


def test_stored_pixels_are_scored(model, split, photos, turned, tmp_path):
    for name, root in (("plain", photos), ("turned", turned)):
        evaluate(model, split, root, out=tmp_path / name)
    plain, other = ((tmp_path / name / "images.csv").read_text() for name in ("plain", "turned"))
    assert plain == other


def test_stored_pixels_validate(model, split, photos, turned):
    assert Validator(split, turned)(model) == Validator(split, photos)(model)


def test_stored_pixels_are_shown(model, split, turned, tmp_path):
    evaluate(model, split, turned, out=tmp_path / "run")
    page = write_report(tmp_path / "page", [read_run(tmp_path / "run")], turned)
    shown = block(page.read_text(encoding="utf-8"), "image-0")["image"]
    with Image.open(io.BytesIO(base64.b64decode(shown.partition(",")[2]))) as picture:
        assert picture.size == SIZE


TURNS = {1: lambda a: a, 3: lambda a: a[::-1, ::-1], 5: lambda a: a.swapaxes(0, 1),
         6: lambda a: np.rot90(a, -1), 7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
         8: np.rot90}  # fmt: skip


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("mode", ["L", "P", "RGB", "CMYK"])
@pytest.mark.parametrize("compression", ["raw", "tiff_lzw"])
def test_tiffs_are_turned_once(tmp_path, orientation, mode, compression):
    """PIL turns them itself, as it loads them."""
    stored = Image.fromarray(np.random.default_rng(0).integers(0, 255, (4, 6, 3), np.uint8))
    stored, path = stored.convert(mode), tmp_path / "a.tif"
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(path, exif=exif, compression=compression)
    pixels = np.asarray(stored.convert("RGB"))
    upright = TURNS[orientation](pixels)
    np.testing.assert_array_equal(read_image(path), upright)
    boxed = pixels if orientation > 4 else upright
    np.testing.assert_array_equal(read_image(path, boxed=(6, 4)), boxed)
    with path.open("rb") as file, Image.open(file) as image:
        np.testing.assert_array_equal(to_image(image), upright)
        np.testing.assert_array_equal(to_image(image), upright)
    assert read_header(path) == (6, 4, orientation > 4)
    assert read_header(path).upright == upright.shape[1::-1]
