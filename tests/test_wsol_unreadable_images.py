"""Images that `benchmark` and `reproduce` cannot read: named, counted, exit 1, and not kept."""

import csv
import json
import os
import shutil
import zipfile

import pytest
from shapes import make_shapes, make_weights
from small_experiments import TOML, reproduce

import wsol
from tdam.training.recipe import load_recipe

pytestmark = pytest.mark.slow

PART = ("--models", "none", "--seeds", 0)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    home = tmp_path_factory.mktemp("unreadable")
    make_shapes(home / "data")
    (home / "shapes.toml").write_text(TOML)
    (home / "weights").mkdir()
    recipe = load_recipe("finetune").change(size=32)
    make_weights(recipe, home / "weights" / "none-0.safetensors")
    return home


@pytest.fixture
def world(made, tmp_path):
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path


def truncate(path):
    os.truncate(path, path.stat().st_size // 2)


BREAKS = {
    "truncated": truncate,
    "empty": lambda path: path.write_bytes(b""),
    "missing": lambda path: path.unlink(),
    "text": lambda path: path.write_text("no image"),
}
BROKEN = ["test/blue-0.png", "test/red-1.png", "test/green-3.png"]


def check(told, out, named, sentence):
    """Every output names each image and counts them."""
    rows = json.loads((out / "results.json").read_text())
    key = "unreadable_chosen_on" if "choose" in sentence else "unreadable"
    assert [line.split(":")[0] for line in rows[key]] == named
    table = (out / "table.md").read_text()
    for text in (told, table):
        assert sentence in text
        assert all(image_id in text for image_id in named)


@pytest.mark.slow
@pytest.mark.fault("numbers: images that cannot be read")
@pytest.mark.parametrize("how", BREAKS)
def test_an_experiment_names_what_it_could_not_read(world, how):
    out = world / "out"
    flags = ("--weights", world / "weights", *PART)
    for image_id in BROKEN:
        shutil.copy(world / "data" / image_id, world / image_id.replace("/", "-"))
        BREAKS[how](world / "data" / image_id)
    for _ in range(2):  # nothing of it is kept
        code, printed, told = reproduce(world, out, *flags)
        assert (code, "score none" in told) == (1, True), told
        check(told, out, BROKEN, "3 images could not be read: counted as missed")
    assert "could not be read" not in printed
    with (out / "table.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert {(line["unreadable"], line["unreadable_images"]) for line in lines} == {
        ("3", "; ".join(BROKEN))
    }
    page = (out / "report" / "index.html").read_text()
    assert "3 images could not be read: counted as missed" in page
    assert all(image_id in page for image_id in BROKEN)
    with zipfile.ZipFile(out / "experiment.zip") as file:
        record = json.loads(file.read("none-0/layercam-16/scored/scores.json"))
    assert [line.split(":")[0] for line in record["unreadable"]] == BROKEN
    for image_id in BROKEN:
        shutil.copy(world / image_id.replace("/", "-"), world / "data" / image_id)
    code, _, told = reproduce(world, out, *flags)
    assert (code, "could not be read" in told) == (0, False), told
    assert "unreadable" not in (out / "table.csv").read_text()
    assert "read" not in (out / "table.md").read_text()


@pytest.mark.fault("numbers: images that cannot be read")
def test_images_to_choose_on_count_too(world, run):
    truncate(world / "data" / "val" / "red-0.png")
    sentence = "1 image to choose thresholds on could not be read: counted as missed"
    code, _, told = reproduce(world, world / "out", "--weights", world / "weights", *PART)
    assert code == 1
    check(told, world / "out", ["val/red-0.png"], sentence)
    assert sentence in (world / "out" / "report" / "index.html").read_text()
    code, _, told = run(
        "benchmark", world / "data", "--run", f"a={world / 'weights' / 'none-0.safetensors'}",
        "--out", world / "bench", "--report", world / "page", "--json", world / "it.json",
    )  # fmt: skip
    assert code == 1
    check(told, world / "bench", ["val/red-0.png"], sentence)
    assert "val/red-0.png" in (world / "page" / "index.html").read_text()
    assert json.loads((world / "it.json").read_text())["unreadable"] == []


@pytest.mark.fault("numbers: images that cannot be read")
def test_a_benchmark_names_what_it_could_not_read(world, run):
    for image_id in BROKEN:
        truncate(world / "data" / image_id)
    weights = world / "weights" / "none-0.safetensors"
    flags = ("benchmark", world / "data", "--run", f"a={weights}", "--threshold", 0.2,
             "--out", world / "bench", "--report", world / "page", "--force")  # fmt: skip
    for _ in range(2):
        code, _, told = run(*flags)
        assert (code, "score a" in told) == (1, True)
        check(told, world / "bench", BROKEN, "3 images could not be read: counted as missed")
        page = (world / "page" / "index.html").read_text()
        assert all(image_id in page for image_id in BROKEN)
    outcome = wsol.benchmark(world / "data", {"a": weights, "b": weights}, thresholds=[0.2])
    assert not outcome.good
    assert [line.split(":")[0] for line in outcome.unreadable] == BROKEN
    assert outcome.rows[1].unreadable == tuple(BROKEN)
    assert outcome.to_dict()["unreadable"] == list(outcome.unreadable)


@pytest.mark.fault("numbers: images that cannot be read")
def test_what_a_run_was_trained_without_is_named(tmp_path):
    make_shapes(tmp_path / "data", {"train": 40, "val": 2, "test": 2})
    (tmp_path / "shapes.toml").write_text(TOML.replace("per_class = 3", "per_class = 40"))
    truncate(tmp_path / "data" / "train" / "red-0.png")
    code, _, told = reproduce(tmp_path, tmp_path / "out", *PART)
    assert code == 0, told
    assert "train/red-0.png: " in told
    assert "none-0 was trained without 1 image that could not be read" in told
