"""Weights files whose names and layers are of no use, and names that several classes have."""

import json

import pytest
import torch
from hostile_weights import base

from tdam import create_model
from tdam.metadata import read_metadata
from wsol.classes import find_class, imagenet_names
from wsol.maps.gradient import GradCAMpp
from wsol.maps.passes import check_layer, run_pass


@pytest.mark.fault("input: names of classes in a file of weights")
@pytest.mark.parametrize("name", ["\ud800", "a\udce9b", "", " ", "\t\n"])
def test_names_that_are_none(name):
    content = base()
    content["learned"]["class_names"] = ["cat", name]
    with pytest.raises(ValueError, match="Expected class_names to be"):
        read_metadata(json.dumps(content))
    for good in ("cat", "\x1b[2J", "\u732b"):  # ImageNet has one name twice
        content["learned"]["class_names"] = ["cat", good]
        assert read_metadata(json.dumps(content))[1]["class_names"] == ("cat", good)


@pytest.mark.fault("input: names of classes in a file of weights")
def test_a_name_of_several_classes_is_no_choice():
    for text, names in (
        ("crane", ("crane", "dog", "crane")),
        ("CRANE", ("crane", "Crane", "dog")),
        ("polar_bear", ("polar bear", "dog", "polar bear")),
    ):
        with pytest.raises(ValueError, match=r"is that of 2 \(0, [12]\): give the number"):
            find_class(text, names)
    assert find_class("2", ("crane", "dog", "crane")) == 2
    twice = list(imagenet_names())
    twice[517] = twice[134]
    with pytest.raises(ValueError, match=r"of 2 \(134, 517\)"):
        find_class(twice[134], tuple(twice))
    with pytest.raises(ValueError, match="Expected the name or number"):
        find_class("n02012849", tuple(twice))  # the crane that is a bird
    assert find_class("n02012849", imagenet_names()) == 134


@pytest.mark.fault("input: a layer that a file of weights names")
@pytest.mark.parametrize("layer", ["conv_stem", "blocks.2.0", "blocks.6.0.bn1"])
def test_a_layer_before_the_steps_is_seen_once(layer):
    torch.manual_seed(0)
    network = create_model("efficientnet_lite0", num_classes=2, attention="tdam")
    images, ids = torch.rand(2, 3, 64, 64), torch.tensor([0, 1])
    extractor = GradCAMpp(network, layer)
    stepwise = run_pass(extractor, images, stepwise=True)
    plain = run_pass(extractor, images)
    assert stepwise.steps == (2 if layer == "blocks.6.0.bn1" else 1)
    assert torch.allclose(stepwise.maps(ids)[:, -1], plain.maps(ids)[:, -1], atol=1e-6)
    assert torch.allclose(stepwise.probabilities[:, -1], plain.probabilities[:, -1], atol=1e-6)


class SideBranch(torch.nn.Module):
    """A network that runs a layer whose output nothing takes."""

    def __init__(self):
        super().__init__()
        self.body, self.side = torch.nn.Conv2d(3, 4, 3), torch.nn.Conv2d(3, 4, 3)
        self.head = torch.nn.Linear(4, 2)

    def forward(self, x):
        self.side(x)
        return self.head(self.body(x).mean((2, 3)))


@pytest.mark.fault("input: a layer that a file of weights names")
@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("method", ["gradcam", "gradcampp", "xgradcam", "layercam"])
def test_a_layer_that_nothing_depends_on(method, frozen):
    network = SideBranch().requires_grad_(not frozen)
    check_layer(network, method, "body", size=32)
    with pytest.raises(ValueError, match="that the class scores depend on but they do not"):
        check_layer(network, method, "side", size=32)
