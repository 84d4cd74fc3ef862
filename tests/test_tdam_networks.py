import copy

import numpy as np
import pytest
import reference_tdam
import timm
import torch
import torchvision
from torch.utils.flop_counter import FlopCounterMode

from tdam import attach_top_down, create_model, list_models, load_checkpoint, start_as_identity
from tdam.attentions import ATTENTIONS
from tdam.recurrence import TopDownBlock
from tdam.steps import list_step_blocks

NETWORKS = list_models()
DEPTHS = {"resnet18": (0, 1, 2), "resnet34": (0, 1, 2)}
SMALL = ["efficientnet_lite0", "resnet18", "mobilenet_v3_large", "convnext_tiny", "vgg16"]


def mark_slow(names, slow):
    """One network of a family answers for the others, unless all that is slow is asked for."""
    return [pytest.param(each, marks=pytest.mark.slow) if each in slow else each for each in names]


EACH = mark_slow(NETWORKS, ("resnet34", "resnet101", "resnet152", "resnext50_32x4d"))
OWN = ("efficientnet_lite0", "vgg16", "vgg16_conv6", "inception_v3")  # not as torchvision has them
FEW = mark_slow(SMALL, ("convnext_tiny", "vgg16"))


def tiny(name, **settings):
    torch.manual_seed(0)
    return create_model(name, num_classes=5, **settings)


def images(count=2, side=64):
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("name", reference_tdam.NAMES)
def test_published_networks(name, tmp_path):
    """Figures of the published code, through a file with the published names."""
    wanted = np.load(reference_tdam.FOLDER / f"{name}.npz")
    torch.save({"state_dict": reference_tdam.state_dict(name)}, tmp_path / "published.pth.tar")
    model, info = load_checkpoint(tmp_path / "published.pth.tar")
    described = reference_tdam.describe(name)
    assert info.source == "published"
    assert model.settings["name"] == described["arch"]
    assert sum(p.numel() for p in model.parameters()) == described["params"]
    with torch.inference_mode():
        x = reference_tdam.images()
        logits, found = model(x), model.forward_steps(x)
    for ours, key in (
        (logits, "logits"),
        (found.logits.transpose(0, 1), "logits_per_step"),
        (found.features.mean(2).transpose(0, 1), "layer4_channel_mean_per_step"),
        (found.features[:, -1].mean(1), "feature_channel_mean"),
    ):
        np.testing.assert_allclose(ours, wanted[key], atol=1e-5)


@pytest.mark.parametrize(
    ("name", "settings", "parameters", "multiply_adds"),
    [
        ("resnet50", {}, 25_557_032, 4.089),
        ("resnet50", {"attention": "tdam"}, 27_645_992, 4.554),
        ("resnet50", {"attention": "tdam", "searchlight": "top"}, 27_056_168, 4.553),
        ("resnet50", {"attention": "tdam", "searchlight": "top", "distance": 3}, 27_789_352, 6.159),
        ("resnet101", {"attention": "tdam"}, 46_754_856, None),
        ("resnet18", {"attention": "tdam", "distance": 2}, 11_828_776, None),
        ("resnet34", {"attention": "tdam", "distance": 2}, 22_074_152, None),
        ("resnet50", {"attention": "se"}, 28_071_976, None),  # the paper's 28.07 M
        ("resnet50", {"attention": "fca"}, 28_071_976, None),
        ("resnet50", {"attention": "cbam"}, 28_073_576, None),
        ("resnet50", {"attention": "eca"}, 25_557_118, None),
    ],
)
def test_published_sizes(name, settings, parameters, multiply_adds):
    with torch.device("meta"):
        model = create_model(name, **settings).train()
        with FlopCounterMode(display=False) as counter:
            model(torch.zeros(1, 3, 224, 224))
    assert sum(p.numel() for p in model.parameters()) == parameters
    if multiply_adds:
        assert counter.get_total_flops() / 2e9 == pytest.approx(multiply_adds, rel=0.005)


@pytest.mark.parametrize("name", [n for n in EACH if n not in OWN])
def test_without_attention_equals_torchvision(name):
    torch.manual_seed(0)
    twin = torchvision.models.get_model(name, weights=None, num_classes=5).eval()
    ours = tiny(name)
    assert list(ours.state_dict()) == list(twin.state_dict())
    assert torch.equal(ours(images()), twin(images()))


@pytest.mark.parametrize("name", EACH)
def test_one_step_equals_the_plain_network(name):
    plain = tiny(name)
    one = attach_top_down(copy.deepcopy(plain), plain.top_down_blocks(), steps=1).eval()
    assert torch.equal(one(images()), plain(images()))


@pytest.mark.parametrize(
    ("name", "attention"),
    [(name, attention) for name in SMALL for attention in ATTENTIONS],
)
def test_every_parameter_learns(name, attention):
    model = tiny(name, attention=attention).train()
    for module in model.modules():
        if isinstance(module, torchvision.ops.StochasticDepth):
            module.p = 0.0  # a block that is left out by chance learns nothing
    model(images()).square().sum().backward()
    assert [n for n, p in model.named_parameters() if p.grad is None] == []
    if attention == "tdam":
        dead = [n for n, p in model.named_parameters() if not p.grad.abs().sum() > 0]
        assert dead == []


@pytest.mark.parametrize("name", FEW)
@pytest.mark.parametrize("steps", [1, 2, 3])
def test_steps_equal_networks_of_fewer_steps(name, steps):
    """Step t is the network whose last stage runs t steps, computed without sharing anything."""
    for distance in DEPTHS.get(name, (0, 1, 3)):
        model = tiny(name, attention="tdam", steps=steps, distance=distance)
        with torch.inference_mode():
            found = model.forward_steps(images())
            last = list_step_blocks(model)
            for step in range(1, steps + 1):
                for block in last:
                    block.steps = step
                logits = model(images())
                torch.testing.assert_close(found.logits[:, step - 1], logits, atol=1e-5, rtol=1e-4)
        assert found.features.shape[:2] == (2, steps)
        lights = steps if distance == 0 else steps - 1
        blocks = sum(isinstance(m, TopDownBlock) for m in model.modules())
        assert [len(light[0]) for light in found.searchlights] == [lights] * (
            blocks if lights else 0
        )
        assert all(light.min() >= 0 and light.max() <= 1 for light in found.searchlights)


@pytest.mark.parametrize("name", ["resnet50", "efficientnet_lite0", "mobilenet_v3_large"])
def test_skipping_tops_changes_nothing(name, monkeypatch):
    """Where the mean of a top is enough, inference does without the top."""
    model = tiny(name, attention="tdam", steps=3)
    with torch.inference_mode():
        quick = model(images())
        monkeypatch.setattr(TopDownBlock, "_mean_commutes", lambda self: False)
        torch.testing.assert_close(model(images()), quick, atol=1e-5, rtol=1e-4)


def test_tops_are_only_skipped_where_that_is_right():
    commutes = {
        (name, distance): list_step_blocks(tiny(name, attention="tdam", distance=distance))[0]
        for name, distance in [("resnet50", 1), ("resnet50", 2), ("resnet18", 1), ("vgg16", 1)]
    }
    assert {key: block._mean_commutes() for key, block in commutes.items()} == {
        ("resnet50", 1): True,
        ("resnet50", 2): False,
        ("resnet18", 1): False,
        ("vgg16", 1): False,
    }
    assert not commutes["resnet50", 1].train()._mean_commutes()
    largest = list_step_blocks(tiny("resnet50", attention="tdam", pooling="max"))[0]
    assert not largest._mean_commutes()


@pytest.mark.parametrize("name", FEW)
def test_identity_start(name):
    """From plain weights every step begins equal to the plain network, in any depth."""
    for distance in DEPTHS.get(name, (0, 1, 3)):
        plain = tiny(name)
        torch.manual_seed(0)
        ours = create_model(name, num_classes=5)
        blocks = ours.top_down_blocks()
        start_as_identity(attach_top_down(ours, blocks, steps=3, distance=distance))
        for training in (False, True):
            for network in (plain, ours):
                network.train(training)
                for module in network.modules():
                    if isinstance(module, (torch.nn.Dropout, torchvision.ops.StochasticDepth)):
                        module.eval()
            with torch.no_grad():
                torch.testing.assert_close(ours(images()), plain(images()), atol=1e-5, rtol=1e-4)
        with torch.no_grad():
            logits = ours.eval().forward_steps(images()).logits
        torch.testing.assert_close(logits, logits[:, :1].expand_as(logits), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_pretrained_weights_survive_attention(lite0, attention):
    ours = create_model("efficientnet_lite0", attention=attention, weights="pretrained")
    with torch.inference_mode():
        x = images(side=224)
        torch.testing.assert_close(ours(x), lite0(x), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    "name", ["resnet18", "resnet50", "efficientnet_lite0", "mobilenet_v3_large"]
)
def test_dilation_refines_the_same_map(name):
    """Every second pixel of the finer map is the coarse map."""
    coarse = tiny(name)
    with torch.inference_mode():
        wanted = features(coarse)
        for stride, first in ((16, 2), (8, 4)):
            fine = create_model(name, num_classes=5, output_stride=stride)
            fine.load_state_dict(coarse.state_dict())
            found = features(fine)
            assert found.shape[2:] == (64 // stride * 2, 64 // stride * 2)
            offset = first - 1 if name == "efficientnet_lite0" else 0  # its padding leans right
            torch.testing.assert_close(
                found[..., offset::first, offset::first], wanted, atol=1e-4, rtol=1e-3
            )


def features(model, side=128):
    return model.forward_steps(images(side=side)).features[:, 0]


@pytest.mark.parametrize("name", EACH)
def test_output_strides(name):
    for stride, dilated in ((32, True), (16, True), (16, False), (8, True)):
        with torch.device("meta"):
            model = tiny(name, attention="tdam", output_stride=stride, dilated=dilated)
            found = model.forward_steps(torch.zeros(2, 3, 64, 64))
        assert found.features.shape[-2:] == (64 // stride, 64 // stride)
    with pytest.raises(ValueError, match=r"one of \(32, 16, 8\) but got 4"):
        tiny(name, output_stride=4)


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_export_and_low_precision(name):
    model = tiny(name, attention="tdam")
    with torch.no_grad():
        wanted = model(images())
        some = ({0: torch.export.Dim("images", min=2, max=64)},)
        exported = torch.export.export(model, (images(),), dynamic_shapes=some).module()
        torch.testing.assert_close(exported(images()), wanted, atol=1e-5, rtol=1e-4)
        twice = exported(torch.cat([images(), images()]))
        torch.testing.assert_close(twice[len(wanted) :], wanted, atol=1e-5, rtol=1e-4)
        x = images().to(memory_format=torch.channels_last)
        model = model.to(memory_format=torch.channels_last)
        torch.testing.assert_close(model(x), wanted, atol=1e-4, rtol=1e-3)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            low = model(x), model.forward_steps(x).logits[:, -1]
    for logits in low:
        assert logits.dtype == torch.bfloat16
        torch.testing.assert_close(logits.float(), wanted, atol=0.1 * float(wanted.abs().max()),
                                   rtol=0.1)  # fmt: skip


@pytest.mark.slow
def test_compile_has_no_breaks():
    model = tiny("resnet18", attention="tdam", distance=2)
    with torch.no_grad():
        compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
        torch.testing.assert_close(compiled(images()), model(images()), atol=1e-5, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_compiles_and_exports(name):
    torch._dynamo.reset()
    model = tiny(name, attention="tdam")
    with torch.no_grad():
        wanted = model(images())
        compiled = torch.compile(model, fullgraph=True)
        torch.testing.assert_close(compiled(images()), wanted, atol=1e-4, rtol=1e-3)
        exported = torch.export.export(model, (images(),)).module()
        torch.testing.assert_close(exported(images()), wanted, atol=1e-5, rtol=1e-4)


def test_nan_goes_through():
    logits = tiny("resnet18", attention="tdam")(torch.full((1, 3, 64, 64), torch.nan))
    assert logits.isnan().all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, "steps to be at least 1 but got 0"),
        ({"distance": 3}, "distance from 0 to 2 in this block but got 3"),
        ({"distance": -1}, "distance from 0 to 2"),
        ({"searchlight": "bottom"}, "searchlight to be one of"),
        ({"attention": "nonlocal"}, "one of none, tdam, se, cbam, eca, fca but got 'nonlocal'"),
    ],
)
def test_wrong_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        tiny("resnet18", **{"attention": "tdam", **settings})


@pytest.mark.parametrize(
    ("network", "blocks", "distance"),
    [
        (lambda: timm.create_model("resnet26", num_classes=5), ["layer4.0", "layer4.1"], 3),
        (lambda: timm.create_model("resnet26", num_classes=5), ["layer4"], 1),
        (lambda: timm.create_model("resnet26", num_classes=5), ["layer4.1", "layer3.0"], 0),
        (
            lambda: timm.create_model("efficientnet_b0", num_classes=5),
            ["blocks.5", "blocks.6.0"],
            1,
        ),
        (lambda: torchvision.models.vgg11_bn(num_classes=5), ["features.15:21"], 1),
        (lambda: torchvision.models.densenet121(num_classes=5).features, ["transition3"], 1),
    ],
)
def test_attach_to_any_network(network, blocks, distance):
    torch.manual_seed(0)
    model = network().eval()
    for module in model.modules():  # timm's blocks begin with branches of zero
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1)
    with torch.no_grad():
        wanted = model(images())
    attached = attach_top_down(model, blocks, steps=2, distance=distance)
    assert attached is model
    with torch.no_grad():
        assert not torch.allclose(model.eval()(images()), wanted)
        start_as_identity(model).eval()
        torch.testing.assert_close(model(images()), wanted, atol=1e-5, rtol=1e-4)


def test_sequences_share_all_but_their_norms():
    model = timm.create_model("resnet26", num_classes=5)
    before = sum(p.numel() for p in model.parameters())
    norms = sum(m.weight.numel() * 2 for m in model.layer4[1].modules()
                if isinstance(m, torch.nn.BatchNorm2d))  # fmt: skip
    attach_top_down(model, ["layer4"], steps=2, distance=1)
    light = sum(p.numel() for p in model.layer4.top_down.attention.parameters())
    assert sum(p.numel() for p in model.parameters()) == before + norms + light


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        (["layer5"], r"of the network \(conv1, .*fc\) but got 'layer5'"),
        (["layer4.2"], r"of layer4 \(0, 1\) but got '2'"),
        (["layer4.0:3"], "part of a sequence of 2 modules but got 0:3"),
        (
            ["conv1"],
            "^conv1: Expected a block of a known type.* but got Conv2d.*such as",
        ),
        (["layer4.0", "layer4.0"], r"share nothing but got layer4\.0 and layer4\.0"),
        (["layer4.0:2", "layer4.1"], r"share nothing but got layer4\.0:2 and layer4\.1"),
        (["layer9.0"], "module of the network but got 'layer9'"),
    ],
)
def test_attach_to_what_is_no_block(blocks, message):
    model = torchvision.models.resnet18()
    with pytest.raises(ValueError, match=message):
        attach_top_down(model, ["layer3.1", *blocks])
    assert isinstance(model.layer3[1], torchvision.models.resnet.BasicBlock)  # nothing is changed


@pytest.mark.parametrize("blocks", [["0:4", "3:5"], ["0:3", "0:3"], ["2:5", "0:5"]])
def test_parts_that_overlap_in_any_layer(blocks):
    """The pooling, number 3, has no parameters but may run only once, too."""
    sequence = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Conv2d(4, 4, 3), torch.nn.MaxPool2d(2),
        torch.nn.Conv2d(4, 4, 3),
    )  # fmt: skip
    model, layers = torch.nn.ModuleDict({"f": sequence}), list(sequence)
    with pytest.raises(ValueError, match=r"share nothing but got f\."):
        attach_top_down(model, [f"f.{block}" for block in blocks])
    assert list(model["f"]) == layers


def test_attach_twice_and_in_double_precision():
    model = attach_top_down(torchvision.models.resnet18().double(), ["layer4.1"])
    assert model.eval()(images().double()).dtype == torch.float64
    with pytest.raises(ValueError, match=r"block without attention but layer4\.1 has some"):
        attach_top_down(model, ["layer4.1"])


def test_blocks_must_agree_on_their_steps():
    model = create_model("resnet18", num_classes=5)
    attach_top_down(model, ["layer4.0"], steps=2)
    attach_top_down(model, ["layer4.1"], steps=3)
    with pytest.raises(ValueError, match=r"as many steps in all blocks but got \[2, 3\]"):
        model.forward_steps(images())


def test_no_images_give_no_steps():
    found = tiny("resnet18", attention="tdam").forward_steps(torch.zeros(0, 3, 64, 64))
    assert found.logits.shape == (0, 2, 5)
    assert found.features.shape == (0, 2, 512, 2, 2)
