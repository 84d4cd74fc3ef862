import pytest
import torch
from torch import nn

from tdam import create_model
from wsol.maps import CAM, METHODS, GradCAM, GradCAMpp, LayerCAM, ScoreCAM, XGradCAM, find_method
from wsol.maps.names import settle_method


class Tiny(nn.Module):
    """Two convolutions, global pooling, one linear layer: small enough to compute by hand."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(inplace=True))
        self.last = nn.Sequential(nn.Conv2d(4, 6, 3, stride=2), nn.ReLU(inplace=True))
        self.fc = nn.Linear(6, 5)

    def forward(self, x):
        return self.fc(self.last(self.body(x)).mean(dim=(2, 3)))


@pytest.fixture
def tiny():
    torch.manual_seed(0)
    return Tiny()


@pytest.fixture
def batch():
    return torch.rand(2, 3, 9, 11, generator=torch.Generator().manual_seed(1))


def test_cam_by_hand(tiny, batch):
    features = tiny.last(tiny.body(batch))
    expected = (features * tiny.fc.weight[[3, 1]][..., None, None]).mean(dim=1)
    with torch.inference_mode(), CAM(tiny, "last", "fc") as extractor:
        scores = tiny(batch)
        (found,) = extractor([3, 1], scores, normalized=False)
    torch.testing.assert_close(found, expected)


def test_cam_adds_up_to_the_logit(tiny, batch):
    with CAM(tiny, "last", "fc") as extractor:
        scores = tiny(batch)
        (found,) = extractor(2, scores, normalized=False)
    torch.testing.assert_close(found.mean(dim=(1, 2)) * 6 + tiny.fc.bias[2], scores[:, 2])


def test_layercam_by_hand(tiny, batch):
    """After global pooling every pixel's gradient is the class weight over the number of pixels."""
    features = tiny.last(tiny.body(batch))
    pixels = features.shape[2] * features.shape[3]
    weights = tiny.fc.weight[4][None, :, None, None].relu() / pixels
    expected = (features * weights).sum(dim=1)
    with LayerCAM(tiny, "last") as extractor:
        (found,) = extractor(4, tiny(batch), normalized=False)
    torch.testing.assert_close(found, expected)


def gradient_of(tiny, batch, class_id):
    """Features of a layer that is not last, shifted to both signs, and the score's gradient."""
    features = (tiny.body(batch) - 0.2).detach().requires_grad_()
    score = tiny.fc(tiny.last(features).mean(dim=(2, 3)))[:, class_id]
    (gradient,) = torch.autograd.grad(score.sum(), features)
    return features.detach().double(), gradient.double()


def weights_of_gradcam(activation, gradient):
    return gradient.sum() / gradient.numel()


def weights_of_gradcampp(activation, gradient):
    total = 0
    for g in gradient.flatten():
        if g > 0:
            alpha = g**2 / (2 * g**2 + g**3 * max(activation.sum(), 0))
            total = total + alpha * g
    return total


def weights_of_xgradcam(activation, gradient):
    return (gradient * activation).sum() / activation.sum()


@pytest.mark.parametrize(
    ("kind", "weigh"),
    [
        (GradCAM, weights_of_gradcam),
        (GradCAMpp, weights_of_gradcampp),
        (XGradCAM, weights_of_xgradcam),
    ],
)
def test_weights_by_hand(tiny, batch, kind, weigh):
    """Channel by channel, as the papers have it, behind a layer whose gradient is not constant."""

    class Shift(nn.Module):
        def forward(self, x):
            return x - 0.2

    features, gradient = gradient_of(tiny, batch, 2)
    assert features.min() < 0 < features.max()
    tiny.body.append(Shift())
    with kind(tiny, "body") as extractor:
        (found,) = extractor(2, tiny(batch), normalized=False)
    for row in range(2):
        wanted = sum(weigh(a, g) * a for a, g in zip(features[row], gradient[row], strict=True))
        torch.testing.assert_close(found[row], wanted.relu().float(), atol=1e-7, rtol=1e-3)
    assert found.max() > 0


def test_a_channel_without_a_sum_has_no_part(tiny, batch):
    """Its weight by XGrad-CAM would be 0 / 0."""
    with torch.no_grad():
        tiny.body[0].weight[1] = 0
        tiny.body[0].bias[1] = 0
    with XGradCAM(tiny, "body") as extractor:
        (found,) = extractor(2, tiny(batch), normalized=False)
    assert found.isfinite().all()
    assert found.max() > 0


def test_scorecam_by_hand(tiny, batch):
    """Channel by channel: show the image through it, ask for the class, weigh by the answers."""
    with torch.no_grad():
        tiny.body[0].weight[1] = 0  # a channel without contrast has no part
        tiny.body[0].bias[1] = 0.3
    tiny.body.train()
    with ScoreCAM(tiny, "body") as extractor:
        (found,) = extractor([4, 2], tiny(batch), normalized=False)
        (again,) = extractor([4, 2], tiny(batch), normalized=False)
        (other,) = extractor(0, tiny(batch), normalized=False)
    black = tiny(torch.zeros_like(batch))
    for row, label in enumerate([4, 2]):
        gains, shown = [], []
        for channel in tiny.body(batch)[row].detach():
            low, high = channel.min(), channel.max()
            if low < high:
                mask = (channel - low) / (high - low)
                score = tiny((batch[row] * mask)[None])[0, label]
                gains.append((score - black[row, label]).exp().item())
                shown.append(channel)
        assert len(shown) == 3
        wanted = sum(g / sum(gains) * each for g, each in zip(gains, shown, strict=True)).relu()
        torch.testing.assert_close(found[row], wanted)
    assert torch.equal(found, again)
    assert not torch.equal(found, other)
    assert tiny.body.training
    flat = torch.zeros_like(batch)
    tiny.body[0].weight.data.zero_()
    with ScoreCAM(tiny, "body") as extractor:
        assert extractor(0, tiny(flat), normalized=False)[0].abs().max() == 0


def test_several_layers_and_normalized(tiny, batch):
    with LayerCAM(tiny, ["body", tiny.last]) as extractor:
        maps = extractor(0, tiny(batch))
    assert [m.shape for m in maps] == [(2, 9, 11), (2, 4, 5)]
    assert all(m.min() == 0 and m.max() == 1 for m in maps)


def test_layercam_for_two_classes_of_one_pass(tiny, batch):
    with LayerCAM(tiny, "last") as extractor:
        scores = tiny(batch)
        first, second = extractor(0, scores), extractor(3, scores)
    assert not torch.equal(first[0], second[0])


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("name", list(METHODS))
def test_the_model_is_left_as_it_was(tiny, batch, name, frozen):
    tiny.requires_grad_(not frozen)
    tiny.body.eval()
    modes = [module.training for module in tiny.modules()]
    with find_method(name)(tiny, "last") if name != "cam" else CAM(tiny, "last", "fc") as extractor:
        extractor(1, tiny(batch))
    assert [module.training for module in tiny.modules()] == modes
    assert all(p.grad is None for p in tiny.parameters())
    assert all(p.requires_grad is not frozen for p in tiny.parameters())
    assert not any(module._forward_hooks for module in tiny.modules())
    assert not tiny._forward_pre_hooks


@pytest.mark.parametrize("options", [(CAM, "last", "fc"), (ScoreCAM, "last")])
def test_hooks_are_gone_after_an_exception(tiny, options):
    kind, *layers = options
    with pytest.raises(RuntimeError), kind(tiny, *layers):
        tiny(torch.rand(1, 7, 9, 9))
    assert not any(module._forward_hooks for module in tiny.modules())
    assert not tiny._forward_pre_hooks


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_gradients_that_cannot_be_had_are_explained(tiny, batch, mode):
    message = "LayerCAM needs gradients: run the model outside no_grad"
    with mode(), LayerCAM(tiny, "last"), pytest.raises(RuntimeError, match=message):
        tiny(batch)


def test_wrong_use(tiny, batch):
    with pytest.raises(ValueError, match=r"at the top: body, last, fc\) but got 'head'"):
        CAM(tiny, "head", "fc")
    flat = nn.Sequential(nn.Flatten(), nn.Linear(3 * 224 * 224, 5))
    with pytest.raises(ValueError, match="target_layer for a network that is not registered"):
        CAM(flat)
    with pytest.raises(TypeError, match="name or a module"):
        CAM(tiny, 3, "fc")
    with CAM(tiny, "body", "fc") as extractor, pytest.raises(ValueError, match="use LayerCAM"):
        extractor(0, tiny(batch))
    with CAM(tiny, "last", "fc") as extractor:
        with pytest.raises(ValueError, match="forward pass"):
            extractor(0, torch.zeros(2, 5))
        scores = tiny(batch)
        with pytest.raises(ValueError, match="from 0 to 4"):
            extractor(5, scores)
        with pytest.raises(ValueError, match="one class or 2 but got 3"):
            extractor([1, 2, 3], scores)
    with CAM(tiny, "fc", "fc"), pytest.raises(ValueError, match=r"\(N, C, h, w\)"):
        tiny(batch)


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (CAM, ["CAM", "cam"]),
        (LayerCAM, ["LayerCAM", "layer-cam", "LAYER_CAM"]),
        (GradCAM, ["Grad-CAM"]),
        (GradCAMpp, ["gradcam++", "GradCAMpp", "Grad-CAM++"]),
        (XGradCAM, ["XGrad-CAM"]),
        (ScoreCAM, ["Score-CAM"]),
    ],
)
def test_names_in_any_case(kind, names):
    assert {find_method(name) for name in names} == {kind}


def test_unknown_methods_list_the_known():
    told = r"one of cam, .*, scorecam, torchcam:NAME, grad-cam:NAME but got 'grad'"
    with pytest.raises(ValueError, match=told):
        find_method("grad")


def test_cam_is_for_heads_that_allow_it():
    model = create_model("convnext_tiny", num_classes=2)
    assert settle_method("auto", model) == settle_method("layer-cam", model) == "layercam"
    with pytest.raises(ValueError, match="convnext_tiny has none; use layercam"):
        settle_method("cam", model)


def test_registered_networks_know_their_layers():
    model = create_model("resnet18")
    with CAM(model) as extractor:
        (found,) = extractor(0, model(torch.zeros(1, 3, 64, 96)))
    assert found.shape == (1, 2, 3)
