"""PIL has a limit of its own, above which it warns and then refuses: ours alone is to count."""

import warnings

import pytest
from PIL import Image
from small_objects import FLAGS

from eval.image_files import MAX_PIXELS, set_max_pixels
from wsol.images import read_image
from wsol.shipped import manifests_folder

DATA = manifests_folder() / "photos"


@pytest.fixture
def small_limit(monkeypatch):
    """Every image is over PIL's limit, and its warning is an error."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


@pytest.mark.parametrize(
    "command",
    [
        ("shift", "PHOTOS/coffee.png", "--out", "OUT"),  # whose animation PIL cuts out
        ("manifest", "check", DATA, "--root", "PHOTOS"),
        pytest.param(("predict", "PHOTOS", "--page", "OUT"), marks=pytest.mark.slow),
        pytest.param(
            ("predict", "PHOTOS", "--save-images", "--format", "masks", "--out", "OUT"),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            ("evaluate", DATA, "--root", "PHOTOS", "--report", "OUT"), marks=pytest.mark.slow
        ),
        pytest.param(
            ("train", "OBJECTS", "--out", "OUT", *FLAGS, "--epochs", 1, "--set", "packed=false"),
            marks=pytest.mark.slow,
        ),
        pytest.param(("demo", "--out", "OUT"), marks=pytest.mark.slow),
    ],
    ids=lambda command: str(command[0]),
)
def test_no_command_minds_the_limit_of_pil(run, request, photos, tmp_path, small_limit, command):
    names = {"PHOTOS": photos, "OUT": tmp_path / "out"}
    if "OBJECTS" in command:
        names["OBJECTS"] = request.getfixturevalue("objects")
    words = list(map(str, command))
    for name, path in names.items():
        words = [word.replace(name, str(path)) for word in words]
    code, _, err = run(*words)
    assert code == 0, err
    assert "bomb" not in err.lower()


def test_the_limit_of_pil_follows_ours_and_never_falls(photos, small_limit, monkeypatch):
    read_image(photos / "coffee.png")
    assert Image.MAX_IMAGE_PIXELS == MAX_PIXELS
    set_max_pixels(300_000_000)
    try:
        assert Image.MAX_IMAGE_PIXELS == 300_000_000
    finally:
        set_max_pixels(MAX_PIXELS)
    assert Image.MAX_IMAGE_PIXELS == 300_000_000
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)  # nobody wants one
    read_image(photos / "coffee.png")
    assert Image.MAX_IMAGE_PIXELS is None
