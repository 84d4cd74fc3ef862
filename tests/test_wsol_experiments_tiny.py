"""An experiment on an official download whose own splits share images."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image
from tiny_download import GOLDFISH, write

from wsol.benchmarking.experiment_files import load_experiment

TEXT = """
name = "tiny"
base = "scratch_small"
allow_overlap = true
[recipe]
model = "resnet18"
size = 64
epochs = 1
batch_size = 4
precision = "float32"
packed = false
[scoring]
thresholds = ["val", 0.2]
size = 64
[[models]]
name = "none"
"""


@pytest.fixture
def download(tmp_path):
    folder = write(tmp_path / "tiny-imagenet-200")
    random = np.random.default_rng(0)
    for path in sorted(folder.rglob("*.JPEG")):
        Image.fromarray(random.integers(0, 256, (64, 64, 3), np.uint8)).save(path)
    shared = folder / f"train/{GOLDFISH}/images/{GOLDFISH}_2.JPEG"
    shutil.copy(shared, folder / "val/images/val_12.JPEG")
    return folder


@pytest.mark.slow
def test_what_splits_share_is_told_and_stops_nothing_where_the_file_says_so(
    download, tmp_path, run
):
    path = tmp_path / "tiny.toml"
    ask = ("reproduce", path, "--data", download, "--workers", 0)
    path.write_text(TEXT.replace("allow_overlap = true\n", ""))
    code, _, err = run(*ask, "--out", tmp_path / "refused")
    assert code == 1
    assert "share 1 image: val/images/val_12.JPEG" in err
    path.write_text(TEXT)
    code, printed, err = run(*ask, "--out", tmp_path / "out")
    assert code == 0, err
    for split, use in (("train: 3", "train on"), ("val: 10", "choose by"), ("test: 4", "score")):
        assert f"official download of tiny-imagenet: {split} images" in err
        assert f"to {use}\n" in err
    shared = f"val/images/val_12.JPEG (there train/{GOLDFISH}/images/{GOLDFISH}_2.JPEG)"
    for told in (printed, (tmp_path / "out/table.md").read_text()):
        assert "share 1 image" in told
    (row, _) = json.loads((tmp_path / "out/results.json").read_text())["rows"]
    assert shared in row["overlaps"][0]


def test_it_is_true_or_false(tmp_path):
    path = tmp_path / "tiny.toml"
    path.write_text(TEXT)
    assert load_experiment(str(path)).allow_overlap
    path.write_text(TEXT.replace("= true", '= "yes"'))
    with pytest.raises(ValueError, match="allow_overlap to be true or false but got 'yes'"):
        load_experiment(str(path))
