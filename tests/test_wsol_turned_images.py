"""EXIF asks for a quarter turn, but the sizes, and so the true boxes, are those before it."""

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image
from small_reports import block

from eval.manifest import Split
from tdam import create_model
from wsol import evaluate
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
