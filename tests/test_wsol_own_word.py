"""Weights that say they are another network than an experiment's model are not scored as it."""

import shutil

import pytest
from shapes import make_shapes, make_weights
from small_experiments import TOML, read_rows, reproduce

from wsol.benchmarking.experiment_files import load_experiment


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Data, an experiment, and weights that are what it says."""
    home = tmp_path_factory.mktemp("word")
    make_shapes(home / "data")
    names = "label,name\n0,blue\n1,red\n2,green\n"
    (home / "data" / "manifest" / "classes.csv").write_text(names)
    (home / "shapes.toml").write_text(TOML)
    (home / "weights").mkdir()
    for entry, seed in load_experiment(str(home / "shapes.toml")).runs:
        path = home / "weights" / f"{entry.name}-{seed}.safetensors"
        make_weights(entry.recipe.change(seed=seed), path)
    return home


OTHERS = {
    "attention": ({"attention": "none"}, "attention 'tdam'", "says 'none'"),
    "steps": ({"steps": 3}, "steps 2", "says 3"),
    "m": ({"distance": 2}, "distance 1", "says 2"),
    "searchlight": ({"searchlight": "top"}, "searchlight 'joint'", "says 'top'"),
    "size": ({"size": 64}, "size 32", "says 64"),
    "model": (
        {"model": "resnet18", "weights": "random"},
        "name 'efficientnet_lite0'",
        "says 'resnet18'",
    ),
}


@pytest.mark.slow
@pytest.mark.fault("numbers: weights of another model")
def test_weights_of_another_network_are_refused_by_name(world, tmp_path, record_property):
    (tmp_path / "data").symlink_to(world / "data")
    recipe = load_experiment(str(world / "shapes.toml")).models[1].recipe.change(seed=1)
    flags = ("--weights", tmp_path / "weights", "--seeds", 1)
    for number, (changes, wanted, said) in enumerate(OTHERS.values()):
        shutil.copytree(world / "weights", tmp_path / "weights", dirs_exist_ok=True)
        path = tmp_path / "weights" / "tdam_joint-1.safetensors"
        make_weights(recipe.change(**changes), path)
        out = tmp_path / f"out{number}"
        code, _, told = reproduce(tmp_path, out, *flags, text=TOML)
        line = next(each for each in told.splitlines() if each.startswith("failed: tdam_joint-1"))
        assert code == 1
        assert all(part in line for part in (str(path), wanted, said)), line
        assert {model for model, _ in read_rows(out)} == {"none"}
    record_property("tried", len(OTHERS))


@pytest.mark.slow
@pytest.mark.fault("numbers: weights of another model")
@pytest.mark.parametrize("names", [("red", "blue", "green"), ("blue", "red", "green", "pink")])
def test_weights_of_other_classes_are_refused(world, tmp_path, names):
    (tmp_path / "data").symlink_to(world / "data")
    shutil.copytree(world / "weights", tmp_path / "weights")
    recipe = load_experiment(str(world / "shapes.toml")).models[0].recipe
    make_weights(recipe, tmp_path / "weights" / "none-0.safetensors", names)
    flags = ("--weights", tmp_path / "weights", "--models", "none")
    code, _, told = reproduce(tmp_path, tmp_path / "out", *flags, text=TOML)
    line = next(each for each in told.splitlines() if each.startswith("failed: none-0"))
    assert (code, "none-0.safetensors" in line, "class" in line) == (1, True, True), line


@pytest.mark.slow
@pytest.mark.fault("numbers: weights of another model")
def test_what_stands_beside_a_checkpoint_counts(world, tmp_path):
    """Weights that the experiment names are scored as they are, unless it says what they are."""
    (tmp_path / "data").symlink_to(world / "data")
    shutil.copytree(world / "weights", tmp_path / "weights")
    head = TOML.split("[[models]]")[0]
    named = f'{head}[[models]]\nname = "a"\ncheckpoint = "weights/tdam_joint-1.safetensors"\n'
    code, _, told = reproduce(tmp_path, tmp_path / "out", text=named)
    assert code == 0, told
    code, _, told = reproduce(tmp_path, tmp_path / "no", text=f"{named}steps = 3\n")
    assert (code, "expected steps 3" in told, "says 2" in told) == (1, True, True), told
