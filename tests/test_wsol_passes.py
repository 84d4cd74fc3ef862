import pytest
import torch
from torch import nn

from tdam import create_model
from tdam.recurrence import TopDownBlock
from wsol.maps import CAM, GradCAM, GradCAMpp, LayerCAM
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


def literal_maps(model, kind, ids, steps):
    """Let every block of the last stage run so many steps, and hook its layer's last call."""
    blocks = [block for block in model.last_stage() if isinstance(block, TopDownBlock)]
    whole = blocks[0].steps
    for block in blocks:
        block.steps = steps
    try:
        with kind(model) as extractor:
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
        ("efficientnet_lite0", 3, 3),  # the map layer itself runs again
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
    for step in range(steps):
        wanted = literal_maps(model, kind, ids, step + 1)
        most = float(wanted.abs().max())
        torch.testing.assert_close(maps[:, step], wanted, atol=1e-4 * most, rtol=1e-3)
    last = run_pass(kind(model), images())
    assert last.maps(ids).shape[:2] == (3, 1)
    torch.testing.assert_close(last.maps(ids)[:, 0], wanted, atol=1e-4 * most, rtol=1e-3)
    torch.testing.assert_close(last.probabilities[:, 0], seen.probabilities[:, -1])


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad])
def test_gradients_are_recorded_from_the_layer_on(mode):
    model = network("efficientnet_lite0")
    with mode():
        seen = run_pass(LayerCAM(model), images())
        assert torch.is_grad_enabled() == (mode is torch.enable_grad)
    (features,) = seen.features
    assert features.is_leaf
    assert seen.scores.requires_grad
    maps = [run_pass(LayerCAM(model), images()).maps(torch.tensor([i] * 3)) for i in (0, 0, 1)]
    assert torch.equal(maps[0], maps[1])
    assert not torch.equal(maps[0], maps[2])
    assert not run_pass(CAM(model), images()).scores.requires_grad
    assert not any(module._forward_hooks for module in model.modules())


def test_what_follows_may_write_into_the_output():
    """A residual sum is written over the output of the norm before it."""
    torch.manual_seed(0)
    model = create_model("resnet18", num_classes=5)
    kept = []
    handle = model.layer4[1].bn2.register_forward_hook(lambda *x: kept.append(x[2].clone()))
    seen = run_pass(GradCAM(model, "layer4.1.bn2"), images())
    handle.remove()
    assert torch.equal(seen.features[0], kept[0])
    assert torch.equal(seen.scores, model(images()))


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
