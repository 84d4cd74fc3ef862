"""Maps of layers whose channels lie anywhere: told from layer and image, or refused."""

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from torch import nn

from tdam.modes import evaluation_mode
from tdam.preprocessing import Preprocessing
from wsol import Localizer
from wsol.maps import find_method

pytestmark = pytest.mark.slow

TINY = {"img_size": 32, "patch_size": 8, "embed_dim": 12, "depth": 2, "num_heads": 2}


def vit(**options):
    torch.manual_seed(0)
    return timm.models.VisionTransformer(num_classes=3, **{**TINY, **options}).eval()


def swin():
    torch.manual_seed(0)
    return timm.models.SwinTransformer(
        img_size=64, patch_size=4, embed_dim=8, depths=(1, 1), num_heads=(2, 2), window_size=4,
        num_classes=3,
    ).eval()  # fmt: skip


def gradcam(network, layer, images, reshape):
    """Grad-CAM by its formula, with the gradient of the layer's whole output."""
    kept = []
    handle = network.get_submodule(layer).register_forward_hook(
        lambda module, args, output: kept.append(output.requires_grad_())
    )
    network.requires_grad_(False)
    score = network(images)[:, 1].sum()
    handle.remove()
    (gradient,) = torch.autograd.grad(score, kept)
    activation, gradient = reshape(kept[0]), reshape(gradient)
    weights = gradient.mean(dim=(2, 3), keepdim=True)
    return (weights * activation).sum(dim=1).relu().detach()


CASES = {
    "a class token": (vit, "blocks.1.norm1", 32,
                      lambda x: x[:, 1:].transpose(1, 2).reshape(len(x), -1, 4, 4)),
    "registers": (lambda: vit(reg_tokens=4, dynamic_img_size=True), "blocks.1.norm1", 48,
                  lambda x: x[:, 5:].transpose(1, 2).reshape(len(x), -1, 6, 6)),
    "no token before the patches": (lambda: vit(class_token=False, global_pool="avg"), "blocks.1",
                                    32, lambda x: x.transpose(1, 2).reshape(len(x), -1, 4, 4)),
    "channels last": (swin, "layers.1", 64, lambda x: x.permute(0, 3, 1, 2)),
    "channels first": (swin, "patch_embed.proj", 64, lambda x: x),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_maps_are_those_of_the_formula(case):
    build, layer, size, reshape = CASES[case]
    images = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(1))
    network = build()
    expected = gradcam(network, layer, images, reshape)
    with find_method("gradcam")(network, layer) as extractor:
        (maps,) = extractor(1, network(images), normalized=False)
    assert expected.max() > 0
    torch.testing.assert_close(maps, expected)
    with find_method("gradcam")(network, layer) as extractor:
        extractor.reshape = reshape
        (again,) = extractor(1, network(images), normalized=False)
    torch.testing.assert_close(again, maps, rtol=0, atol=0)


def test_scores_and_their_gradients_stay_what_they_were():
    network, images = vit(), torch.rand(1, 3, 32, 32)
    expected = network(images)
    (before,) = torch.autograd.grad(expected.sum(), [network.patch_embed.proj.weight])
    with find_method("gradcampp")(network, "blocks.1.norm1") as extractor:
        scores = network(images)
        extractor(0, scores)
        (after,) = torch.autograd.grad(scores.sum(), [network.patch_embed.proj.weight])
    torch.testing.assert_close(scores, expected, rtol=0, atol=0)
    torch.testing.assert_close(after, before)


class ConvNeXtBlock(nn.Module):
    """As many channels as rows and columns, behind an embedding whose patches overlap."""

    def __init__(self, last):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 4, 4, padding=1)
        self.norm = last
        self.head = nn.Linear(8, 2)

    def forward(self, x):
        x = self.norm(self.stem(x).permute(0, 2, 3, 1))
        return self.head(x.mean(dim=(1, 2)))


def run(network, layer, size, method="gradcam", count=2):
    with evaluation_mode(network), find_method(method)(network, layer) as extractor:
        with torch.enable_grad():
            scores = network(torch.rand(count, 3, *size))
        return extractor(0, scores)[0]


def test_what_cannot_be_told_is_refused():
    for network, layer, size, words in (
        (vit(), "head", (32, 32), r"got \(2, 3\)"),
        (vit(), "blocks.1.attn.attn_drop", (32, 32), "row and a column for each of the network's"),
        (swin(), "layers.0.blocks.0.attn", (64, 64), "as of parts of them"),
        (ConvNeXtBlock(nn.Identity()), "norm", (32, 32), "cannot be told; give reshape"),
        (nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.Flatten(2), nn.Linear(225, 9), nn.Flatten()),
         "1", (32, 32), "without an embedding of patches"),
    ):  # fmt: skip
        if isinstance(network, timm.models.VisionTransformer):
            for block in network.blocks:
                block.attn.fused_attn = False
        with pytest.raises(ValueError, match=words):
            run(network, layer, size)


def test_a_layer_may_tell_its_channels_and_an_image_its_rows():
    assert run(ConvNeXtBlock(nn.LayerNorm(8)), "norm", (32, 48)).shape == (2, 8, 12)
    wide = ConvNeXtBlock(nn.Identity())
    assert run(wide, "norm", (32, 48)).shape == (2, 8, 12)
    first = timm.create_model("resnet18", num_classes=2)
    assert run(first, "layer1", (256, 256), count=1).shape == (1, 64, 64)  # of 64 channels


def test_a_bright_square_is_found_in_tokens():
    """A network that sums bright patches, localized through its tokens."""
    network = vit(class_token=False, global_pool="avg", depth=1)
    with torch.no_grad():
        for block in network.blocks:
            block.attn.proj.weight.zero_()
            block.mlp.fc2.weight.zero_()
        network.pos_embed.zero_()
        network.patch_embed.proj.weight.fill_(0).narrow(0, 0, 1).fill_(1)
        network.norm = nn.Identity()
        network.head.weight.zero_()[1, 0] = 1
    shown = np.zeros((64, 96, 3), np.uint8)
    shown[16:48, 48:72] = 255
    plain = Preprocessing(size=32, mean=(0,) * 3, std=(1,) * 3)
    for method in ("gradcam", "gradcampp", "layercam"):
        localizer = Localizer(
            network, method, 0.3, target_layer="patch_embed", preprocessing=plain, names=list("abc")
        )
        found = localizer(Image.fromarray(shown), labels=1)
        np.testing.assert_allclose(found.boxes[0], [48, 16, 72, 48], atol=12)
