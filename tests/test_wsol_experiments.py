"""Experiment files: those that come along, and what is refused."""

import pytest
import torch

from wsol.benchmarking.experiment_files import list_experiments, load_experiment
from wsol.training.train import prepare_recipe


def test_experiments_that_come_along():
    names = list_experiments()
    assert names == [
        *("cub10_lite0", "cub_resnet50", "ilsvrc_resnet50_wsoleval", "imagenet10_lite0"),
        *("imagenet10_resnet50", "imagenet_published", "imagenet_resnet50"),
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
            assert prepare_recipe(entry.recipe, torch.device("cpu")).size in (128, 224)
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
