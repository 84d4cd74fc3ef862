"""Scores are of the same images where the contents of the files are the same."""

import json
import os
import shutil

import pytest
from PIL import Image, ImageOps
from shapes import make_shapes, make_weights

from eval.manifest import open_data_set
from tdam import load_checkpoint
from tdam.training.recipe import load_recipe
from wsol import compare, evaluate
from wsol.evaluation.comparison import ResultError
from wsol.evaluation.network_maps import NetworkMaps
from wsol.fingerprints import hash_file, hash_images

FAULT = pytest.mark.fault("numbers: images of the same size taken for the same")

pytestmark = pytest.mark.slow  # two networks are trained and scored for them


def mirror(path):
    ImageOps.mirror(Image.open(path)).save(path, format="BMP")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Uncompressed images, whose files all have one size, and their scores in `first`."""
    home = tmp_path_factory.mktemp("same")
    data = make_shapes(home / "data", {"test": 1})
    for path in sorted((data / "test").iterdir()):
        Image.open(path).save(path, format="BMP")
    make_weights(load_recipe("finetune").change(size=32), home / "w.safetensors")
    score(home, data, "first")
    return home


def score(world, data, name, **choices):
    return evaluate(
        world / "w.safetensors", data, threshold=0.2, workers=0, out=world / name, **choices
    )


@FAULT
def test_mirrored_images_are_others(world, run):
    data = shutil.copytree(world / "data", world / "mirrored")
    for path in (data / "test").iterdir():
        mirror(path)
    score(world, data, "second")
    with pytest.raises(ResultError, match=r"contents differ \(contents_sha256\)"):
        compare(world / "first", world / "second")
    code, _, err = run("compare", world / "first", world / "second")
    assert (code, "contents_sha256" in err) == (1, True), err
    told = [json.loads((world / n / "scores.json").read_text()) for n in ("first", "second")]
    assert told[0]["images_sha256"] == told[1]["images_sha256"]


@FAULT
def test_one_other_image_is_enough(world):
    data = shutil.copytree(world / "data", world / "swapped")
    shutil.copy(data / "test" / "red-0.png", data / "test" / "blue-0.png")
    score(world, data, "third")
    with pytest.raises(ResultError, match="contents_sha256"):
        compare(world / "first", world / "third")


def test_copies_and_scores_of_before_are_compared(world):
    data = shutil.copytree(world / "data", world / "copied", copy_function=shutil.copyfile)
    score(world, data, "fourth")
    (compared,) = compare(world / "first", world / "fourth")
    assert compared.differences["max_box_acc"].difference == 0
    path = world / "fourth" / "scores.json"
    told = json.loads(path.read_text())
    del told["contents_sha256"]
    path.write_text(json.dumps(told))
    assert compare(world / "first", world / "fourth")


@FAULT
def test_an_evaluation_is_not_kept_for_other_images(world):
    """Where size and time of change are the same, as `cp -p` and archives leave them."""
    data = shutil.copytree(world / "data", world / "kept data")
    network, split = load_checkpoint(world / "w.safetensors")[0], open_data_set(data).load()

    def describe():
        return NetworkMaps(network, split, data, "layercam").describe()["image_files"]

    path, before = data / "test" / "red-0.png", describe()
    state = path.stat()
    path.touch()
    assert describe() == before
    mirror(path)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert describe() != before


def test_hashes_of_files(tmp_path):
    path = tmp_path / "a"
    assert hash_file(str(path)) is hash_file(str(tmp_path)) is hash_file("a\0") is None
    path.write_bytes(b"1")
    state, before = path.stat(), hash_images(["a"], [str(path)])
    other = tmp_path / "b"
    other.write_bytes(b"2")
    os.utime(other, ns=(state.st_atime_ns, state.st_mtime_ns))
    other.replace(path)
    assert hash_images(["a"], [str(path)]) != before
    assert hash_images(["b"], [str(path)]) != hash_images(["a"], [str(path)])
