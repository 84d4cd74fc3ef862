"""The attention-based dropout layer: its two maps, its places, and when it acts."""

import pytest
import torch
from reference_methods import drop_or_light_up
from small_methods import read_recipe
from small_training import SMALL, Noise, Tiny, count_weights, same

from tdam import create_model, load_checkpoint, save_checkpoint
from tdam.adl import ADL
from tdam.regularizers import add_regularizer
from tdam.training import load_recipe, train
from wsol.training.network import create_network


def features(seed=0):
    torch.manual_seed(seed)
    return torch.randn(2, 3, 4, 5) + 0.3


@pytest.mark.parametrize("drops", [True, False])
@pytest.mark.parametrize("gamma", [0.0, 0.6, 1.0])
def test_values_and_gradients_are_the_papers(drops, gamma):
    layer = ADL(3, rate=float(drops), threshold=gamma)
    ours, theirs = (features().requires_grad_() for _ in range(2))
    weights = features(1)
    found, wanted = layer(ours), drop_or_light_up(theirs, drops, gamma)
    torch.testing.assert_close(found, wanted)
    (found * weights).sum().backward()
    (wanted * weights).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad)
    if drops:
        assert (found == 0).any()


def test_each_call_draws_one_of_the_two_for_all_images():
    layer, seen = ADL(3, rate=0.25, threshold=0.6), features()
    both = [drop_or_light_up(seen, drops, 0.6) for drops in (True, False)]
    torch.manual_seed(0)
    counts = {True: 0, False: 0}
    for _ in range(400):
        out = layer(seen)
        is_dropped = torch.allclose(out, both[0])
        assert is_dropped or torch.allclose(out, both[1])
        counts[is_dropped] += 1
    assert 70 <= counts[True] <= 130


def test_it_does_nothing_where_nothing_is_learned():
    seen = features()
    assert ADL(3).eval()(seen) is seen


@pytest.mark.parametrize(
    ("name", "attention", "places"),
    [
        ("resnet50", None, ["layer3.0", "layer4.0", "layer4.2"]),
        ("vgg16", "tdam", ["features.10:17", "features.17:23", "features.24:30"]),
        ("resnet18", "tdam", ["layer3.1", "layer4.1"]),
        ("efficientnet_lite0", None, ["blocks.4.2", "blocks.6.0"]),
    ],
)
def test_places(name, attention, places):
    with torch.device("meta"):
        network = create_model(name, attention=attention, regularizer="adl", num_classes=2)
        plain = create_model(name, attention=attention, num_classes=2)
    assert network.settings["regularized"] == places
    assert sum(isinstance(module, ADL) for module in network.modules()) == len(places)
    assert list(network.state_dict()) == list(plain.state_dict())


def test_in_vgg_it_sees_what_leaves_pooling_three_and_both_later_stages():
    network = create_model("vgg16", regularizer="adl", adl_rate=1.0, num_classes=2).train()
    seen = []
    for module in network.modules():
        if isinstance(module, ADL):
            module.register_forward_hook(lambda module, args, out: seen.append(tuple(out.shape)))
    with torch.no_grad():
        network(torch.rand(1, 3, 64, 64))
    assert seen == [(1, 256, 8, 8), (1, 512, 8, 8), (1, 512, 4, 4)]


@pytest.mark.parametrize("attention", ["none", "tdam"])
def test_files_say_all_of_it(tmp_path, attention):
    torch.manual_seed(0)
    network = create_model(
        "resnet18", attention=attention, regularizer="adl", regularized=["layer4.0"], adl_rate=0.4,
        adl_threshold=0.8, num_classes=2,
    )  # fmt: skip
    path = save_checkpoint(network, tmp_path / "a.safetensors")
    again, info = load_checkpoint(path)
    assert info.settings == network.settings
    assert info.settings["regularizer"] == "adl"
    assert repr(again.layer4[0].after_block) == "ADL(rate=0.4, threshold=0.8)"
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(again(images), network(images))
        torch.manual_seed(1)
        learning = network.train()(images)
        torch.manual_seed(1)
        assert torch.equal(again.train()(images), learning)
    without, info = load_checkpoint(path, regularizer=None)
    assert not any(isinstance(module, ADL) for module in without.modules())
    assert "adl_rate" not in info.settings


def test_a_recipe_names_it(tmp_path):
    recipe = read_recipe(
        tmp_path,
        'base = "finetune"\nmodel = "resnet18"\nweights = "random"\nregularizer = "adl"\n'
        'regularized = ["layer3.0"]\nadl_rate = 0.1\nadl_threshold = 0.7\n',
    )
    network = create_network(recipe, ("a", "b"))
    assert network.settings["regularized"] == ["layer3.0"]
    assert (network.settings["adl_rate"], network.settings["adl_threshold"]) == (0.1, 0.7)
    usual = create_network(recipe.change(regularized=[]), ("a", "b"))
    assert usual.settings["regularized"] == ["layer3.1", "layer4.1"]


def run_tiny(folder, **options):
    torch.manual_seed(0)
    model = Tiny()
    add_regularizer(model, "adl", ["stem"], rate=0.5, threshold=0.8)
    train(model, Noise(), SMALL, folder, validate=count_weights, workers=0, **options)
    return model


def test_a_run_that_was_cut_off_ends_the_same(tmp_path):
    class Stop(Exception):  # noqa: N818
        pass

    calls = []

    def stop(network, images, wanted, recipe):
        calls.append(1)
        if len(calls) == 4:
            raise Stop
        return torch.nn.functional.cross_entropy(network(images), wanted, label_smoothing=0.1)

    whole = run_tiny(tmp_path / "whole")
    with pytest.raises(Stop):
        run_tiny(tmp_path / "cut", loss=stop, save_every=0.0)
    assert same(run_tiny(tmp_path / "cut", resume=True), whole)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"adl_rate": 1.5}, "adl_rate to be from 0 to 1 but got 1.5"),
        ({"adl_threshold": -0.1}, "adl_threshold to be from 0 to 1 but got -0.1"),
    ],
)
def test_numbers_out_of_range(settings, message):
    with pytest.raises(ValueError, match=message):
        create_model("resnet18", regularizer="adl", num_classes=2, **settings)
    with pytest.raises(ValueError, match=message):
        load_recipe("finetune").change(**settings)
