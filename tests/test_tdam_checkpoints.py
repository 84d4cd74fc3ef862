import argparse

import pytest
import reference_tdam
import timm
import torch
import torchvision

from tdam import create_model, load_checkpoint, save_checkpoint

PUBLISHED = "resnet18_t2_m2_joint"


def save(path, state, **rest):
    torch.save({"state_dict": state, **rest}, path)
    return path


@pytest.fixture(scope="module")
def published():
    return reference_tdam.state_dict(PUBLISHED)


def test_a_trainer_s_file(tmp_path, published):
    """Prefix, arguments, optimizer and all, as timm's trainer writes them."""
    state = {f"module.{key}": tensor for key, tensor in published.items()}
    path = save(
        tmp_path / "model_best.pth.tar",
        state,
        arch="tdresnet18",
        epoch=98,
        metric=72.1,
        version=2,
        optimizer={"state": {}, "param_groups": [{"lr": 0.1}]},
        args=argparse.Namespace(lr=0.4, model="tdresnet18"),
        amp_scaler={"scale": 65536.0},
    )
    model, info = load_checkpoint(path, num_classes=1000)
    assert (info.epoch, info.metric, info.source) == (98, 72.1, "published")
    told = {key: info.settings[key] for key in ("name", "attention", "steps", "distance")}
    assert told == {"name": "resnet18", "attention": "tdam", "steps": 2, "distance": 2}
    assert torch.equal(model.layer4[0].bn2.weight, published["layer4.0.bn2.weight"])
    assert torch.equal(
        model.layer4[0].top_down.norms[0]["bn2"].weight, published["layer4.0.bn2_1.weight"]
    )


def test_joint_and_joint_sum_are_told_apart(tmp_path, published):
    state = dict(published)
    for key in state:
        if key.endswith("Ug_mlp.0.weight"):
            state[key] = state[key][:, : state[key].shape[1] // 2]
    _, info = load_checkpoint(save(tmp_path / "w.pth", state))
    assert info.settings["searchlight"] == "joint_sum"


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_large"])
def test_plain_files_of_torchvision(tmp_path, name):
    twin = torchvision.models.get_model(name, weights=None, num_classes=7).eval()
    torch.save(twin.state_dict(), tmp_path / "w.pth")
    model, info = load_checkpoint(tmp_path / "w.pth")
    assert (info.source, info.settings["name"], info.settings["num_classes"]) == ("plain", name, 7)
    x = torch.rand(1, 3, 64, 64)
    assert torch.equal(model(x), twin(x))


@pytest.mark.parametrize(
    ("timm_name", "name"),
    [("resnet18", "resnet18"), ("tf_efficientnet_lite0", "efficientnet_lite0")],
)
def test_plain_files_of_timm(tmp_path, timm_name, name):
    twin = timm.create_model(timm_name, num_classes=7).eval()
    torch.save(twin.state_dict(), tmp_path / "w.pth")
    model, info = load_checkpoint(tmp_path / "w.pth")
    assert info.settings["name"] == name
    x = torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(model(x), twin(x))


def test_plain_files_take_up_attention(tmp_path):
    twin = torchvision.models.resnet18(num_classes=7).eval()
    torch.save(twin.state_dict(), tmp_path / "w.pth")
    model = create_model("resnet18", num_classes=7, attention="tdam", weights=tmp_path / "w.pth")
    x = torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(model(x), twin(x))


SETTINGS = [
    {"attention": "tdam", "steps": 3, "distance": 0, "order": "spatial"},
    {"attention": "tdam", "steps": 1, "searchlight": "top"},
    {"attention": "cbam", "output_stride": 16, "dilated": False},
    {"attention": None},
]


@pytest.mark.parametrize("settings", SETTINGS)
def test_our_own_files_tell_everything(tmp_path, settings):
    torch.manual_seed(0)
    model = create_model("efficientnet_lite0", num_classes=4, **settings)
    path = save_checkpoint(model, tmp_path / "w.safetensors")
    again, info = load_checkpoint(path)
    assert (info.source, info.settings) == ("wsol-tdam", model.settings)
    x = torch.rand(1, 3, 64, 64)
    assert torch.equal(again(x), model(x))
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]


def test_misfits_are_listed_one_by_one(tmp_path, published):
    state = dict(published)
    state["layer4.0.extra"] = state.pop("layer4.0.bn1.bias")
    state["layer4.1.bn1_1.weight"] = state["layer4.1.bn1_1.weight"][:5]
    del state["layer3.0.RA_block.Ug_mlp.0.weight"]
    message = r"nearest is resnet18, tensors 1 missing \(layer4.0.bn1.bias\); 1 unexpected"
    with pytest.raises(ValueError, match=message):
        load_checkpoint(save(tmp_path / "w.pth", state))
    state["layer4.0.bn1.bias"] = state.pop("layer4.0.extra")
    message = (
        r"1 missing \(layer3.0.top_down.attention.to_bottom.weight\); 1 of another shape "
        r"\(layer4.1.top_down.norms.0.bn1.weight is \(5,\), expected \(512,\)\)"
    )
    with pytest.raises(ValueError, match=message):
        load_checkpoint(save(tmp_path / "w.pth", state))


def test_a_wrong_number_of_classes_says_what_to_pass(tmp_path, published):
    with pytest.raises(ValueError, match=r"10 classes but .* has 1000; pass num_classes=1000"):
        load_checkpoint(save(tmp_path / "w.pth", published), num_classes=10)


def test_what_cannot_be_told_has_to_be_given(tmp_path, published):
    state = {k: v for k, v in published.items() if "bn1_1" not in k and "bn2_1" not in k}
    path = save(tmp_path / "w.pth", state)
    with pytest.raises(ValueError, match="T and m cannot be told; pass steps=1"):
        load_checkpoint(path)
    model, _ = load_checkpoint(path, steps=1, distance=2)
    assert (model.settings["steps"], model.settings["distance"]) == (1, 2)


def test_foreign_networks_are_refused(tmp_path):
    torch.save({"a.weight": torch.ones(3)}, tmp_path / "w.pth")
    with pytest.raises(ValueError, match="no classifier of theirs is in the file"):
        load_checkpoint(tmp_path / "w.pth")


def test_other_suffixes_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"ends in \.safetensors"):
        save_checkpoint(create_model("resnet18"), tmp_path / "w.pth")
