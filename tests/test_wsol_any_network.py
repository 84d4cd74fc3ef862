"""Networks that people bring: what cannot be told of them is said, and nothing is made up."""

import numpy as np
import pytest
import timm
import torch
import torchvision
from skimage.data import astronaut
from torch import nn

from tdam.describe import NoScoresError, find_layers
from tdam.preprocessing import Preprocessing
from wsol import Localizer
from wsol.errors import ArgumentError

INPUT = Preprocessing(size=64)


class Ends(nn.Module):
    """A small network with an end of one's own: of features, (N, 8, h, w), the output."""

    def __init__(self, end):
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Conv2d(3, 8, 5, 3), nn.ReLU())
        self.fc = nn.Linear(8, 5)
        self.other = nn.Linear(8, 7)
        self.end = end

    def forward(self, x):
        return self.end(self, self.body(x))


def mean(network, features):
    return network.fc(features.mean(dim=(2, 3)))


def test_features_are_no_class_scores():
    headless = timm.create_model("resnet18", num_classes=0).eval()
    with pytest.raises((ArgumentError, NoScoresError), match=r"fc, is an nn.Identity, which hands"):
        Localizer(headless)
    bare = torchvision.models.resnet18().eval()
    bare.fc = nn.Identity()
    with pytest.raises((ArgumentError, NoScoresError), match="hands on 512 features; give it one"):
        Localizer(bare, preprocessing=INPUT)
    model = timm.create_model("vit_tiny_patch16_224", num_classes=3)  # which has such layers too
    assert find_layers(model).classifier == "head"


def test_a_network_that_ends_in_a_softmax_has_its_own_probabilities():
    plain, soft = Ends(mean), Ends(lambda network, x: mean(network, x).softmax(dim=1))
    found = [Localizer(each.eval(), preprocessing=INPUT)(astronaut()) for each in (plain, soft)]
    assert found[1].score == pytest.approx(found[0].score, abs=1e-6)
    assert found[1].label == found[0].label


def test_a_maximum_over_all_places_leaves_a_layer():
    network = Ends(lambda own, x: own.fc(x.amax(dim=(2, 3)))).eval()
    assert find_layers(network, 64).pooled == "body"
    found = Localizer(network, preprocessing=INPUT)(astronaut())
    assert np.ptp(found.steps[-1].map) == 1


def test_heads_that_a_dict_names_have_to_be_chosen():
    def two(own, x):
        return {"species": mean(own, x), "colour": own.other(x.mean(dim=(2, 3)))}

    with pytest.raises(ValueError, match=r"species \(2, 5\), colour \(2, 7\): wrap it"):
        Localizer(Ends(two).eval(), preprocessing=INPUT)

    def named(own, x):
        return {"features": x.mean(dim=(2, 3)), "logits": mean(own, x)}

    plain = Localizer(Ends(mean).eval(), preprocessing=INPUT)(astronaut())
    assert Localizer(Ends(named).eval(), preprocessing=INPUT)(astronaut()).score == plain.score


@pytest.mark.parametrize("channels", [1, 4])
def test_other_colours_are_refused(channels):
    network = timm.create_model("resnet18", in_chans=channels).eval()
    with pytest.raises(ValueError, match=rf"three colours but .* takes {channels} channels"):
        Localizer(network)


def test_colours_may_be_rearranged_first():
    assert find_layers(timm.create_model("tresnet_m", num_classes=2), 64).classifier == "head.fc"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_programs_are_refused():
    program = torch.jit.script(nn.Sequential(nn.Conv2d(3, 2, 3)))
    with pytest.raises(ValueError, match="a program of TorchScript: give the module"):
        Localizer(program, preprocessing=INPUT)


def test_an_input_that_is_no_square_is_refused():
    with pytest.raises(ValueError, match=r"of a square input, but got \(128, 256\)"):
        Preprocessing(size=(128, 256))
    assert Preprocessing(size=np.int64(64)).size == 64


def test_a_file_of_ones_own_classes_goes_with_a_name(run, photos, tmp_path):
    torch.manual_seed(0)
    own = timm.create_model("resnet18", num_classes=7)
    torch.save({"state_dict": own.state_dict()}, tmp_path / "own.pth")
    photo = sorted(photos.glob("*.*g"))[0]
    code, out, err = run(
        "predict", photo, "--model", "timm:resnet18", "--weights", tmp_path / "own.pth"
    )
    assert code == 0, err
    found = Localizer(own.eval())(photo)
    assert f"class {found.label}" in out
    assert f"{found.score:.4f}" in out
    code, _, err = run(
        "predict", photo, "--model", "timm:vit_tiny_patch16_224", "--weights", "random",
        "--attention", "tdam",
    )  # fmt: skip
    assert code == 2
    assert "--attention: Expected attention to be none for timm:vit_tiny" in " ".join(err.split())
