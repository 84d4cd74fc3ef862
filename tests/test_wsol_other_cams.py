"""Map methods of other libraries by name, against these libraries on the network itself."""

import copy

import numpy as np
import pytest
import timm
import torch
from small_cams import IDS, NO_CLASS, Deep, Tiny, images, ours
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from tdam.stretch import stretch
from wsol.maps import find_method
from wsol.maps.names import OTHER_METHODS

torchcam = pytest.importorskip("torchcam.methods")
gradcam = pytest.importorskip("pytorch_grad_cam")

RANDOM = {"torchcam:SSCAM", "torchcam:SmoothGradCAMpp", "grad-cam:RandomCAM"}


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
    "convolutions": (Tiny, "last", 12, None),
    "not linear behind": (Deep, "last", 12, None),
    "vit": (vit, "blocks.5.norm1", 160, places(1)),
    "registers": (registers, "blocks.1.norm1", 32, places(5)),
    "swin": (swin, "layers.1", 64, lambda x: x.permute(0, 3, 1, 2)),
}


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
    make, layer, side, turn = NETWORKS[case]
    if method == "torchcam:CAM" and make is not Tiny:
        pytest.skip("needs one linear layer behind the pooling")
    if method == "grad-cam:ShapleyCAM" and turn is not None:
        pytest.skip("the library multiplies weights by activations that it has not turned")
    network, seen = make(), images(side)
    made = ours(method, network, layer, seen)
    assert made.std() > 0
    wanted = theirs(method, network, layer, seen, turn)
    if method.startswith("grad-cam:"):
        made = as_gradcam_shows(made, side)
    np.testing.assert_allclose(made, wanted, rtol=1e-4, atol=1e-5 * float(wanted.abs().max()))


def differentiate(network, layer, image, label, order=1):
    """The layer's output and the class score's gradient; of order 2, also the Hessian's product."""
    kept = []
    handle = network.get_submodule(layer).register_forward_hook(
        lambda module, args, output: kept.append(output.detach().requires_grad_()) or kept[0]
    )
    with sdpa_kernel(SDPBackend.MATH):
        score = network(image)[0, label]
    handle.remove()
    (slope,) = torch.autograd.grad(score, kept, create_graph=True)
    if order == 1:
        return kept[0].detach(), slope.detach()
    (product,) = torch.autograd.grad(slope, kept, grad_outputs=kept)
    return kept[0].detach(), slope.detach(), product


@pytest.mark.parametrize("case", ["not linear behind", "swin"])
def test_shapley_cam_is_its_formula(case):
    make, layer, side, turn = NETWORKS[case]
    network, seen = make(), images(side)
    made = ours("grad-cam:ShapleyCAM", network, layer, seen)
    for row, label in enumerate(IDS):
        parts = differentiate(network, layer, seen[row : row + 1], label, order=2)
        shown, slope, product = parts if turn is None else map(turn, parts)
        weights = (slope - product / 2).mean(dim=(2, 3), keepdim=True)
        wanted = (weights * shown).sum(dim=1).relu()
        np.testing.assert_allclose(made[row], wanted[0], rtol=1e-4, atol=1e-6 * wanted.max())


@pytest.mark.parametrize("method", OTHER_METHODS)
def test_each_image_of_a_batch_has_its_own_class_and_no_part_in_the_others(method):
    layer = "last"
    network, seen = Tiny() if method == "torchcam:CAM" else Deep(), images()
    made = ours(method, network, layer, seen)
    alone = [
        ours(method, network, layer, seen[row : row + 1], IDS[row : row + 1]) for row in (2, 1)
    ]
    np.testing.assert_allclose(made[[2, 1]], torch.cat(alone), rtol=1e-4, atol=1e-7)
    other = ours(method, network, layer, seen, (1, 2, 0))
    np.testing.assert_allclose(other[[0, 2]], made[[0, 2]], rtol=1e-4, atol=1e-7)
    assert torch.equal(other[1], made[1]) == (method in NO_CLASS)


@pytest.mark.parametrize("method", OTHER_METHODS)
def test_the_network_and_random_numbers_are_as_they_were(method):
    network, seen = Tiny().train(), images()
    network.fc.eval()
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)
    network.fc.bias.requires_grad_(False)
    before = copy.deepcopy(network.state_dict())
    torch.manual_seed(5), np.random.seed(5)  # noqa: NPY002
    drawn = torch.rand(1), np.random.rand()  # noqa: NPY002
    torch.manual_seed(5), np.random.seed(5)  # noqa: NPY002
    made = ours(method, network, "last", seen)
    assert (torch.rand(1), np.random.rand()) == drawn  # noqa: NPY002
    assert torch.equal(ours(method, network, "last", seen), made)
    assert [m.training for m in network.modules()] == [True] * 6 + [False]
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in network.modules())
    assert all(torch.equal(p.grad, torch.ones_like(p)) for p in network.parameters())
    assert [p.requires_grad for p in network.parameters()] == [True] * 5 + [False]
    assert all(torch.equal(before[k], v) for k, v in network.state_dict().items())
    assert type(network.last) is nn.Tanh


@pytest.mark.parametrize("method", OTHER_METHODS)
def test_a_block_gives_the_maps_that_a_pass_does(method):
    network, seen = Tiny().eval(), images()
    wanted = ours(method, network, "last", seen)
    with find_method(method)(network, "last") as extractor:
        scores = network(seen)
        for _ in range(2):  # a second class needs the same graph
            made = extractor(torch.tensor(IDS), scores, normalized=False)[0]
            np.testing.assert_allclose(made, wanted, rtol=1e-5, atol=1e-7)


def test_progress_bars_are_not_shown(capsys):
    ours("grad-cam:ScoreCAM", Tiny(), "last", images())
    ours("grad-cam:AblationCAM", Tiny(), "last", images())
    assert capsys.readouterr() == ("", "")


class Flat(nn.Module):
    """A network of which each place of the layer has a weight of its own, as small as usual."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3, stride=4, padding=1), nn.ReLU())
        self.fc = nn.Linear(4 * 9, 4)
        nn.init.normal_(self.fc.weight, 0, 1e-3)

    def forward(self, images):
        return self.fc(self.body(images).flatten(1))


def grad_cam_pp(network, layer, image, label):
    r"""Grad-CAM++ by equations 7 and 19 of its paper, of derivatives that autograd takes.

    Y = exp(S); alpha = Y'' / (2 Y'' + sum_ab A_ab Y'''), derivatives at each place by its own
    activation; w = sum_ij alpha ReLU(Y'); the map is ReLU(sum_c w_c A_c).
    """
    kept = []
    handle = network.get_submodule(layer).register_forward_hook(
        lambda module, args, output: kept.append(output.detach().requires_grad_()) or kept[0]
    )
    score = network(image)[0, label].exp()
    handle.remove()
    (first,) = torch.autograd.grad(score, kept, create_graph=True)
    second, third = torch.zeros_like(first).flatten(), torch.zeros_like(first).flatten()
    for at, slope in enumerate(first.flatten()):
        (again,) = torch.autograd.grad(slope, kept, create_graph=True)
        second[at] = again.flatten()[at].detach()
        (more,) = torch.autograd.grad(again.flatten()[at], kept, retain_graph=True)
        third[at] = more.flatten()[at]
    second, third = second.view_as(first), third.view_as(first)
    total = kept[0].sum(dim=(2, 3), keepdim=True)
    alpha = torch.where(second == 0, 0, second / (2 * second + total * third))
    # Y' and with it the map is by Y larger than what libraries take, S' in place of Y'.
    weights = (alpha * first.relu()).sum(dim=(2, 3), keepdim=True) / score
    return (weights * kept[0]).sum(dim=1).relu().detach()


def test_gradcampp_is_that_of_the_paper_where_others_are_off():
    """One library adds 1e-6 to squares of gradients, the other sums A g^3 and not A times g^3."""
    network, seen = Flat().double().eval(), images().double()
    wanted = torch.cat(
        [grad_cam_pp(network, "body", seen[row : row + 1], label) for row, label in enumerate(IDS)]
    )
    assert (wanted.amax(dim=(1, 2)) > 0).all()
    made = ours("gradcampp", network, "body", seen)
    np.testing.assert_allclose(made, wanted, rtol=1e-6, atol=1e-6 * float(wanted.max()))
    for method in ("torchcam:GradCAMpp", "grad-cam:GradCAMPlusPlus"):
        off = stretch(ours(method, network, "body", seen)) - stretch(wanted.float())
        assert off.abs().max() > 0.05, method


def test_hirescam_is_that_of_grad_cam_and_its_formula():
    network, seen = Deep().eval(), images()
    made = ours("hirescam", network, "last", seen)
    np.testing.assert_allclose(made, ours("grad-cam:HiResCAM", network, "last", seen), rtol=1e-5)
    for row, label in enumerate(IDS):
        shown, slope = differentiate(network, "last", seen[row : row + 1], label)
        np.testing.assert_allclose(made[row], (slope * shown).sum(dim=1)[0].relu(), atol=1e-7)
