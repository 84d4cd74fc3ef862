"""A layer that acts in training only, behind whole blocks, with or without attention."""

import copy

import pytest
import torch
from small_training import SMALL, Noise, count_weights
from torch import nn

from tdam import attach_top_down, create_model, load_checkpoint, save_checkpoint
from tdam.regularizers import REGULARIZERS
from tdam.training import train

TDAM = {"attention": "tdam", "distance": 2, "steps": 3}


class Drop(nn.Module):
    """Drops the strongest pixels, and notes what it sees."""

    def __init__(self, channels):
        super().__init__()
        self.channels = channels
        self.seen = []

    def forward(self, x):
        assert x.shape[1] == self.channels
        assert x.min() >= 0  # it comes after the activation
        if not self.training:
            self.seen.append(x.shape[0])
            return x
        strength = x.mean(dim=1, keepdim=True)
        return x * (strength < 0.8 * strength.amax(dim=(2, 3), keepdim=True))


class Scale(nn.Module):
    """Has a parameter, and in evaluation no say."""

    def __init__(self, channels):
        super().__init__()
        self.weight = nn.Parameter(torch.full((1, channels, 1, 1), 0.5))

    def forward(self, x):
        return x * self.weight if self.training else x


def tiny(name="resnet18", **settings):
    torch.manual_seed(0)
    return create_model(name, num_classes=5, **settings)


def images(count=2):
    return torch.rand(count, 3, 64, 64, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("layer", [Drop, Scale])
@pytest.mark.parametrize("settings", [{}, TDAM, {"attention": "se"}])
def test_beside_attention(tmp_path, layer, settings):
    without = tiny(**settings)
    path = save_checkpoint(without, tmp_path / "without.safetensors")
    ours, info = load_checkpoint(path, regularizer=layer)
    assert info.settings["regularized"] == ["layer3.1", "layer4.1"]
    assert info.settings["regularizer"] == layer.__name__
    added = set(ours.state_dict()) - set(without.state_dict())
    names = {"layer3.1.after_block.weight", "layer4.1.after_block.weight"}
    assert added == (names if layer is Scale else set())
    assert set(without.state_dict()) <= set(ours.state_dict())
    with torch.no_grad():
        assert torch.equal(ours(images()), without(images()))
        steps, wanted = ours.forward_steps(images()), without.forward_steps(images())
        assert torch.equal(steps.logits, wanted.logits)
        assert not torch.allclose(ours.train()(images()), without.train()(images()), atol=1e-3)
    assert ours.searchlight_blocks() == without.searchlight_blocks()
    assert ours.count_steps() == without.count_steps()
    assert ours.top_down_blocks() == without.top_down_blocks()


def test_every_step_passes_the_layer():
    model = tiny(**TDAM, regularizer=Drop, regularized=["layer3.0", "layer4.1"])
    with torch.no_grad():
        model.forward_steps(images())
    assert model.layer3[0].after_block.seen == [2]
    assert model.layer4[1].after_block.seen == [6]
    with torch.no_grad():
        model(images())
    assert model.layer4[1].after_block.seen == [6, 2]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["efficientnet_lite0", "mobilenet_v3_large", "vgg16"])
@pytest.mark.parametrize("attention", ["none", "tdam"])
def test_other_families(name, attention):
    """Blocks without a last activation, and parts of a sequence."""
    plain = tiny(name, attention=attention)
    ours = tiny(name, attention=attention, regularizer=Scale)
    with torch.no_grad():
        assert torch.equal(ours(images()), plain(images()))
        for network in (ours, plain):
            network.train()
            for module in network.modules():
                if isinstance(module, nn.Dropout):
                    module.eval()
        assert not torch.equal(ours(images()), plain(images()))
    layers = {key for key in ours.state_dict() if key not in plain.state_dict()}
    assert len(layers) == 2
    assert all(key.endswith(".after_block.weight") for key in layers)


def test_files(tmp_path):
    model = tiny(**TDAM, regularizer=Scale)
    with torch.no_grad():
        model.layer4[1].after_block.weight.fill_(0.3)
    path = save_checkpoint(model, tmp_path / "w.safetensors")
    again, info = load_checkpoint(path, regularizer=Scale)
    assert info.settings == model.settings
    assert torch.equal(again.layer4[1].after_block.weight, model.layer4[1].after_block.weight)
    without, info = load_checkpoint(path, regularizer=None)
    assert "regularizer" not in info.settings
    assert not hasattr(without.layer4[1], "after_block")
    with torch.no_grad():
        assert torch.equal(without(images()), model(images()))
    with pytest.raises(ValueError, match=r"one of none, adl but .*'Scale'.* pass"):
        load_checkpoint(path)
    more = create_model("resnet18", num_classes=5, weights=path, **TDAM, regularizer=Scale)
    assert torch.equal(more.layer4[1].after_block.weight, model.layer4[1].after_block.weight)


@pytest.mark.parametrize("attention", [None, "tdam"])
def test_plain_weights(tmp_path, attention):
    path = save_checkpoint(tiny(regularizer=Scale), tmp_path / "plain.safetensors")
    settings = {"num_classes": 5, "attention": attention, "weights": path}
    with torch.no_grad():
        wanted = tiny()(images())
        for regularizer in (None, Drop, Scale):
            ours = create_model("resnet18", **settings, regularizer=regularizer)
            torch.testing.assert_close(ours(images()), wanted)


@pytest.mark.slow
def test_copies_and_compiled_networks_have_it():
    model = tiny(**TDAM, regularizer=Scale)
    twin = copy.deepcopy(model)
    with torch.no_grad():
        twin.layer4[1].after_block.weight.fill_(0)
        twin.layer3[1].after_block.weight.fill_(0)
        assert not torch.equal(model.train()(images()), twin.train()(images()))
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    logits = compiled(images())
    torch.testing.assert_close(logits, model(images()), atol=1e-4, rtol=1e-3)
    logits.sum().backward()
    assert model.layer4[1].after_block.weight.grad.abs().sum() > 0


@pytest.mark.slow
def test_it_learns_in_the_loop(tmp_path):
    model = tiny(**TDAM, regularizer=Scale)
    train(model, Noise(4), SMALL.change(epochs=1), tmp_path, validate=count_weights, workers=0)
    assert not torch.equal(model.layer4[1].after_block.weight, Scale(512).weight)


def test_a_line_in_the_registry_is_enough(monkeypatch):
    monkeypatch.setitem(REGULARIZERS, "nothing", "torch.nn:Identity")
    model = tiny(regularizer="nothing", regularized=["layer4.0"])
    assert isinstance(model.layer4[0].after_block, nn.Identity)
    with pytest.raises(ValueError, match="to be one of none, adl, nothing but got 'other'"):
        tiny(regularizer="other")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"regularizer": lambda channels: Drop(channels)}, "regularizer to be a class or a funct"),
        ({"regularized": ["layer4.1"]}, "a regularizer for the blocks of regularized"),
        ({"regularizer": Drop, "regularized": ["layer4.7"]}, "of layer4 .* but got '7'"),
        ({"regularizer": Drop, "regularized": ["bn1"]}, "Expected a block of a known"),
        ({"regularizer": Drop, "regularized": ["layer4.1"] * 2}, "layer4.1 has one"),
    ],
)
def test_wrong_use(settings, message):
    with pytest.raises(ValueError, match=message):
        tiny(**settings)


def test_attention_comes_first():
    with pytest.raises(ValueError, match=r"attention before regularizing layers but layer4\.1 has"):
        attach_top_down(tiny(regularizer=Drop), ["layer4.1"])
