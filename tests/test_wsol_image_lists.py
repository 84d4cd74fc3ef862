"""The images that weights were made of go where the weights go, or are told to be unknown."""

import json
import shutil

import pytest
from shapes import make_shapes, make_weights
from small_experiments import TOML

from eval.coco import to_coco
from eval.manifest import open_data_set
from eval.splits import take_rows
from tdam import load_checkpoint, save_checkpoint
from tdam.training.recipe import load_recipe
from wsol import benchmark, calibrate, compare, evaluate
from wsol.overlap import OverlapError, of_split
from wsol.training.data import load_training_data
from wsol.training.image_list import (
    list_unknown,
    list_unknown_start,
    read_image_sets,
    write_image_sets,
)

pytestmark = pytest.mark.slow

FAULT = pytest.mark.fault("numbers: weights that lost the list of their images")
SAID = "are not known, so that overlap was not looked for"


@pytest.fixture
def world(tmp_path):
    """A data set, and a folder as a training of its split train leaves it; boxes of split val."""
    data = make_shapes(tmp_path / "data", {"train": 1, "val": 1, "test": 1})
    (tmp_path / "run").mkdir()
    make_weights(load_recipe("finetune").change(size=64), tmp_path / "run" / "model.safetensors")
    training_data = load_training_data(data)
    name = "the training images of run"
    sets = (of_split(training_data.train, "training", training_data.root, name),)
    write_image_sets(tmp_path / "run", sets)
    val = open_data_set(data).load("val")
    (data / "val.json").write_text(json.dumps(to_coco(take_rows(val, [0, 1], "corrected"))))
    return tmp_path


class Told(list):
    """Events that keep what is said."""

    say = list.append

    def __getattr__(self, name):
        return lambda *args, **more: None


def pick(world, weights, out=None, **choices):
    return calibrate(weights, world / "data" / "val.json", out=out, workers=0, **choices)


def refuses(world, weights, split, whose):
    with pytest.raises(OverlapError, match=f"split {split} and the {whose}"):
        evaluate(weights, world / "data", split=split, workers=0)


@FAULT
def test_calibrated_weights_keep_the_list(world):
    deploy = world / "deploy"
    deploy.mkdir()
    first, other = deploy / "w.safetensors", deploy / "other.safetensors"
    pick(world, world / "run", first)
    make_weights(load_recipe("finetune").change(size=64), other)
    refuses(world, first, "train", "training images of run share 3")
    refuses(world, first, "val", "images of val.json share 2")  # which its threshold is picked on
    assert evaluate(first, world / "data", workers=0).to_dict()["overlaps"] == []
    assert evaluate(other, world / "data", workers=0).to_dict()["overlaps"] is None
    pick(world, first)  # in its place
    pick(world, first, deploy / "again.safetensors")
    for name in ("w", "again"):
        refuses(world, deploy / f"{name}.safetensors", "train", "training images of run share 3")
    moved = world / "moved"
    shutil.copytree(deploy, moved)
    (world / "link.safetensors").symlink_to(moved / "w.safetensors")
    refuses(world, world / "link.safetensors", "train", "training images of run")
    shutil.copy(other, moved / "w.safetensors")  # a list that is left over is none of others
    assert read_image_sets(moved / "w.safetensors") == ()


@FAULT
def test_a_run_that_is_calibrated_keeps_its_list(world):
    pick(world, world / "run")
    for weights in (world / "run", world / "run" / "model.safetensors"):
        refuses(world, weights, "train", "training images of run")
        refuses(world, weights, "val", "images of val.json")
    network, _ = load_checkpoint(world / "run")
    save_checkpoint(network, world / "run" / "model.safetensors")
    assert list_unknown(world / "run") == ()


@FAULT
def test_unknown_images_are_told(world, run):
    alone = world / "alone.safetensors"
    shutil.copy(world / "run" / "model.safetensors", alone)
    ask = ("evaluate", world / "data", "--checkpoint", alone, "--workers", 0)
    code, _, err = run(*ask, "--out", world / "out", "--json", world / "a.json")
    assert (code, err.replace("\n", " ").count(SAID)) == (0, 1), err
    for path in (world / "a.json", world / "out" / "scores.json"):
        assert json.loads(path.read_text())["overlaps"] is None
    said = Told()
    runs = {"a": alone, "b": world / "run"}
    outcome = benchmark(
        world / "data", runs, workers=0, thresholds=["oracle"], out=world / "bench",
        report=world / "page", events=said,
    )  # fmt: skip
    assert [row.overlaps for row in outcome.rows] == [None, ()]
    rows = json.loads((world / "bench" / "results.json").read_text())["rows"]
    assert [row["overlaps"] for row in rows] == [None, []]
    assert len([line for line in said if SAID in line]) == 1
    compare(world / "out", world / "out", report=world / "compared", events=said)
    assert len([line for line in said if SAID in line]) == 3
    assert pick(world, alone, world / "new.safetensors", events=said).overlaps is None
    assert SAID in said[-1] or any(str(alone) in line for line in said)
    assert list_unknown(world / "new.safetensors") == (str(alone),)  # by a calibration, nor then
    refuses(world, world / "new.safetensors", "val", "images of val.json")


@FAULT
def test_what_others_trained_is_no_news(world):
    assert list_unknown("efficientnet_lite0_tdam") == ()
    assert list_unknown(None) == list_unknown(world / "none.safetensors") == ()
    assert list_unknown_start(load_recipe("finetune")) == ()


@FAULT
def test_a_training_from_unknown_weights_is_not_all_known(world):
    alone = world / "alone.safetensors"
    shutil.copy(world / "run" / "model.safetensors", alone)
    recipe = load_recipe("finetune").change(weights=str(alone))
    write_image_sets(world / "run", read_image_sets(world / "run"), list_unknown_start(recipe))
    assert list_unknown(world / "run") == (str(alone),)
    refuses(world, world / "run", "train", "training images of run")
    assert evaluate(world / "run", world / "data", workers=0).overlaps is None


@FAULT
def test_an_experiment_tells_of_unknown_images(world, run):
    (world / "shapes.toml").write_text(TOML)
    (world / "weights").mkdir()
    path = world / "weights" / "none-0.safetensors"
    make_weights(load_recipe("finetune").change(size=32), path, ("class 0", "class 1", "class 2"))
    code, _, err = run(
        "reproduce", world / "shapes.toml", "--models", "none", "--seeds", 0, "--workers", 0,
        "--data", world / "data", "--weights", world / "weights", "--out", world / "out",
    )  # fmt: skip
    assert (code, err.replace("\n", " ").count(SAID)) == (0, 1), err
    rows = json.loads((world / "out" / "results.json").read_text())["rows"]
    assert {row["overlaps"] for row in rows} == {None}
