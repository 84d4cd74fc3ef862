"""A training goes on with the images that it began with, told by their content."""

import os
import shutil

import pytest
from shapes import make_shapes

from eval.manifest import ManifestError
from tdam.events import Events
from wsol import train
from wsol.errors import ArgumentError
from wsol.overlap import of_split
from wsol.training.data import load_training_data
from wsol.training.image_list import TRAINED_ON, check_same_images, write_image_sets

FAULT = pytest.mark.fault("runs: a training that goes on with other images")
CHOICES = {"size": 64, "epochs": 2, "batch_size": 4, "workers": 0, "device": "cpu"}


def list_images(data):
    read = load_training_data(data)
    sets = (of_split(read.train, "training", read.root),)
    return sets, of_split(read.val, "choosing", read.root)


def overwrite(path):
    """Turn a byte amid a file; size and time of change stay."""
    state, content = path.stat(), bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


@FAULT
@pytest.mark.parametrize(
    "change",
    [
        lambda data: overwrite(data / "train" / "red-0.png"),
        lambda data: shutil.copy(data / "train" / "blue-0.png", data / "train" / "red-0.png"),
        lambda data: (data / "train" / "red-0.png").unlink(),
    ],
)
def test_other_training_images_are_named(tmp_path, change):
    data = make_shapes(tmp_path / "data", {"train": 2, "val": 1})
    write_image_sets(tmp_path, *list_images(data)[:1], (), list_images(data)[1])
    check_same_images(tmp_path, *list_images(data))
    change(data)
    with pytest.raises(ValueError, match=r"but train/red-0\.png has another content"):
        check_same_images(tmp_path, *list_images(data))


@FAULT
def test_other_validation_images_are_refused(tmp_path):  # also where no epoch is chosen by them
    data = make_shapes(tmp_path / "data", {"train": 1, "val": 1})
    sets, measured_on = list_images(data)
    write_image_sets(tmp_path, sets, (), measured_on)
    overwrite(data / "val" / "red-0.png")
    with pytest.raises(ValueError, match="Expected the validation images"):
        check_same_images(tmp_path, *list_images(data))


def test_moved_images_are_the_same(tmp_path):
    data = make_shapes(tmp_path / "data", {"train": 1, "val": 1})
    sets, measured_on = list_images(data)
    write_image_sets(tmp_path, sets)  # as before the validation images had a hash
    check_same_images(tmp_path, *list_images(data))
    write_image_sets(tmp_path, sets, (), measured_on)
    moved = shutil.copytree(data, tmp_path / "moved", copy_function=shutil.copyfile)
    check_same_images(tmp_path, *list_images(moved))
    (tmp_path / TRAINED_ON).write_text("{")
    with pytest.raises(ManifestError, match="expected a list of the run's images"):
        check_same_images(tmp_path, *list_images(moved))
    (tmp_path / TRAINED_ON).unlink()  # as a run of before it
    check_same_images(tmp_path, *list_images(moved))


class Stop(Events):
    """Somebody who stops a training after its first epoch."""

    def epoch(self, history, best):
        if len(history) == 2:
            raise KeyboardInterrupt


@pytest.mark.slow
@FAULT
def test_a_training_is_not_resumed_on_other_images(tmp_path, run):
    data, out = make_shapes(tmp_path / "data", {"train": 2, "val": 1}), tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        train(data, out, weights="random", freeze_norms=False, events=Stop(), **CHOICES)
    kept = shutil.copytree(data, tmp_path / "kept", copy_function=shutil.copyfile)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    for split in ("train", "val"):
        overwrite(data / split / "green-0.png")
        code, _, err = run("train", data, "--out", out, "--resume", "--workers", 0)
        assert (code, "has another content" in err.replace("\n", " ")) == (2, True), err
        with pytest.raises(ArgumentError, match=f"{split}/green-0.png"):
            train(data, out, resume=True, workers=0)
        shutil.copyfile(kept / split / "green-0.png", data / split / "green-0.png")
    assert {path: path.read_bytes() for path in before} == before
    shutil.rmtree(data)
    assert train(kept, out, resume=True, workers=0).history[-1]["epoch"] == 2
