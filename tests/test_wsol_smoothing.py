"""Maps as the mean over mirrored and scaled views, for any method, and what tells of them."""

import json
from dataclasses import replace

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from torch import nn
from torch.nn.functional import interpolate

import wsol
from eval.splits import Split
from tdam import create_model, save_checkpoint
from tdam.preprocessing import Preprocessing
from wsol.benchmarking.experiment import Scoring
from wsol.errors import ArgumentError
from wsol.localizer import Localizer
from wsol.maps import find_method
from wsol.maps.passes import run_pass
from wsol.prediction import predict

SIDE = 96


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = create_model("resnet18", attention="tdam", steps=2, num_classes=3)
    model.spec = replace(model.spec, preprocessing=Preprocessing(size=SIDE))
    return model


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Images of noise, the fourth the mirror image of the first."""
    folder = tmp_path_factory.mktemp("noise")
    random = np.random.default_rng(0)
    for row in range(3):
        pixels = random.integers(0, 256, (6, 6, 3), np.uint8)
        Image.fromarray(pixels).resize((SIDE, SIDE)).save(folder / f"{row}.png")
    first = Image.open(folder / "0.png")
    first.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(folder / "3.png")
    return folder


@pytest.fixture
def split():
    boxes = tuple(np.array([[5, 5, 60, 50]]) for _ in range(4))
    ids = tuple(f"{row}.png" for row in range(4))
    return Split("test", ids, np.array([0, 1, 2, 0]), np.array([[SIDE, SIDE]] * 4), boxes)


@pytest.mark.parametrize("method", ["cam", "layercam"])
@pytest.mark.parametrize("smooth", ["flip", "flip+scale"])
def test_maps_are_the_mean_over_the_views(model, method, smooth):
    model.eval()
    shown = torch.rand(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    ids = torch.tensor([2, 0])

    def maps_of(seen):
        return run_pass(find_method(method)(model), seen, stepwise=True).maps(ids)

    wanted, sides = [], (64, SIDE, 128) if smooth == "flip+scale" else (SIDE,)
    for side in sides:
        scaled = interpolate(shown, (side, side), mode="bilinear", antialias=True)
        for back in (maps_of(scaled), maps_of(scaled.flip(3)).flip(3)):
            assert back.shape == (2, 2, side // 32, side // 32)
            wanted.append(interpolate(back, (3, 3), mode="bilinear", antialias=True))
    extractor = find_method(method)(model)
    extractor.smooth = smooth
    seen = run_pass(extractor, shown, stepwise=True)
    made = seen.maps(ids)
    np.testing.assert_allclose(made, torch.stack(wanted).mean(0), rtol=1e-4, atol=1e-6)
    assert torch.equal(made, seen.maps(ids))
    assert not torch.allclose(made, maps_of(shown), rtol=1e-2)


def test_mirrored_images_have_mirrored_maps_and_other_probabilities(model, images):
    one, other = (Localizer(model, smooth="flip")(images / f"{row}.png", 1) for row in (0, 3))
    usual = Localizer(model)(images / "0.png", 1)
    raw = one.steps[-1].raw
    np.testing.assert_allclose(raw, other.steps[-1].raw[:, ::-1], rtol=1e-4, atol=1e-6)
    assert not np.allclose(raw, usual.steps[-1].raw, rtol=1e-2)
    assert one.score == usual.score != other.score


def test_other_libraries_methods_are_smoothed_too(images):
    pytest.importorskip("pytorch_grad_cam")
    torch.manual_seed(0)
    model = create_model("resnet18", num_classes=3).eval()
    shown = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    extractor = find_method("grad-cam:HiResCAM")(model, "layer3")
    alone = run_pass(extractor, shown).maps(torch.tensor([1]))
    mirrored = run_pass(extractor, shown.flip(3)).maps(torch.tensor([1])).flip(3)
    extractor.smooth = "flip"
    made = run_pass(extractor, shown).maps(torch.tensor([1]))
    np.testing.assert_allclose(made, (alone + mirrored) / 2, rtol=1e-5, atol=1e-8)


class Fixed(nn.Module):
    """A network that takes images of one size and fails on others without a word."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3, stride=16)
        self.fc = nn.Linear(5 * 16, 3)

    def forward(self, images):
        assert images.shape[2:] == (64, 64)
        return self.fc(self.conv(images).relu().flatten(1))


def vit(**options):
    torch.manual_seed(0)
    return timm.models.VisionTransformer(
        img_size=64, patch_size=16, embed_dim=12, depth=1, num_heads=2, num_classes=3, **options
    )


@pytest.mark.parametrize(("make", "layer"), [(Fixed, "conv"), (vit, "blocks.0.norm1")])
def test_networks_of_one_size_are_mirrored_but_not_scaled(make, layer, spot):
    options = {"preprocessing": Preprocessing(size=64), "target_layer": layer}
    assert Localizer(make(), "gradcam", smooth="flip", **options)(spot).boxes.shape == (1, 4)
    told = r"Expected smooth to be none or flip, as the network runs on images of 64 x 64 but not"
    with pytest.raises(ValueError, match=told):
        Localizer(make(), "gradcam", smooth="flip+scale", **options)


def test_tokens_of_any_size_are_scaled(spot):
    network = vit(dynamic_img_size=True, reg_tokens=4)
    options = {"preprocessing": Preprocessing(size=64), "target_layer": "blocks.0.norm1"}
    found = Localizer(network, "gradcam", smooth="flip+scale", **options)(spot)
    assert found.steps[-1].raw.shape == (4, 4)


def test_unknown_ways_are_refused(model, images, split, tmp_path):
    told = "Expected smooth to be one of none, flip, flip\\+scale but got 'blur'"
    with pytest.raises(ValueError, match=told):
        Localizer(model, smooth="blur")
    with pytest.raises(ValueError, match=told):
        Scoring(smooth="blur")
    for act in (
        lambda: predict(model, images, smooth="blur"),
        lambda: wsol.evaluate(model, split, images, smooth="blur"),
    ):
        with pytest.raises(ArgumentError, match=told) as error:
            act()
        assert error.value.argument == "smooth"


def test_a_threshold_stored_with_the_weights_is_of_other_maps(model):
    model.threshold = 0.37
    assert Localizer(model).threshold == 0.37
    assert Localizer(model, smooth="flip").threshold == 0.2


def test_scores_and_fingerprints_tell(model, images, split, tmp_path):
    usual = wsol.evaluate(model, split, images, out=tmp_path / "usual")
    smooth = wsol.evaluate(model, split, images, smooth="flip", out=tmp_path / "smooth")
    assert "smooth" not in usual.to_dict()
    assert smooth.to_dict()["smooth"] == "flip"
    assert smooth.subject == f"{usual.subject}, smooth flip"
    told = [json.loads((tmp_path / n / "settings.json").read_text()) for n in ("usual", "smooth")]
    assert "smooth" not in told[0]
    assert told[1]["smooth"] == "flip"
    top1 = [each.to_dict()["top1_cls"] for each in (usual, smooth)]
    assert top1[0] == top1[1]


def test_sizes_are_checked_before_anything_is_scored(model, images, split):
    class Strict(type(model)):
        def forward(self, images):
            if images.shape[2] != SIDE:
                raise RuntimeError("no such size")
            return super().forward(images)

    model.__class__ = Strict
    with pytest.raises(ArgumentError, match=r"not of 64 x 64: no such size") as error:
        wsol.evaluate(model, split, images, smooth="flip+scale")
    assert error.value.argument == "smooth"


@pytest.mark.slow
def test_commands_take_it(model, images, tmp_path, run):
    weights = save_checkpoint(model, tmp_path / "w.safetensors")
    command = ("predict", images, "--checkpoint", weights, "--format", "jsonl", "--out", tmp_path)
    code, _, told = run(*command, "--smooth", "flip", "--force")
    assert code == 0, told
    code, _, told = run(*command, "--resume")
    assert code == 2
    assert "smooth (" in told
    code, _, told = run(*command, "--smooth", "flip", "--resume")
    assert code == 0, told
    code, _, told = run(*command, "--smooth", "blur", "--force")
    assert (code, "--smooth" in told) == (2, True)
