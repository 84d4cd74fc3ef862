"""Weights in several files, of which an index tells, and indexes that lie."""

import json

import pytest
import torch
from huggingface_hub import save_torch_state_dict
from safetensors.torch import load_file, save_file
from trainer_files import SAVED, check_equal, make

from tdam import create_model, load_checkpoint, save_checkpoint
from tdam.weights import WeightsError


@pytest.fixture(scope="module")
def twin():
    return make(0)


@pytest.fixture
def shards(tmp_path, twin):
    """Folder of weights in several files, as a hub's library writes it."""

    def write(safe=True, state=None):
        folder = tmp_path / "shards"
        folder.mkdir()
        tensors = twin.state_dict() if state is None else state
        save_torch_state_dict(tensors, folder, max_shard_size="8MB", safe_serialization=safe)
        assert len(list(folder.iterdir())) > 3
        return folder

    return write


INDEX = {True: "model.safetensors.index.json", False: "pytorch_model.bin.index.json"}


@pytest.mark.parametrize("safe", [True, False])
@pytest.mark.parametrize("name", ["state dict", "parallel, compiled"])
def test_weights_in_several_files(shards, twin, safe, name):
    folder = shards(safe, dict(SAVED[name](twin)))
    check_equal(folder / INDEX[safe], twin)
    check_equal(folder, twin)


def test_the_result_of_a_training_goes_first(shards, tmp_path):
    folder = shards()
    save_checkpoint(create_model("efficientnet_lite0", num_classes=2), folder / "model.safetensors")
    assert load_checkpoint(folder)[1].settings["name"] == "efficientnet_lite0"
    (folder / "model.safetensors").unlink()
    (folder / INDEX[True]).unlink()
    with pytest.raises(WeightsError, match=r"shards/model\.safetensors: no such file"):
        load_checkpoint(folder)


def break_index(folder, change):
    path = folder / INDEX[True]
    content = json.loads(path.read_text())
    path.write_text(json.dumps(change(content)))
    return path


def move(text):
    def change(content):
        content["weight_map"]["conv1.weight"] = text
        return content

    return change


PARTS = ("model-00001-of", "model-00002-of")


@pytest.mark.fault("input: weights in several files")
@pytest.mark.parametrize(
    "elsewhere",
    ["../w.pt", "/etc/passwd", "..", "", ".", "a/b", "a\\b", "C:x", "a\x00b", None, 7, ["a"]],
)
def test_an_index_names_files_beside_it_alone(shards, elsewhere):
    path = break_index(shards(), move(elsewhere))
    message = "name of a file in the same folder for 'conv1.weight' but got"
    with pytest.raises(WeightsError, match=message) as caught:
        load_checkpoint(path)
    assert str(caught.value).isprintable()


@pytest.mark.fault("input: weights in several files")
@pytest.mark.parametrize("name", ["itself", "a file", "listed", "absent", "twice", "no map", "[]"])
def test_broken_indexes_are_refused_by_name(shards, name):
    folder = shards()
    first = next(iter(sorted(folder.glob("*-00001-of-*"))))
    last = sorted(folder.glob("*-of-*"))[-1]
    if name == "itself":
        path, message = break_index(folder, move(INDEX[True])), "name of a file in the same folder"
    elif name == "a file":
        path, message = folder / INDEX[True], f"it lists {first.name}, which is not there"
        first.unlink()
    elif name == "listed":

        def drop(content):
            content["weight_map"].pop("conv1.weight")
            return content

        path, message = break_index(folder, drop), "holds 'conv1.weight', which is not listed"
    elif name == "absent":
        path, message = folder / INDEX[True], "lacks 1 of the tensors listed of it, such as"
        state = load_file(last)
        state.popitem()
        save_file(state, last)
    elif name == "twice":
        path, message = folder / INDEX[True], r"every tensor once but 'conv1\.weight' is in .*-of-"
        save_file({**load_file(last), "conv1.weight": torch.zeros(1)}, last)
    elif name == "no map":
        path, message = (
            break_index(folder, lambda content: {"metadata": {}}),
            "expected a weight_map",
        )
    else:
        path, message = break_index(folder, lambda content: []), "expected a weight_map"
    with pytest.raises(WeightsError, match=message) as caught:
        load_checkpoint(path)
    assert str(caught.value).startswith(str(path))


@pytest.mark.fault("input: weights in several files")
def test_a_broken_part_is_named(shards):
    folder = shards()
    part = sorted(folder.glob("*-of-*"))[1]
    part.write_bytes(part.read_bytes()[:-100])
    with pytest.raises(WeightsError, match=part.name):
        load_checkpoint(folder)
