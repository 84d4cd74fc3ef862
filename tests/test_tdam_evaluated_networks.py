"""The three networks of the standard evaluation: values, map sizes, names, rates, weights."""

import pytest
import torch
import torchvision
from reference_evaluated import FINE, VGG, WIDTHS, Inception

from tdam import create_model, load_checkpoint, save_checkpoint
from tdam.training.recipe import Recipe
from tdam.training.schedule import group_parameters
from tdam.weights import WeightsError

CLASSES = 4
ADL_WIDTHS = (*WIDTHS[:10], "A", *FINE[10:13], "A", *FINE[13:], "A")
INCEPTION_BODY = ("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "Conv2d_3b_1x1",
                  "Conv2d_4a_3x3", "Mixed_5", "Mixed_6")  # fmt: skip


def shown(count=2):
    return torch.randn(count, 3, 224, 224, generator=torch.Generator().manual_seed(3))


def settle(twin):
    """Give a twin norms that have seen something."""
    torch.manual_seed(1)
    for module in twin.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return twin.eval()


TWINS = {
    "vgg16_conv6, 28 x 28": ("vgg16_conv6", 8, lambda: VGG(FINE, CLASSES)),
    "vgg16_conv6, 14 x 14": ("vgg16_conv6", 16, lambda: VGG(WIDTHS, CLASSES)),
    "vgg16_conv6 with ADL": ("vgg16_conv6", 8, lambda: VGG(ADL_WIDTHS, CLASSES)),
    "inception_v3, 28 x 28": ("inception_v3", 8, lambda: Inception(True, CLASSES)),
    "inception_v3, 14 x 14": ("inception_v3", 16, lambda: Inception(False, CLASSES)),
}


@pytest.mark.parametrize("which", TWINS)
def test_published_files_load_and_give_the_twins_scores_and_maps(which, tmp_path):
    name, stride, build = TWINS[which]
    torch.manual_seed(0)
    twin = settle(build())
    torch.save({"state_dict": twin.state_dict()}, tmp_path / "published.pth.tar")
    ours = create_model(
        name, num_classes=CLASSES, output_stride=stride, dilated=False,
        weights=tmp_path / "published.pth.tar",
    )  # fmt: skip
    with torch.no_grad():
        wanted, found = twin(shown()), ours.forward_steps(shown())
        torch.testing.assert_close(found.logits[:, 0], wanted, atol=1e-5, rtol=1e-5)
        weights = ours.get_submodule(ours.spec.classifier).weight
        maps = torch.einsum("nchw,kc->nkhw", found.features[:, 0], weights)
    side = 224 // stride
    assert maps.shape == (2, CLASSES, side, side)
    torch.testing.assert_close(maps, twin.class_maps(), atol=1e-5, rtol=1e-4)


def test_resnet50_has_maps_of_28_and_takes_a_file_with_layers_between_its_blocks(tmp_path):
    torch.manual_seed(0)
    twin = torchvision.models.resnet50(num_classes=CLASSES)
    with torch.no_grad():
        twin.layer4[2].bn3.weight.fill_(0.7)
    for stage, place in ((twin.layer3, 1), (twin.layer4, 1), (twin.layer4, 4)):
        stage.insert(place, torch.nn.Identity())  # where ADL stands
    torch.save(twin.state_dict(), tmp_path / "adl.pth")
    options = {"num_classes": CLASSES, "output_stride": 8, "dilated": False}
    ours = create_model("resnet50", weights=tmp_path / "adl.pth", **options)
    for stage in (twin.layer3, twin.layer4):
        for module in stage.modules():
            if isinstance(module, torch.nn.Conv2d):
                module.stride = (1, 1)
    with torch.no_grad():
        found = ours.forward_steps(shown(1))
        assert found.features.shape[-2:] == (28, 28)
        torch.testing.assert_close(found.logits[:, 0], twin.eval()(shown(1)), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "slow"),
    [
        ("vgg16_conv6", ("features.",)),
        ("inception_v3", INCEPTION_BODY),
        ("vgg16", ("features.",)),
        ("resnet50", ("conv1.", "bn1.", "layer1.", "layer2.", "layer3.")),
    ],
)
@pytest.mark.parametrize("head", ["own", "acol"])
def test_rates_are_the_evaluations(name, slow, head):
    """Everything new learns ten times as fast, and of ResNet-50 the last stage too."""
    stages = (1, 1, 1, 10) if name == "resnet50" else ()
    with torch.device("meta"):
        model = create_model(name, num_classes=CLASSES)
    if head == "acol":
        model = create_model(name, num_classes=CLASSES, head="acol")
    groups = group_parameters(model, Recipe(lr=1e-3, head_lr=10.0, stage_lr=stages))
    rates = {id(p): group["lr"] for group in groups for p in group["params"]}
    for each, parameter in model.named_parameters():
        wanted = 1e-3 if each.startswith(slow) else 1e-2
        assert rates[id(parameter)] == pytest.approx(wanted), each


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("vgg16", "vgg16-397923af.pth"),
        ("vgg16_conv6", "vgg16-397923af.pth"),
        ("inception_v3", "inception_v3_google-0cc3c7bd.pth"),
    ],
)
def test_training_begins_from_torchvisions_convolutions(name, file, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("tdam.torchvision_files.read_hash", lambda _: "")
    there = tmp_path / "hub/checkpoints"
    there.mkdir(parents=True)
    torch.manual_seed(5)
    build = torchvision.models.vgg16 if name.startswith("vgg") else torchvision.models.inception_v3
    options = {} if name.startswith("vgg") else {"init_weights": False}
    theirs = build(num_classes=7, **options).state_dict()
    torch.save(theirs, there / file)
    model = create_model(name, weights="imagenet1k_v1", new_head=True, num_classes=CLASSES)
    own = model.state_dict()
    shared = [key for key in own if key.startswith(("features.", *INCEPTION_BODY))]
    assert len(shared) == (26 if name.startswith("vgg") else 6 * 70)
    assert all(torch.equal(own[key], theirs[key]) for key in shared)
    classifier = f"{model.spec.classifier}."
    for key in set(own) - set(shared):
        assert own[key].any() == (not key.startswith(classifier) and key.endswith("weight")), key
    with pytest.raises(WeightsError, match="are its convolutions alone"):
        create_model(name, weights="imagenet1k_v1")
    with pytest.raises(
        WeightsError, match=f"no weights for {name}: .* imagenet1k_v1 with new_head"
    ):
        create_model(name, weights="pretrained", num_classes=CLASSES)


def test_a_file_of_ours_comes_back(tmp_path):
    for name in ("vgg16_conv6", "inception_v3"):
        model = create_model(name, num_classes=CLASSES, attention="tdam", output_stride=8)
        again, info = load_checkpoint(save_checkpoint(model, tmp_path / f"{name}.safetensors"))
        assert info.settings == model.settings
        with torch.no_grad():
            assert torch.equal(again(shown(1)), model(shown(1)))
