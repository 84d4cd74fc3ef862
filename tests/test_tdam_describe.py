"""What networks that nobody registered want and have, told by one run of them."""

import pytest
import timm
import torch
import torchvision
from torch import nn
from torch.nn.functional import relu

from tdam import create_model, load_checkpoint
from tdam.checkpoints import save_checkpoint
from tdam.describe import find_layers, find_preprocessing, spec_of
from tdam.outputs import find_scores, unwrap
from tdam.preprocessing import Preprocessing

LAYERS = {
    "test_resnet": ("layer4", "fc", True),
    "test_convnext": ("norm_pre", "head.fc", False),
    "test_efficientnet": ("bn2", "classifier", True),
    "test_vit": ("blocks.5.norm1", "head", False),
    "test_byobnet": ("final_conv", "head.fc", True),
}


class Between(nn.Module):
    """A network with a function between its last layer and the pooling, as DenseNet has it."""

    def __init__(self, rectified):
        super().__init__()
        self.body = nn.Conv2d(3, 6, 3, padding=1)
        self.fc = nn.Linear(6, 4)
        self.rectified = rectified

    def forward(self, x):
        features = self.body(x)
        return self.fc((relu(features) if self.rectified else features).mean(dim=(2, 3)))


@pytest.mark.parametrize("name", LAYERS)
def test_layers_are_told(name):
    torch.manual_seed(0)
    model = timm.create_model(name)
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    found = find_layers(model, find_preprocessing(model).size)
    assert (found.pooled, found.classifier, found.cam) == LAYERS[name]
    assert model.training
    assert all(torch.equal(before[key], tensor) for key, tensor in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize("rectified", [False, True])
def test_what_lies_between_is_noticed(rectified):
    found = find_layers(Between(rectified), 32)
    assert (found.pooled, found.classifier, found.cam) == ("body", "fc", not rectified)


def test_a_head_of_zeros_hides_nothing():
    model = Between(rectified=False)
    nn.init.zeros_(model.fc.weight)
    assert find_layers(model, 32).pooled == "body"


def test_a_network_of_two_heads():
    model = timm.create_model("deit_tiny_distilled_patch16_224", depth=2)
    found = find_layers(model)
    assert (found.pooled, found.classifier, found.cam) == ("blocks.1.norm1", "head", False)


def test_input_is_read_off_the_configuration():
    shown = find_preprocessing(timm.create_model("test_vit"))
    half = (0.5, 0.5, 0.5)
    assert shown == Preprocessing(160, half, half, resize=168, interpolation="bicubic")
    assert create_model("torchvision:inception_v3").spec.preprocessing == Preprocessing(
        299, resize=342
    )


def test_all_that_is_missing_is_asked_for_at_once():
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 224 * 224, 4))
    with pytest.raises(ValueError, match=r"preprocessing, .*size=224.* and target_layer, .*no mod"):
        spec_of(model)
    with pytest.raises(ValueError, match="run on images of 32 x 32 pixels failed"):
        spec_of(model, Preprocessing(size=32))


@pytest.mark.parametrize(
    "output",
    [
        torch.tensor([[1.0, 2.0]]),
        (torch.tensor([[1.0, 2.0]]), torch.zeros(1, 3, 4, 4)),
        {"features": torch.zeros(1, 3, 4, 4), "logits": torch.tensor([[1.0, 2.0]])},
    ],
)
def test_scores_are_found(output):
    assert find_scores(output).tolist() == [[1, 2]]


@pytest.mark.parametrize("shape", [(3,), (3, 1)])
def test_one_logit_is_two_classes(shape):
    logit = torch.tensor([-1.0, 0.0, 3.0])
    likely = find_scores(logit.view(shape)).softmax(dim=1)
    torch.testing.assert_close(likely[:, 1], logit.sigmoid())


def test_what_has_no_scores_is_refused():
    with pytest.raises(ValueError, match=r"class scores, \(N, K\), but got \(1, 3, 4, 4\)"):
        find_scores([torch.zeros(1, 3, 4, 4)])
    with pytest.raises(ValueError, match="but got dict"):
        find_scores({})


def test_a_network_is_taken_out_of_its_wrappers():
    model = Between(rectified=False)
    averaged = torch.optim.swa_utils.AveragedModel(model)
    assert unwrap(nn.DataParallel(torch.compile(model))) is model
    assert unwrap(averaged) is averaged.module


@pytest.mark.parametrize("name", ["timm:test_resnet", "torchvision:shufflenet_v2_x0_5"])
def test_a_file_brings_its_network_back(tmp_path, name):
    model = create_model(name, num_classes=3)
    path = save_checkpoint(model, tmp_path / "weights.safetensors")
    again, info = load_checkpoint(path)
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert info.settings["name"] == name
    assert again.spec == model.spec
    assert torch.equal(again(images), model(images))


def test_a_file_does_not_choose_a_large_network(tmp_path):
    model = create_model("timm:test_resnet", num_classes=3)
    for name in ("timm:vit_giant_patch14_224", "timm:hf-hub:someone/network"):
        model.settings["name"] = name
        path = save_checkpoint(model, tmp_path / "weights.safetensors")
        with pytest.raises(ValueError, match=r"weights do not fit|description is at hand"):
            load_checkpoint(path)


def test_names_that_are_none():
    with pytest.raises(ValueError, match=r"timm's networks but got 'timm:resnet_18'; near are .*"):
        create_model("timm:resnet_18")
    with pytest.raises(ValueError, match="but got 'torchvision:fcn_resnet50'"):
        create_model("torchvision:fcn_resnet50")
    with pytest.raises(ValueError, match="output_stride to be 32"):
        create_model("timm:test_resnet", output_stride=16)


def test_attention_in_a_network_of_another_library():
    torch.manual_seed(0)
    model = create_model("timm:resnet10t", attention="tdam", steps=3, num_classes=4)
    images = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        found = model.forward_steps(images)
        torch.testing.assert_close(found.logits[:, -1], model(images))
    assert found.logits.shape == (2, 3, 4)
    assert len(found.searchlights) == 2


def test_torchvisions_networks_are_named():
    names = torchvision.models.list_models(module=torchvision.models)
    assert "swin_t" in names
    assert create_model("torchvision:resnet18").spec.pretrained.startswith("torchvision")
