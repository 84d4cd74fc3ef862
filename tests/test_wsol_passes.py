import pytest
import torch
from torch import nn

from tdam import create_model
from tdam.steps import list_step_blocks
from wsol.maps import CAM, GradCAM, GradCAMpp, LayerCAM, ScoreCAM
from wsol.maps.passes import run_pass


def network(name, **settings):
    torch.manual_seed(0)
    model = create_model(name, attention="tdam", num_classes=5, **settings)
    for module in model.modules():  # fresh norms would make all steps nearly the same
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.5)
    return model


def images(side=64):
    return torch.rand(3, 3, side, side, generator=torch.Generator().manual_seed(1))


def literal_maps(model, kind, ids, steps, layer):
    """Let every block of the last stage run so many steps, and hook what runs last as the layer."""
    blocks = list_step_blocks(model)
    whole = blocks[0].steps
    for block in blocks:
        block.steps = steps
    try:
        with kind(model, layer) as extractor:
            return extractor(ids, model(images()), normalized=False)[0]
    finally:
        for block in blocks:
            block.steps = whole


@pytest.mark.parametrize("kind", [CAM, GradCAM, GradCAMpp, LayerCAM])
@pytest.mark.parametrize(
    ("name", "steps", "distance"),
    [
        ("efficientnet_lite0", 3, 1),
        ("efficientnet_lite0", 2, 2),
        ("efficientnet_lite0", 3, 3),  # the map layer itself runs again, each step with its norm
        ("resnet18", 3, 2),
    ],
)
def test_every_step_equals_a_network_with_so_many_steps(name, steps, distance, kind):
    model = network(name, steps=steps, distance=distance)
    ids = torch.tensor([3, 0, 4])
    seen = run_pass(kind(model), images(), stepwise=True)
    maps = seen.maps(ids)
    assert maps.shape[:2] == (3, steps)
    assert not torch.allclose(maps[:, 0], maps[:, -1], rtol=1e-2)
    again = distance == 3 and kind is not CAM
    assert len(seen.features) == (steps if again else 1)
    for step in range(steps):
        layer = f"blocks.6.0.top_down.norms.{step - 1}.bn1" if again and step else None
        wanted = literal_maps(model, kind, ids, step + 1, layer)
        most = float(wanted.abs().max())
        torch.testing.assert_close(maps[:, step], wanted, atol=1e-4 * most, rtol=1e-3)
    last = run_pass(kind(model), images())
    assert last.maps(ids).shape[:2] == (3, 1)
    torch.testing.assert_close(last.maps(ids)[:, 0], wanted, atol=1e-4 * most, rtol=1e-3)
    torch.testing.assert_close(last.probabilities[:, 0], seen.probabilities[:, -1])


@pytest.mark.slow
@pytest.mark.parametrize("layer", [None, "layer4.1.bn2"])
def test_scorecam_asks_each_step_for_its_own_scores(layer):
    """A network with so many steps says the same; with m = 1 the last norm runs at every step."""
    model = network("resnet18", steps=2, distance=1, output_stride=8).eval()
    seen_at = images(24)[:1]
    ids = torch.tensor([3])
    maps = run_pass(ScoreCAM(model, layer), seen_at, stepwise=True).maps(ids)
    assert not torch.allclose(maps[:, 0], maps[:, 1], rtol=1e-2)
    for step in range(2):
        for block in list_step_blocks(model):
            block.steps = step + 1
        place = "layer4.1.top_down.norms.0.bn2" if layer and step else layer
        with ScoreCAM(model, place) as extractor:
            (wanted,) = extractor(ids, model(seen_at), normalized=False)
        torch.testing.assert_close(maps[:, step], wanted, atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize(
    "distance", [0, 1, *(pytest.param(m, marks=pytest.mark.slow) for m in (2, 3))]
)
@pytest.mark.parametrize("layer", [None, "blocks.6.0.bn2", "blocks.6.0.bn3"])
def test_attention_that_has_not_learned_shows_what_the_plain_network_does(distance, layer):
    """It begins as the identity, wherever the layer of the maps lies and whatever runs again."""
    plain = create_model("efficientnet_lite0", weights="pretrained")
    model = create_model(
        "efficientnet_lite0",
        weights="pretrained",
        attention="tdam",
        steps=3,
        distance=distance,
    )
    ids = torch.tensor([281, 207, 1])
    wanted = run_pass(GradCAMpp(plain, layer), images(128)).maps(ids)
    most = float(wanted.max())
    assert most > 0
    maps = run_pass(GradCAMpp(model, layer), images(128), stepwise=layer is None).maps(ids)
    assert maps.shape[2:] == wanted.shape[2:] == (4, 4)
    for step in range(maps.shape[1]):
        torch.testing.assert_close(maps[:, step], wanted[:, 0], atol=1e-4 * most, rtol=1e-3)
    with GradCAMpp(model, layer) as extractor:
        found = extractor(ids, model(images(128)), normalized=False)[0]
    torch.testing.assert_close(found, wanted[:, 0], atol=1e-4 * most, rtol=1e-3)


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad])
def test_gradients_are_recorded_from_the_layer_on(mode):
    model = network("efficientnet_lite0")
    with mode():
        seen = run_pass(LayerCAM(model), images())
        assert torch.is_grad_enabled() == (mode is torch.enable_grad)
        maps = [run_pass(LayerCAM(model), images()).maps(torch.tensor([i] * 3)) for i in (0, 0, 1)]
    (features,) = seen.features
    assert features.is_leaf
    assert seen.scores.requires_grad
    assert torch.equal(maps[0], maps[1])
    assert not torch.equal(maps[0], maps[2])
    assert not run_pass(CAM(model), images()).scores.requires_grad
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize("kind", [GradCAM, GradCAMpp, LayerCAM])
def test_what_follows_may_write_into_the_output(kind):
    """A residual sum is written over the output of the norm before it."""
    torch.manual_seed(0)
    model = create_model("resnet18", num_classes=5).requires_grad_(False)
    kept = []
    layer = model.layer4[1].bn2
    handle = layer.register_forward_hook(lambda *x: kept.append(x[2].clone()))
    seen = run_pass(kind(model, layer), images())
    with kind(model, layer) as extractor:
        scores = model(images())
        assert torch.equal(extractor.activations[0], kept[1])
        maps = extractor([0, 1, 2], scores, normalized=False)[0]
    handle.remove()
    assert torch.equal(seen.features[0], kept[0])
    assert torch.equal(seen.scores, model(images()))
    torch.testing.assert_close(seen.maps(torch.tensor([0, 1, 2]))[:, 0], maps)


def test_the_sum_is_not_taken_for_the_layer_without_gradients():
    torch.manual_seed(0)
    model = create_model("resnet18", num_classes=5)
    kept = []
    handle = model.layer4[1].bn2.register_forward_hook(lambda *x: kept.append(x[2].clone()))
    seen = run_pass(CAM(model, "layer4.1.bn2"), images())
    handle.remove()
    assert torch.equal(seen.features[0], kept[0])


def test_wrong_use():
    model = network("resnet18")
    model.spare = nn.Conv2d(3, 3, 1)
    with pytest.raises(ValueError, match="run the target layer"):
        run_pass(LayerCAM(model, "spare"), images())
    with pytest.raises(ValueError, match=r"\(N, C, h, w\)"):
        run_pass(LayerCAM(model, "fc"), images())
    with torch.inference_mode(), pytest.raises(RuntimeError, match="inference_mode"):
        run_pass(LayerCAM(model), images())
    assert not any(module._forward_hooks for module in model.modules())
