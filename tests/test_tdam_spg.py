"""Self-produced guidance: its loss, its branches, and where they begin."""

import pytest
import torch
from reference_methods import learn_by_guides
from small_methods import learn_and_score, read_recipe
from small_training import SMALL, Noise, count_weights, same
from torch import nn

import tdam.spg
from tdam import create_model, load_checkpoint, save_checkpoint
from tdam.spg import SpgHead, mark, spg
from tdam.stretch import stretch
from tdam.training import train
from tdam.training.recipe import Recipe
from wsol.maps import CAM
from wsol.training.network import create_network

EXACT = {"rtol": 1e-4, "atol": 1e-5}
THRESHOLDS = (0.7, 0.2, 0.5, 0.48, 0.52, 0.47)


@pytest.fixture(autouse=True)
def narrow(monkeypatch):
    """Branches of eight channels in the place of 512."""
    monkeypatch.setattr(tdam.spg, "_WIDTH", 8)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("thresholds", [THRESHOLDS, (1.0, 0.1, 1.0, 0.4, 1.0, 0.0)])
def test_loss_and_gradients_are_the_papers(seed, thresholds):
    """The second thresholds are above every value, so that the strongest pixels count."""
    torch.manual_seed(seed)
    head = SpgHead(3, 4, (2, 5), 6)
    for parameter in head.parameters():
        nn.init.normal_(parameter, std=0.3)
    labels, images = torch.tensor([2, 0]), torch.zeros(2, 3, 24, 20)
    maps = [torch.randn(2, 2, 6, 5), torch.randn(2, 5, 6, 5), torch.randn(2, 3, 3, 4)]
    ours, theirs = ([each.clone().requires_grad_() for each in maps] for _ in range(2))
    recipe = Recipe(label_smoothing=0.0, spg_thresholds=thresholds)
    found = spg(lambda _, wanted: head(ours, wanted), images, labels, recipe)
    found.backward()
    gradients = [parameter.grad.clone() for parameter in head.parameters()]
    head.zero_grad()
    wanted = learn_by_guides(head, theirs, labels, thresholds, 24, 20)
    wanted.backward()
    torch.testing.assert_close(found, wanted, **EXACT)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one.grad, other.grad, **EXACT)
    for gradient, parameter in zip(gradients, head.parameters(), strict=True):
        torch.testing.assert_close(gradient, parameter.grad, **EXACT)
        assert gradient.any()


def test_what_is_neither_counts_for_nothing():
    guide = torch.tensor([[[0.9, 0.6], [0.3, 0.05]]])
    truth, counts = mark(guide, 0.5, 0.1)
    assert truth.tolist() == [[[1, 1], [0, 0]]]
    assert counts.tolist() == [[[1, 1], [0, 1]]]
    truth, counts = mark(guide, 0.95, 0.0)  # none is above: those near the strongest are taken
    assert truth.tolist() == counts.tolist() == [[[1, 0], [0, 0]]]


def shown(count=2, side=64):
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(3))


def settle(name="resnet18", **settings):
    torch.manual_seed(0)
    network = create_model(name, head="spg", num_classes=3, **settings)
    assert not network.spg_head.classifier.weight.any()
    nn.init.normal_(network.spg_head.classifier.weight)
    return network


@pytest.mark.parametrize(
    ("name", "places"),
    [
        ("resnet50", ("layer3.0", "layer3.5")),
        ("resnet18", ("layer3.0", "layer3.1")),
        ("vgg16_conv6", ("features.23", "features.29")),
        ("inception_v3", ("maxpool3", "Mixed_6d")),
        ("efficientnet_lite0", ("blocks.3.0", "blocks.4.2")),
        pytest.param("convnext_tiny", ("features.5.0", "features.5.8"), marks=pytest.mark.slow),
        pytest.param("timm:regnety_002", ("s3.b1", "s3.b4"), marks=pytest.mark.slow),
    ],
)
def test_branches_see_what_their_layers_put_out(name, places):
    network = settle(name)
    assert network.guided_at == places
    outputs = {}
    for place in (*places, network.spec.pooled_layer):
        network.get_submodule(place).register_forward_hook(
            lambda module, args, output, place=place: outputs.update({place: output.clone()})
        )
    with torch.no_grad():
        scores, class_maps, branches = network(shown(), torch.tensor([0, 2]))
        assert torch.equal(network(shown()), scores)
    head, last = network.spg_head, outputs[network.spec.pooled_layer]
    wanted = [
        head.shared(head.first(outputs[places[0]])),
        head.shared(head.second(outputs[places[1]])),
        head.last(last),
    ]
    for one, other in zip(branches, wanted, strict=True):
        torch.testing.assert_close(one, other)
    torch.testing.assert_close(
        class_maps.mean((1, 2)), scores[[0, 1], [0, 2]], rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("name", ["resnet18", "vgg16_conv6", "efficientnet_lite0"])
def test_it_goes_with_top_down_attention(name):
    network = settle(name, attention="tdam")
    with torch.no_grad():
        scores, _, branches = network(shown(), torch.tensor([0, 2]))
        steps = network.forward_steps(shown()).logits
    assert all(each.shape[:2] == (2, 1) for each in branches)
    torch.testing.assert_close(steps[:, -1], scores, rtol=1e-4, atol=1e-5)
    plain = settle(name)
    with torch.no_grad():
        other = plain(shown(), torch.tensor([0, 2]))[2]
    assert not torch.equal(branches[1], other[1])  # the last block before it runs twice


def test_files_know_the_head(tmp_path):
    network = settle()
    path = save_checkpoint(network, tmp_path / "a.safetensors")
    again, info = load_checkpoint(path)
    assert info.settings == network.settings
    assert same(again, network)
    with CAM(network) as one, CAM(again) as other, torch.no_grad():
        pair = [each(1, model(shown()))[0] for each, model in ((one, network), (other, again))]
        features = network.last_map(shown())
    assert torch.equal(*pair)
    weights = network.spg_head.classifier.weight[1]
    wanted = stretch(torch.einsum("c,nchw->nhw", weights, features))
    torch.testing.assert_close(pair[0], wanted)
    with pytest.raises(ValueError, match="weights do not fit resnet18 with 3 classes"):
        load_checkpoint(path, head="own")


def test_all_of_it_learns(tmp_path):
    model = settle(output_stride=8)
    before = {name: each.clone() for name, each in model.named_parameters()}
    recipe = SMALL.change(head="spg", loss="spg", mixup=0.0, cutmix=0.0, weight_decay=0.0)
    train(model, Noise(), recipe, tmp_path, validate=count_weights, workers=0)
    for name, parameter in model.named_parameters():
        assert not torch.equal(parameter, before[name]), name


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"head": "own"}, "head to be spg, whose branches the loss spg is of, but got own"),
        ({"loss": "cross_entropy"}, "loss to be spg with head=spg, whose branches learn nothing"),
        ({"loss": "acol"}, "head to be acol, whose two classifiers the loss acol is of"),
        ({"cutmix": 1.0}, "cutmix to be 0.0 with loss=spg, which are guided by the map of one"),
        ({"spg_thresholds": (0.5, 0.1)}, "spg_thresholds to be three times a high and a low"),
        ({"spg_thresholds": (0.1, 0.5) * 3}, "spg_thresholds to be three times a high and a low"),
        ({"spg_thresholds": (1.5, 0.1) * 3}, "spg_thresholds to be from 0 to 1"),
    ],
)
def test_choices_that_do_not_go_together(choices, message):
    learning = SMALL.change(head="spg", loss="spg", mixup=0.0, cutmix=0.0)
    with pytest.raises(ValueError, match=message):
        learning.change(**choices).check_together()


def test_a_recipe_names_it(tmp_path):
    recipe = read_recipe(
        tmp_path,
        'base = "finetune"\nmodel = "resnet18"\nweights = "random"\nhead = "spg"\nloss = "spg"\n'
        'spg_thresholds = [0.6, 0.1, 0.5, 0.05, 0.7, 0.1]\nmethod = "auto"\n',
    )
    network = create_network(recipe, ("a", "b"))
    assert (network.settings["head"], network.spec.method) == ("spg", "cam")


@pytest.mark.slow
def test_from_images_to_scores(tmp_path):
    learn_and_score(tmp_path, "spg")
