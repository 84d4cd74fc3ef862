"""Map methods of other libraries by name, against these libraries on the network itself."""

import copy

import numpy as np
import pytest
import timm
import torch
from torch import nn

from tdam import create_model
from wsol.maps import GradCAMpp, HiResCAM, find_method
from wsol.maps.names import OTHER_METHODS, SLOW_METHODS, check_method, settle_method
from wsol.maps.passes import run_pass
from wsol.runtime import evaluation_mode

torchcam = pytest.importorskip("torchcam.methods")
gradcam = pytest.importorskip("pytorch_grad_cam")

IDS = (1, 3, 0)
RANDOM = {"torchcam:SSCAM", "torchcam:SmoothGradCAMpp", "grad-cam:RandomCAM"}
NO_CLASS = {"grad-cam:EigenCAM", "grad-cam:FEM", "grad-cam:KPCA_CAM", "grad-cam:RandomCAM"}


class Tiny(nn.Module):
    """A network whose activations have both signs, so that no ReLU hides a difference."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(
            nn.Conv2d(3, 6, 3, stride=2, padding=1), nn.Tanh(), nn.Conv2d(6, 8, 3, padding=1)
        )
        self.last = nn.Tanh()
        self.fc = nn.Linear(8, 4)

    def forward(self, images):
        return self.fc(self.last(self.body(images)).mean(dim=(2, 3)))


class Deep(Tiny):
    """One that is not linear behind the layer, of which all derivatives say something."""

    def forward(self, images):
        return self.fc(torch.tanh(2 * self.last(self.body(images))).pow(2).mean(dim=(2, 3)))


def images(side=12, count=3):
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(1)) - 0.3


def vit():
    torch.manual_seed(0)
    return timm.create_model("test_vit", num_classes=4).eval()


def registers():
    torch.manual_seed(0)
    return timm.models.VisionTransformer(
        img_size=32, patch_size=8, embed_dim=12, depth=2, num_heads=2, num_classes=4, reg_tokens=4
    ).eval()


def swin():
    torch.manual_seed(0)
    return timm.models.SwinTransformer(
        img_size=64, patch_size=4, embed_dim=8, depths=(1, 1), num_heads=(2, 2), window_size=4,
        num_classes=4,
    ).eval()  # fmt: skip


def places(prefix):
    def turn(x):
        side = int((x.shape[1] - prefix) ** 0.5)
        return x[:, prefix:].transpose(1, 2).reshape(len(x), -1, side, side)

    return turn


NETWORKS = {
    "convolutions": (Tiny, "last", 12, None, 4),
    "not linear behind": (Deep, "last", 12, None, 4),
    "vit": (vit, "blocks.5.norm1", 160, places(1), 4),
    "registers": (registers, "blocks.1.norm1", 32, places(5), 4),
    "swin": (swin, "layers.1", 64, lambda x: x.permute(0, 3, 1, 2), 4),
}


def ours(method, network, layer, seen, ids=IDS):
    with evaluation_mode(network):
        return run_pass(find_method(method)(network, layer), seen).maps(torch.tensor(ids))[:, 0]


def theirs(method, network, layer, seen, turn, ids=IDS):
    """The library's map of each image, as large as it comes, from its own hooks."""
    library, _, name = method.partition(":")
    network = copy.deepcopy(network).eval()
    layer, maps = network.get_submodule(layer), []
    for image, label in zip(seen.split(1), ids, strict=True):
        if library == "torchcam":
            options = {} if turn is None else {"reshape_transform": turn}
            with getattr(torchcam, name)(network, layer, **options) as extractor:
                scores = network(image)
                maps.append(extractor([label], scores, normalized=False)[0])
        else:
            options = {"reshape_transform": turn}
            if name == "AblationCAM" and turn is not None:
                options["ablation_layer"] = gradcam.ablation_layer.AblationLayerVit()
            extractor = getattr(gradcam, name)(network, [layer], **options)
            target = gradcam.utils.model_targets.ClassifierOutputTarget(label)
            maps.append(torch.from_numpy(extractor(image, [target])))
    return torch.cat(maps).detach()


def as_gradcam_shows(maps, side):
    """What grad-cam makes of the map of a layer: stretched and enlarged, and stretched again."""
    scale = gradcam.utils.image.scale_cam_image
    return torch.from_numpy(scale(scale(maps.numpy(), (side, side))))


COMPARED = [name for name in OTHER_METHODS if name not in RANDOM]


@pytest.mark.parametrize("case", NETWORKS)
@pytest.mark.parametrize("method", COMPARED)
def test_maps_are_those_that_the_library_makes_of_the_network(method, case):
    make, layer, side, turn, _ = NETWORKS[case]
    if method == "torchcam:CAM" and make is not Tiny:
        pytest.skip("needs one linear layer behind the pooling")
    network, seen = make(), images(side)
    made = ours(method, network, layer, seen)
    assert made.std() > 0
    wanted = theirs(method, network, layer, seen, turn)
    if method.startswith("grad-cam:"):
        made = as_gradcam_shows(made, side)
    np.testing.assert_allclose(made, wanted, rtol=1e-5, atol=1e-5 * float(wanted.abs().max()))
