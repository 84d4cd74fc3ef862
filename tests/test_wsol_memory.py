"""Memory: how tensors lie, what the C library keeps, and how much of a pass maps need."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from eval.manifest import load_split
from tdam import create_model
from tdam.preprocessing import Preprocessing
from wsol import Localizer, runtime
from wsol.evaluation.network_maps import NetworkMaps
from wsol.maps import find_method
from wsol.maps.passes import run_pass
from wsol.shipped import manifests_folder
from wsol.speed.ratios import peak_bytes

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return create_model("resnet18", attention="tdam", steps=2, num_classes=5).eval()


def seen_layouts(model, **options):
    """Tell whether the first convolution is given channels_last."""
    layouts = []
    first = next(each for each in model.modules() if isinstance(each, nn.Conv2d))
    handle = first.register_forward_pre_hook(
        lambda module, args: layouts.append(
            args[0].is_contiguous(memory_format=torch.channels_last)
        )
    )
    try:
        Localizer(model, **options)(np.zeros((1, 40, 56, 3), np.uint8))
    finally:
        handle.remove()
    return set(layouts)


def test_registered_networks_compute_on_the_faster_layout(model):
    fast = torch.backends.mkldnn.is_available()
    assert seen_layouts(model) == {fast}
    assert seen_layouts(model, channels_last=True) == {True}
    assert seen_layouts(model, channels_last=False) == {False}
    assert runtime.settle_layout(model, CPU) is fast
    assert runtime.settle_layout(model, torch.device("meta")) is False


def test_a_network_of_somebody_elses_keeps_its_layout():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2))
            self.fc = nn.Linear(24, 5)

        def forward(self, x):
            x = self.body(x)
            return self.fc(x.view(len(x), -1))

    torch.manual_seed(0)
    found = Localizer(Net(), "layercam", target_layer="body.1", preprocessing=Preprocessing(32))(
        np.random.default_rng(0).integers(0, 256, (2, 40, 56, 3), dtype=np.uint8)
    )
    assert len(found) == 2


@pytest.mark.parametrize("method", ["cam", "gradcampp"])
def test_layouts_give_the_same_boxes(model, photos, method):
    paths = sorted(photos.iterdir())
    one, other = (
        Localizer(model, method, 0.4, channels_last=layout)(paths) for layout in (False, True)
    )
    for first, second in zip(one, other, strict=True):
        assert (first.label, first.boxes.tolist()) == (second.label, second.boxes.tolist())
        assert first.score == pytest.approx(second.score, abs=1e-6)


ASK = """
import wsol.runtime as runtime
{before}
runtime.ask_for_memory()
print(runtime._keeps)
runtime.keep_freed_memory({after})
print(runtime._keeps)
"""


@pytest.mark.parametrize(
    ("environment", "before", "after", "told"),
    [
        ({}, "", True, "True True"),
        ({"WSOL_KEEP_MEMORY": "0"}, "", True, "False True"),
        ({"WSOL_KEEP_MEMORY": "Off"}, "", True, "False True"),
        ({}, "runtime.keep_freed_memory(False)", False, "False False"),
        ({}, "runtime.keep_freed_memory(True)", False, "True False"),
    ],
)
def test_whether_freed_memory_is_kept_can_be_said(environment, before, after, told):
    if sys.platform != "linux":
        pytest.skip("glibc is asked")
    code = ASK.format(before=before, after=after)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                          env={**os.environ, **environment})  # fmt: skip
    assert done.stdout.split() == told.split()


def test_whoever_localizes_or_scores_asks_for_it(monkeypatch, model, photos):
    asked = []
    monkeypatch.setattr(runtime, "_keeps", None)
    monkeypatch.setattr(runtime, "_set_malloc", lambda *values: bool(asked.append(values)) or True)
    Localizer(model)
    assert asked == [(0, -1)]
    Localizer(model)
    assert len(asked) == 1  # once
    monkeypatch.setattr(runtime, "_keeps", None)
    data = load_split(manifests_folder() / "photos", "test")
    assert list(NetworkMaps(model, data, photos, "cam", class_map="predicted").read([])) == []
    assert asked == [(0, -1)] * 2


METHODS = ["gradcam", "gradcampp", "hirescam", "xgradcam", "layercam"]


@pytest.mark.parametrize("method", METHODS)
def test_the_documented_form_gives_what_the_inner_one_does(model, method):
    images = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with find_method(method)(model) as extractor:
        scores = model(images)
        assert torch.is_grad_enabled()
        (maps,) = extractor([0, 1, 2], scores, normalized=False)
    expected = run_pass(extractor, images).maps(torch.tensor([0, 1, 2]))[:, 0]
    torch.testing.assert_close(maps, expected, rtol=1e-5, atol=1e-7)


def gradients_after(model, images=None, training=False, layer=None):
    images = torch.rand(2, 3, 64, 64) if images is None else images
    model.train(training)
    try:
        with find_method("gradcam")(model, layer) as extractor:
            scores = model(images)
            extractor(0, scores)
            if scores.requires_grad:
                scores.sum().backward()
        return {name for name, each in model.named_parameters() if each.grad is not None}
    finally:
        model.zero_grad(set_to_none=True)
        model.eval()


class Joining(nn.Module):
    """Takes a list of images, and calls itself for each and its mirror image."""

    def __init__(self, body):
        super().__init__()
        self.body = body

    def forward(self, x, mirrored=False):
        if isinstance(x, list):
            x = torch.cat(x)
        with torch.enable_grad():
            own = self.body(x)
        return own if mirrored else own + self(x.flip(3), True)


def test_parameters_take_part_where_somebody_wants_it():
    torch.manual_seed(0)
    model = create_model("resnet18", num_classes=5)
    every = {name for name, _ in model.named_parameters()}
    assert gradients_after(model, training=True) == every
    for wrapped in (False, True):
        images = torch.rand(2, 3, 64, 64, requires_grad=True)
        network = Joining(model).eval() if wrapped else model
        given = [images] if wrapped else images
        layer = "body.layer4" if wrapped else None
        assert len(gradients_after(network, given, layer=layer)) == len(every)
        assert images.grad is not None
        model.zero_grad(set_to_none=True)
    assert gradients_after(model) == set()
    assert gradients_after(model, layer=["layer4", "layer3"]) == set()
    assert all(each.requires_grad for each in model.parameters())


def reference_map(model, layer, images, label):
    """Grad-CAM by hand, of the layer's last run."""
    kept = []
    handle = layer.register_forward_hook(lambda module, args, out: kept.append(out) or out.clone())
    try:
        scores = model(images)
    finally:
        handle.remove()
    (gradient,) = torch.autograd.grad(scores[:, label].sum(), kept[-1])
    return (gradient.mean(dim=(2, 3), keepdim=True) * kept[-1]).sum(dim=1).relu().detach()


def test_models_that_call_themselves_and_several_extractors(model):
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    joining = Joining(model).eval()
    body = model
    kind = find_method("gradcam")
    with kind(joining, "body.layer4") as extractor:
        scores = joining(images)
        (maps,) = extractor(1, scores, normalized=False)
    torch.testing.assert_close(maps, reference_map(joining, body.layer4, images, 1))
    for order in (("layer4", "layer2"), ("layer2", "layer4")):
        with kind(body, order[0]) as one, kind(body, order[1]) as other:
            scores = body(images)
            found = [each(1, scores, normalized=False)[0] for each in (one, other)]
        for name, maps in zip(order, found, strict=True):
            expected = reference_map(body, body.get_submodule(name), images, 1)
            torch.testing.assert_close(maps, expected)
    with kind(joining, "body.layer4") as one, kind(body, "layer3") as other:
        scores = joining(images)
        found = [each(1, scores, normalized=False)[0] for each in (one, other)]
    torch.testing.assert_close(found[0], reference_map(joining, body.layer4, images, 1))
    torch.testing.assert_close(found[1], reference_map(joining, body.layer3, images, 1))


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("where", ["conv1", "fc"])
def test_an_error_leaves_everything_as_it_was(model, error, where):
    def fail(module, args):
        raise error

    wanted = [each.requires_grad for each in model.parameters()]
    assert any(wanted)
    handle = model.get_submodule(where).register_forward_pre_hook(fail)
    try:
        with pytest.raises(error), find_method("gradcam")(model):
            model(torch.zeros(1, 3, 64, 64))
    finally:
        handle.remove()
    assert torch.is_grad_enabled()
    assert [each.requires_grad for each in model.parameters()] == wanted
    with find_method("gradcam")(model), torch.no_grad(), pytest.raises(RuntimeError, match="no_gr"):
        model(torch.zeros(1, 3, 64, 64))


def test_the_form_keeps_no_more_than_a_pass(model):
    images = torch.rand(4, 3, 64, 64)

    def form():
        with find_method("gradcampp")(model) as extractor:
            scores = model(images)
            extractor(0, scores)

    def bare():
        with torch.no_grad():
            model(images)

    assert peak_bytes(form) < 1.5 * peak_bytes(bare)
