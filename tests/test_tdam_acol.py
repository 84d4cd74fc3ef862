"""Two classifiers, the second of which does not see what the first one looks at."""

import numpy as np
import pytest
import torch
from PIL import Image
from reference_methods import fuse_maps, learn_by_both
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from skimage.data import astronaut
from small_methods import learn_and_score, read_recipe
from small_training import SMALL, Noise, Tiny, count_weights, same
from torch import nn

import tdam.acol
from tdam import create_model, load_checkpoint, save_checkpoint
from tdam.acol import AcolHead, acol, put_acol_head
from tdam.training import load_recipe, train
from tdam.training.recipe import Recipe
from wsol import Localizer
from wsol.maps import CAM, find_method
from wsol.maps.names import settle_method
from wsol.training.network import create_network

EXACT = {"rtol": 1e-5, "atol": 1e-6}


@pytest.fixture(autouse=True)
def narrow(monkeypatch):
    """Classifiers of eight channels in the place of 1024."""
    monkeypatch.setattr(tdam.acol, "_WIDTH", 8)


def small_head(seed=0, threshold=0.57):
    torch.manual_seed(seed)
    head = AcolHead(3, 4, threshold)
    for parameter in head.parameters():
        nn.init.normal_(parameter, std=0.3)
    return head, torch.randn(3, 3, 5, 6), torch.tensor([2, 0, 2])


@pytest.mark.parametrize("seed", range(3))
def test_loss_and_gradients_are_the_papers(seed):
    head, features, labels = small_head(seed)
    ours, theirs = (features.clone().requires_grad_() for _ in range(2))
    found = acol(head, ours, labels, Recipe(label_smoothing=0.0))
    found.backward()
    gradients = [parameter.grad.clone() for parameter in head.parameters()]
    head.zero_grad()
    wanted = learn_by_both(head.first, head.second, theirs, labels, 0.57)
    wanted.backward()
    torch.testing.assert_close(found, wanted, **EXACT)
    torch.testing.assert_close(ours.grad, theirs.grad, **EXACT)
    for gradient, parameter in zip(gradients, head.parameters(), strict=True):
        torch.testing.assert_close(gradient, parameter.grad, **EXACT)
        assert gradient.any()


@pytest.mark.parametrize("threshold", [0.0, 0.57, 1.0])
def test_maps_are_the_greater_of_both(threshold):
    head, features, _ = small_head(threshold=threshold)
    with torch.no_grad():
        for ids in ([2, 0, 2], [1, 1, 3]):
            found = head.class_maps(features, torch.tensor(ids))
            wanted = fuse_maps(head.first, head.second, features, ids, threshold)
            torch.testing.assert_close(found, torch.tensor(wanted), **EXACT)


def test_a_map_without_contrast_erases_nothing():
    head, features, labels = small_head(threshold=0.0)
    flat = torch.full((3, 5, 6), 2.0)
    assert torch.equal(head.erase(features, flat), features)
    nn.init.zeros_(head.first[4].weight)
    maps = head.class_maps(features, labels)
    assert torch.isfinite(maps).all()
    assert maps.amax() == 1


def settle(name="resnet18", **settings):
    torch.manual_seed(0)
    network = create_model(name, head="acol", num_classes=3, **settings)
    for classifier in (network.acol_head.first, network.acol_head.second):
        assert not classifier[4].weight.any()
        nn.init.normal_(classifier[4].weight)
    return network


def shown(count=2, side=64):
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize(
    "name",
    [
        "resnet18",
        pytest.param("efficientnet_lite0", marks=pytest.mark.slow),
        pytest.param("vgg16", marks=pytest.mark.slow),
        pytest.param("convnext_tiny", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("attention", ["none", "tdam"])
def test_scores_are_the_first_ones_at_every_step(name, attention):
    network = settle(name, attention=attention)
    assert (network.spec.classifier, network.spec.method) == ("acol_head", "cam")
    with torch.no_grad():
        scores = network(shown())
        out = network.forward_steps(shown())
        first, second = network(shown(), torch.tensor([0, 2]))
    assert torch.equal(first, scores)
    assert not torch.allclose(second, scores)
    torch.testing.assert_close(out.logits[:, -1], scores, rtol=1e-4, atol=1e-5)
    for step in range(out.logits.shape[1]):
        with torch.no_grad():
            means = network.acol_head.first(out.features[:, step]).mean(dim=(2, 3))
        torch.testing.assert_close(out.logits[:, step], means, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("attention", ["none", "tdam"])
def test_cam_shows_the_fused_map_of_every_step(attention):
    network = settle(attention=attention, output_stride=8)
    image = Image.fromarray(astronaut())
    with Localizer(network, threshold=0.4) as localizer:
        found = localizer(image, labels=1)
    with torch.no_grad():
        out = network.forward_steps(network.spec.preprocessing(image)[None])
    assert len(found.steps) == out.logits.shape[1]
    for step, seen in enumerate(found.steps):
        wanted = fuse_maps(
            network.acol_head.first, network.acol_head.second, out.features[:, step], [1], 0.7
        )[0]
        np.testing.assert_allclose(seen.raw, wanted, atol=1e-4)
        assert len(np.unique(seen.map)) > 20


def test_other_maps_see_the_first_classifier():
    network = settle()
    with find_method("layercam")(network) as extractor:
        maps = extractor(1, network(shown()))
    assert maps[0].shape == (2, 2, 2)
    with pytest.raises(ValueError, match=r"target_layer to be layer4, .* use layercam"):
        CAM(network, "layer3")


def test_torchcams_cam_wants_one_linear_layer():
    pytest.importorskip("torchcam.methods")
    with pytest.raises(ValueError, match=r"another than torchcam:CAM, which asks for one linear"):
        settle_method("torchcam:CAM", settle())


def test_files_know_the_head(tmp_path):
    network = settle(acol_threshold=0.6)
    path = save_checkpoint(network, tmp_path / "a.safetensors")
    again, info = load_checkpoint(path)
    assert info.settings == network.settings
    assert info.settings["acol_threshold"] == again.acol_head.threshold == 0.6
    assert same(again, network)
    with CAM(network) as one, CAM(again) as other, torch.no_grad():
        pair = [each(1, model(shown()))[0] for each, model in ((one, network), (other, again))]
    assert torch.equal(*pair)
    with pytest.raises(ValueError, match="weights do not fit resnet18 with 3 classes"):
        load_checkpoint(path, head="own")


@pytest.mark.slow
def test_weights_of_such_a_head_go_on_or_begin_anew(tmp_path):
    network = settle()
    path = save_checkpoint(network, tmp_path / "a.safetensors")
    further = create_model("resnet18", head="acol", num_classes=3, weights=path)
    assert same(further, network)
    with pytest.raises(ValueError, match=r"leave its classifier out \(new_head\)"):
        create_model("resnet18", head="acol", num_classes=7, weights=path)
    new = create_model("resnet18", head="acol", num_classes=7, weights=path, new_head=True)
    assert torch.equal(new.layer4[1].conv1.weight, network.layer4[1].conv1.weight)
    assert not torch.equal(new.acol_head.first[0].weight, network.acol_head.first[0].weight)
    assert new.acol_head.first[2].weight.std() > 0


def test_a_file_is_as_large_as_the_network_that_it_asks_for(tmp_path):
    path = save_checkpoint(settle(), tmp_path / "a.safetensors")
    tensors = load_file(path)
    del tensors["acol_head.second.2.weight"]
    with safe_open(path, "pt") as file:
        save_file(tensors, tmp_path / "b.safetensors", file.metadata())
    with pytest.raises(ValueError, match=r"1 missing \(acol_head\.second\.2\.weight\)"):
        load_checkpoint(tmp_path / "b.safetensors")


@pytest.mark.parametrize("weights", ["pretrained", "file"])
def test_weights_of_the_own_head_begin_two_random_ones(tmp_path, weights):
    own = create_model("efficientnet_lite0", weights="pretrained")
    if weights == "file":
        weights = save_checkpoint(own, tmp_path / "own.safetensors")
    torch.manual_seed(0)
    network = create_model("efficientnet_lite0", head="acol", num_classes=2, weights=weights)
    torch.testing.assert_close(network.conv_head.weight, own.conv_head.weight)
    assert network.acol_head.first[2].weight.std() > 0
    assert not torch.equal(network.acol_head.first[0].weight, network.acol_head.second[0].weight)
    assert not [name for name in network.state_dict() if name.startswith("classifier")]


LEARNING = SMALL.change(head="acol", loss="acol", mixup=0.0, cutmix=0.0)


def run_tiny(folder, **options):
    torch.manual_seed(0)
    model = Tiny()
    put_acol_head(model, 0.6)
    train(model, Noise(), LEARNING, folder, validate=count_weights, workers=0, **options)
    return model


def test_a_run_that_was_cut_off_ends_the_same(tmp_path):
    calls = []

    def stop(*batch):
        calls.append(batch)
        if len(calls) == 4:
            raise ZeroDivisionError
        return acol(*batch)

    whole = run_tiny(tmp_path / "whole")
    with pytest.raises(ZeroDivisionError):
        run_tiny(tmp_path / "cut", loss=stop, save_every=0.0)
    assert same(run_tiny(tmp_path / "cut", resume=True), whole)


def test_all_of_both_learns(tmp_path):
    torch.manual_seed(0)
    fresh = Tiny()
    put_acol_head(fresh, 0.6)
    before = dict(fresh.named_parameters())
    for name, parameter in run_tiny(tmp_path).named_parameters():
        if name != "stem.0.bias":  # which the norm behind it takes away
            assert not torch.equal(parameter, before[name]), name


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        (
            {"head": "own"},
            "head to be acol, whose two classifiers the loss acol is of, but got own",
        ),
        ({"loss": "cross_entropy"}, "loss to be acol with head=acol, whose two classifiers"),
        ({"mixup": 0.2}, "mixup to be 0.0 with loss=acol, which erases the map of one true class"),
        ({"cutmix": 1.0}, "cutmix to be 0.0 with loss=acol"),
        ({"targets": "plain"}, "targets to be labels with loss=acol"),
    ],
)
def test_choices_that_do_not_go_together(choices, message):
    with pytest.raises(ValueError, match=message):
        LEARNING.change(**choices).check_together()


def test_two_classifiers_are_not_learned_from_features_computed_once():
    recipe = load_recipe("linear_probe").change(head="acol", loss="acol")
    with pytest.raises(ValueError, match="head to be own or mean where only the classifier learns"):
        recipe.check_together()


def test_thresholds_out_of_range():
    for build in (lambda: settle(acol_threshold=1.5), lambda: Recipe(acol_threshold=1.5)):
        with pytest.raises(ValueError, match=r"acol_threshold to be from 0 to 1 but got 1\.5"):
            build()


def test_a_recipe_names_it(tmp_path):
    recipe = read_recipe(
        tmp_path,
        'base = "finetune"\nmodel = "resnet18"\nweights = "random"\nhead = "acol"\nloss = "acol"\n'
        'acol_threshold = 0.8\nmethod = "auto"\n',
    )
    network = create_network(recipe, ("a", "b"))
    assert (network.settings["head"], network.acol_head.threshold) == ("acol", 0.8)
    assert network.spec.method == "cam"


@pytest.mark.slow
def test_from_images_to_scores(tmp_path):
    run = learn_and_score(tmp_path, "acol")
    assert run.history[0]["val_loss"] == pytest.approx(np.log(3), abs=1e-4)
