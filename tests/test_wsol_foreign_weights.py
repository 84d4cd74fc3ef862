"""A run's list of images counts for the weights that the run wrote, and for no others."""

import shutil
from dataclasses import replace

import pytest
from shapes import make_shapes

from tdam import create_model, load_checkpoint, save_checkpoint
from tdam.shipped_weights import shipped_path
from tdam.training.run_folder import HASHES, RunFolder
from wsol import evaluate, train
from wsol.overlap import OverlapError, of_split
from wsol.training.data import load_training_data
from wsol.training.image_list import list_unknown, read_image_sets, write_image_sets

FAULT = pytest.mark.fault("numbers: weights take over the list of another run")
SAID = "are not known, so that overlap was not looked for"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs as trainings of other images leave them, without their data."""
    home = tmp_path_factory.mktemp("runs")
    for name in ("one", "two"):
        data = load_training_data(make_shapes(home / f"data {name}", {"train": 1, "val": 1}))
        network = create_model("efficientnet_lite0", num_classes=3)
        network.class_names = data.class_names
        RunFolder(home / name).path.mkdir()
        RunFolder(home / name).save_result(network)
        (home / name / "checkpoints" / "step-000000001").mkdir(parents=True)
        write_image_sets(home / name, (of_split(data.train, "training", data.root, name),))
    return home


@FAULT
@pytest.mark.parametrize("name", ["model.safetensors", "a.safetensors", "checkpoint", "link"])
def test_weights_of_another_run_have_no_list(runs, tmp_path, name):
    run = shutil.copytree(runs / "one", tmp_path / "run")
    weights = run / name
    if name == "checkpoint":
        weights = run / "checkpoints" / "step-000000001" / "model.safetensors"
    if name == "link":  # whose own run is where it leads to
        weights.symlink_to(runs / "two")
        assert [each.name for each in read_image_sets(weights)] == ["two"]
        return
    shutil.copy(runs / "two" / "model.safetensors", weights)
    ways = [weights, *([run] if name == "model.safetensors" else [])]
    for way in ways:
        assert (read_image_sets(way), list_unknown(way)) == ((), (str(way),))


@FAULT
def test_a_link_in_another_run_is_of_its_own(runs, tmp_path):
    run = shutil.copytree(runs / "one", tmp_path / "run")
    (run / "model.safetensors").unlink()
    (run / "model.safetensors").symlink_to(runs / "two" / "model.safetensors")
    assert [each.name for each in read_image_sets(run)] == ["two"]


@FAULT
def test_weights_that_were_changed_elsewhere_have_no_list(runs, tmp_path):
    run = shutil.copytree(runs / "one", tmp_path / "run")
    network, _ = load_checkpoint(run)
    network.threshold = 0.42  # as picked on images that are not listed
    save_checkpoint(network, run / "model.safetensors")
    assert (read_image_sets(run), list_unknown(run)) == ((), (str(run),))


def test_a_run_knows_its_own_under_any_name(runs, tmp_path):
    run = shutil.copytree(runs / "one", tmp_path / "run")
    shutil.copy(run / "model.safetensors", run / "best.safetensors")
    (tmp_path / "link").symlink_to(run)
    for way in (
        run,
        run / "best.safetensors",
        tmp_path / "link",
        tmp_path / "link/best.safetensors",
    ):
        assert [each.name for each in read_image_sets(way)] == ["one"]
        assert list_unknown(way) == ()


def test_a_run_of_before_goes_by_names(runs, tmp_path):
    run = shutil.copytree(runs / "one", tmp_path / "run")
    (run / HASHES).unlink()
    shutil.copy(run / "model.safetensors", run / "best.safetensors")
    assert [each.name for each in read_image_sets(run)] == ["one"]
    assert list_unknown(run / "best.safetensors") == (str(run / "best.safetensors"),)
    network, _ = load_checkpoint(run)
    RunFolder(run).save_result(network)  # it goes on
    assert [each.name for each in read_image_sets(run / "best.safetensors")] == ["one"]


@FAULT
@pytest.mark.parametrize("change", ["threshold", "threshold and method", "none", "name"])
def test_calibrated_weights_of_the_package_are_unknown_alone(tmp_path, change):
    weights = tmp_path / "x.safetensors"
    network, _ = load_checkpoint("efficientnet_lite0_tdam")
    if "threshold" in change:  # as `calibrate` writes it
        network.threshold = 0.25
    if "method" in change:
        network.spec = replace(network.spec, method="cam")
    if change == "name":
        shutil.copy(shipped_path("efficientnet_lite0_tdam"), weights)
    else:
        save_checkpoint(network, weights)
    assert list_unknown(weights) == ((str(weights),) if "threshold" in change else ())


@FAULT
def test_weights_of_others_are_unknown_once_calibrated(tmp_path):
    weights = tmp_path / "x.safetensors"
    network = create_model("efficientnet_lite0", num_classes=3)
    save_checkpoint(network, weights)
    assert list_unknown(weights) == ()
    network.threshold = 0.25
    save_checkpoint(network, weights)
    assert list_unknown(weights) == (str(weights),)


@pytest.mark.slow
@FAULT
def test_trained_runs_and_the_command(tmp_path, run):
    data = make_shapes(tmp_path / "data", {"train": 2, "val": 1, "test": 1})
    choices = {"size": 64, "epochs": 1, "batch_size": 4, "weights": "random", "device": "cpu"}
    choices |= {"model": "efficientnet_lite0", "freeze_norms": False, "workers": 0}
    one = train(data, tmp_path / "one", seed=1, pick_threshold=True, **choices).weights
    two = train(data, tmp_path / "two", seed=2, **choices).weights
    ways = [one, tmp_path / "one", *(tmp_path / "one").glob("checkpoints/*")]
    ways += (tmp_path / "one").glob("checkpoints/*/average.safetensors")
    assert len(ways) > 2
    for way in ways:
        with pytest.raises(OverlapError, match="training images of one share 6"):
            evaluate(way, data, split="train", workers=0)
    mixed = shutil.copytree(tmp_path / "one", tmp_path / "mixed")
    for name in ("a.safetensors", "model.safetensors"):
        shutil.copy(two, mixed / name)
        ask = ("evaluate", data, "--checkpoint", mixed / name, "--workers", 0)
        code, _, err = run(*ask)
        assert (code, err.replace("\n", " ").count(SAID)) == (0, 1), err
