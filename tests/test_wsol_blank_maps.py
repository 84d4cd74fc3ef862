"""Maps that show nothing, and a slow method that a file asks for: each is told in one line."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from small_objects import boxed, fill

from eval.coco import to_coco
from tdam import create_model, save_checkpoint
from wsol.maps.names import explain_method

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("blank") / "data"
    fill(folder, 1)
    (folder.parent / "coco.json").write_text(json.dumps(to_coco(boxed(folder))))
    return folder


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return create_model("resnet18", num_classes=3)


@pytest.fixture(scope="module")
def blank(tmp_path_factory, network):
    """Weights whose last features are zero everywhere."""
    model = create_model("resnet18", num_classes=3)
    model.load_state_dict(network.state_dict())
    with torch.no_grad():
        for name in ("bn1", "bn2"):
            for part in (model.layer4[1].get_submodule(name), model.layer4[0].get_submodule(name)):
                part.weight.zero_()
                part.bias.zero_()
        model.layer4[0].downsample[1].weight.zero_()
    return save_checkpoint(model, tmp_path_factory.mktemp("weights") / "blank.safetensors")


BLANK = "numbers: weights whose maps show nothing"
TOLD = "maps are constant, and so without a box"


@pytest.mark.fault(BLANK)
@pytest.mark.parametrize("command", ["predict", "files", "shift", "evaluate", "resumed"])
def test_constant_maps_are_told_once(command, data, blank, network, run, tmp_path):
    whole = save_checkpoint(network, tmp_path / "whole.safetensors")
    coco, out = data.parent / "coco.json", tmp_path / "out"
    commands = {
        "predict": ("predict", data),
        "files": ("predict", data, "--format", "csv", "--out", out),
        "resumed": ("predict", data, "--format", "csv", "--out", out),
        "shift": ("shift", data, "--out", out),
        "evaluate": ("evaluate", coco, "--root", data, "--out", out),
    }
    code, _, err = run(*commands[command], "--checkpoint", blank)
    assert (code, err.count(f"all 3 {TOLD}")) == (0, 1), err
    if command == "resumed":
        code, _, err = run(*commands[command], "--checkpoint", blank, "--resume")
        assert (code, err.count(f"all 3 {TOLD}")) == (0, 1), err
    code, _, err = run(*commands[command], "--checkpoint", whole, *(["--force"] * out.exists()))
    assert (code, TOLD in err) == (0, False), err


@pytest.mark.fault(BLANK)
def test_blank_maps_on_disk_are_told(data, run, tmp_path):
    for path in data.rglob("*.png"):
        file = tmp_path / "maps" / f"{path.relative_to(data)}.npy"
        file.parent.mkdir(parents=True, exist_ok=True)
        np.save(file, np.zeros((224, 224)))
    code, _, err = run("evaluate", data.parent / "coco.json", "--maps", tmp_path / "maps")
    assert (code, err.count(TOLD)) == (0, 1), err


@pytest.mark.fault("input: a slow method that a file of weights asks for")
@pytest.mark.parametrize("command", ["predict", "shift"])
def test_a_slow_method_of_a_file_is_told(command, network, tmp_path, run):
    spec = network.spec
    network.spec = replace(
        spec, method="scorecam", preprocessing=replace(spec.preprocessing, size=32)
    )
    path = save_checkpoint(network, tmp_path / "w.safetensors")
    assert "by scorecam" in explain_method("auto", network)
    network.spec = spec
    Image.fromarray(np.eye(32, dtype=np.uint8) * 255).save(tmp_path / "a.png")
    extra = ("--out", tmp_path / "out") if command == "shift" else ()
    for method, told in (("auto", 1), ("layercam", 0)):
        flags = ("--checkpoint", path, "--method", method, *extra)
        code, _, err = run(command, tmp_path / "a.png", *flags)
        assert (code, err.count("maps by scorecam"), "--method" in err) == (0, told, told == 1), err
        extra = ("--out", tmp_path / "other") if command == "shift" else ()
    assert explain_method("scorecam", network) == ""


@pytest.mark.fault("numbers: files that leave something out")
def test_evaluate_says_what_a_format_leaves_out(data, network, run, tmp_path):
    network.class_names = ("a:b", "red", "green")
    path = save_checkpoint(network, tmp_path / "w.safetensors")
    network.class_names = None
    (tmp_path / "classes.csv").write_text("label,imagenet1k_index\n0,0\n1,1\n2,2\n")
    flags = ("--root", data, "--checkpoint", path, "--out", tmp_path / "out", "--format", "voc",
             "--classes", tmp_path / "classes.csv")  # fmt: skip
    code, _, err = run("evaluate", data.parent / "coco.json", *flags)
    assert (code, err.count("without voc/labelmap.txt")) == (0, 1), err


@pytest.mark.fault("input: maps on disk that cannot be scored")
def test_maps_that_are_missing_are_counted_and_few_named(data, run, tmp_path):
    folder = tmp_path / "maps"
    folder.mkdir()
    for number in range(9):
        np.save(folder / f"stray{number}.npy", np.zeros((224, 224)))
    code, _, err = run("evaluate", data.parent / "coco.json", "--maps", folder)
    assert (code, len(err.splitlines())) == (1, 1)
    assert all(f"{kind}: " in err for kind in ("3 maps missing", "9 maps of no image"))
    assert (err.count("expected a map"), "and 6 more" in err, "--allow-missing" in err) == (
        *(3, True, True),
    )


@pytest.mark.parametrize("home", [".", "maps"])
def test_maps_of_predict_are_named_as_such(data, run, tmp_path, home):
    folder = tmp_path / "maps"
    folder.mkdir()
    np.save(folder / "stray.npy", np.zeros((1, 7, 7)))
    code, _, err = run("evaluate", data.parent / "coco.json", "--maps", folder)
    assert (code, "1 map of no image: " in err, "predict --format npy" in err) == (1, True, False)
    (tmp_path / home / "maps.csv").touch()
    code, _, err = run("evaluate", data.parent / "coco.json", "--maps", folder)
    assert (code, "1 map of no image, as `wsol predict --format npy` names" in err) == (1, True)
