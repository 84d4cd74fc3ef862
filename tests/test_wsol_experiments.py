"""Experiment files: those that come along, and what is refused."""

import hashlib
from dataclasses import replace

import pytest
import torch

from wsol.benchmarking.departures import list_departures, list_strange_weights
from wsol.benchmarking.experiment_files import load_experiment
from wsol.benchmarking.experiment_names import list_experiments
from wsol.benchmarking.plan import Task
from wsol.benchmarking.runs import weights_to_score
from wsol.training.train import prepare_recipe


def test_experiments_that_come_along():
    names = list_experiments()
    assert names == [
        *("cub10_lite0", "cub10_methods", "cub_resnet50", "cub_wsoleval"),
        *("ilsvrc_resnet50_wsoleval", "imagenet10_lite0"),
        *("imagenet10_resnet50", "imagenet_published", "imagenet_resnet50"),
        *("tiny200_resnet18", "tiny200_resnet50"),
    ]
    published = load_experiment("imagenet_published")
    files = [each.checkpoint for each in published.models if each.recipe.attention == "tdam"]
    assert files == [f"{{weights}}/TD_RNet{part}_joint.pth.tar" for part in (
        "18_t2_m2", "34_t2_m2", "50_t2_m1", "101_t2_m1",
    )]  # fmt: skip
    assert {each.checkpoint for each in published.models} == {*files, "imagenet1k_v1"}
    assert published.references["tdam_resnet101"] == published.references["resnet101"]
    for name in set(names) - {"imagenet_published"}:
        experiment = load_experiment(name)
        assert experiment.name == name
        assert experiment.models[0].name == "none"
        assert experiment.models[0].recipe.attention == "none"
        for entry in experiment.models:
            assert prepare_recipe(entry.recipe, torch.device("cpu")).size in (64, 128, 224)
    some = load_experiment("cub10_lite0").select(["none", "t3_m3"], [0])
    assert [(entry.name, seed) for entry, seed in some.runs] == [("none", 0), ("t3_m3", 0)]
    assert load_experiment("imagenet10_lite0").models[0].recipe.per_class == 100


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("[[models]]", "[[modles]]"), "an experiment to have keys among name"),
        (('name = "a"', 'name = "a/b"'), "one of a folder"),
        (("epochs = 1", "epoch = 1"), "a recipe to have keys"),
        (("epochs = 1", "seed = 1"), "seeds apart"),
        (("epochs = 1", 'model = "resnet5"'), "model to be one of"),
        (('name = "a"', 'name = "a"\nattention = "more"'), "attention to be one of"),
        (("seeds = [0]", "seeds = [0, 0]"), "seeds to be different"),
        (('name = "a"', 'name = "a"\nreference = "b"'), "reference among a but got 'b'"),
        (('["val"]', '["best"]'), "thresholds among val"),
        (('["val"]', '[["val"]]'), "thresholds to be a list of texts or numbers"),
        (('choose = "val"', "methods = [1]"), "methods to be a list of texts"),
        (('["val"]', '["val", "own"]'), "own to be the first"),
        (('name = "a"', 'name = "a"\ncheckpoint = "x"\nlr = 1'), "a checkpoint to have keys"),
        (('name = "a"', 'name = "a"\nsha256 = "00"'), "beside a checkpoint alone"),
        (
            ('name = "a"', 'name = "a"\ncheckpoint = "x"\norigin = 1'),
            "to be texts but got 1",
        ),
        (("[scoring]", "[whole]\nimage = 1\n[scoring]"), "whole to have keys among images"),
        (('choose = "val"', 'choose = "test"'), "no part of split"),
        (('choose = "val"', "choose = 3"), "choose to be a text but got 3"),
    ],
)
def test_faults_of_experiments_are_named(tmp_path, change, message):
    text = """
name = "x"
base = "finetune"
seeds = [0]
[recipe]
epochs = 1
[scoring]
thresholds = ["val"]
choose = "val"
[[models]]
name = "a"
"""
    assert change[0] in text
    (tmp_path / "x.toml").write_text(text)
    assert load_experiment(str(tmp_path / "x.toml")).models[0].seeds == (0,)
    (tmp_path / "x.toml").write_text(text.replace(*change))
    with pytest.raises(ValueError, match=message):
        load_experiment(str(tmp_path / "x.toml"))


def test_a_changed_experiment_says_so():
    experiment = load_experiment("cub_resnet50")
    assert list_departures(experiment, 5794, None) == []
    assert list_departures(experiment, 243, None) == [
        "243 images in split test, where it is of 5,794"
    ]
    changed = experiment.change(["epochs=1", "drops=[]"])
    assert {entry.recipe.epochs for entry in changed.models} == {1}
    assert {entry.recipe.lr for entry in changed.models} == {2.3222617e-4}
    assert list_departures(changed.select(["none"]), 5794, None) == [
        "recipe changed by epochs=1, drops=[]"
    ]
    assert experiment.change([]) is experiment


@pytest.mark.parametrize(
    ("name", "models", "left"),
    [
        ("imagenet_resnet50", ["none", "tdam_joint"], [77.51, 78.96]),
        ("cub_resnet50", ["none"], [63.0, 73.2]),
        ("ilsvrc_resnet50_wsoleval", ["none"], [63.7]),
        ("imagenet10_lite0", ["none"], []),  # found by us, with three seeds
    ],
)
def test_values_published_for_one_training_are_of_any_seed(name, models, left):
    one = load_experiment(name).select(models, [0])
    assert [each.value for each in one.expected] == left


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("cub_resnet50", "distance=2", "that all models share but distance"),
        ("cub_resnet50", "seed=1", "that all models share but seed"),
        ("cub_resnet50", "epoch=1", "a recipe to have keys among"),
        ("imagenet_published", "epochs=1", "trains no model"),
        ("imagenet_resnet50", "epochs=1", r"less than epochs \(1\).*; set cooldown=0 beside"),
        ("imagenet_resnet50", "cooldown=160", r"less than epochs \(160\)"),
    ],
)
def test_changes_that_make_no_sense_are_named(name, change, message):
    with pytest.raises(ValueError, match=message):
        load_experiment(name).change([change])


def test_weights_that_are_not_the_named_ones_are_told(tmp_path):
    (entry,) = load_experiment("imagenet_published").select(["resnet50"]).models
    assert weights_to_score(entry, 0, tmp_path) == "imagenet1k_v1"  # to be downloaded
    file = tmp_path / "resnet50-0676ba61.pth"
    file.write_bytes(b"other")
    task = Task(entry, 0, weights_to_score(entry, 0, tmp_path))
    assert task.weights == str(file)
    begins = hashlib.sha256(b"other").hexdigest()[:8]
    told = f"{file.name}: its sha256 begins with {begins}, not with 0676ba61"
    assert list_strange_weights([task], None) == [told]
    mine = replace(entry, checkpoint=str(file), sha256=begins)
    assert list_strange_weights([Task(mine, 0, str(file))], None) == []
