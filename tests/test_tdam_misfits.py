"""Weights that fit no network, or name a map layer that is none: one short line names the file."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file

from tdam import create_model, load_checkpoint, save_checkpoint
from tdam.weights import WeightsError


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return create_model("resnet18", num_classes=3)


@pytest.fixture
def photo(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def change(network, path, state=None, **learned):
    """Save a network, with other tensors or with other things learned."""
    save_checkpoint(network, path)
    with safe_open(path, "pt") as file:
        told = json.loads(file.metadata()["wsol-tdam"])
    told["learned"].update(learned)
    tensors = network.state_dict() if state is None else state
    save_file(tensors, path, {"wsol-tdam": json.dumps(told)})
    return path


MISFITS = "input: weights that do not fit a network"


@pytest.mark.fault(MISFITS)
def test_misfits_are_counted_and_few_named(network, tmp_path, photo, run):
    state = {name: t for name, t in network.state_dict().items() if "layer2" not in name}
    state |= {f"extra.{i}": torch.zeros(2) for i in range(9)} | {"bn1.bias": torch.zeros(3)}
    path = change(network, tmp_path / "w.safetensors", state)
    with pytest.raises(ValueError, match="30 missing") as caught:
        load_checkpoint(path)
    assert str(caught.value) == (
        f"{path}: weights do not fit the network: tensors 30 missing (layer2.0.conv1.weight, "
        "layer2.0.bn1.weight, layer2.0.bn1.bias, ...); 9 unexpected (extra.0, extra.1, extra.2, "
        "...); 1 of another shape (bn1.bias is (3,), expected (64,))"
    )
    flags = (("--checkpoint", path), ("--model", "resnet18", "--weights", path))
    for each in flags:
        code, out, err = run("predict", photo, *each)
        assert (code, out, len(err.splitlines())) == (2, "", 1)
        assert err.count("30 missing") == err.count(str(path)) == 1


@pytest.mark.fault(MISFITS)
@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_files_of_strangers_are_named(network, tmp_path, suffix):
    state = network.state_dict()
    state["layer1.0.conv1.weight"] = torch.zeros(1)
    path = tmp_path / f"w.{suffix}"
    save = torch.save if suffix == "pt" else save_file
    save(state, path)
    with pytest.raises(ValueError, match=r"nearest is resnet18, tensors 1 of another") as caught:
        load_checkpoint(path)
    assert str(caught.value).startswith(f"{path}: ")
    with pytest.raises(ValueError, match=r"fit the network: tensors 1 of another") as caught:
        create_model("resnet18", num_classes=3, weights=path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "new_head" not in str(caught.value)


LAYERS = "input: a layer that a file of weights names"


@pytest.mark.fault(LAYERS)
@pytest.mark.parametrize("method", ["layercam", "scorecam"])
@pytest.mark.parametrize(
    ("layer", "told"),
    [
        ("avgpool", "one pixel"),
        ("fc", "puts out (N, C, h, w)"),
        ("nolayer", "a module of the network"),
    ],
)
def test_layers_without_maps_are_refused_at_loading(network, tmp_path, layer, told, method):
    path = change(network, tmp_path / "w.safetensors", map_layer=layer, method=method)
    with pytest.raises(WeightsError) as caught:
        load_checkpoint(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert told in str(caught.value)


@pytest.mark.fault(LAYERS)
@pytest.mark.slow
@pytest.mark.parametrize("command", ["predict", "shift", "evaluate"])
def test_commands_refuse_such_a_layer_in_one_line(network, tmp_path, photo, run, objects, command):
    path = change(network, tmp_path / "w.safetensors", map_layer="avgpool", method="layercam")
    source = objects if command == "evaluate" else photo
    extra = ("--out", tmp_path / "out") if command == "shift" else ()
    code, _, err = run(command, source, "--checkpoint", path, *extra)
    assert (code, len(err.splitlines())) == (1, 1)
    assert "one pixel" in err


@pytest.mark.fault(LAYERS)
def test_other_layers_are_taken(network, tmp_path):
    path = change(network, tmp_path / "w.safetensors", map_layer="layer3", method="layercam")
    assert load_checkpoint(path)[0].spec.map_layer == "layer3"
    light = create_model("resnet18", attention="tdam", steps=2, num_classes=2)
    for layer in ("layer4.1.conv2", "layer4.1.bn2", "layer4.0", "layer2"):
        light.spec = replace(light.spec, map_layer=layer)
        save_checkpoint(light, path)
        assert load_checkpoint(path)[0].spec.map_layer == layer
