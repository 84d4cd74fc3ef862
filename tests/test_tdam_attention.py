import itertools

import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from tdam import TopDownAttention
from tdam.attention import ORDERS, POOLINGS, SEARCHLIGHTS


def literal(module, bottom, top):
    """The formulas as they are written, one line each, with every intermediate map."""
    searchlights = []
    for pool in ("average", "max") if module.pooling == "both" else (module.pooling,):
        reduce = {"average": torch.mean, "max": torch.amax}[pool]
        zt, zb = reduce(top, dim=(2, 3)), reduce(bottom, dim=(2, 3))
        ut = module.from_top.weight.flatten(1)
        u = module.to_bottom.weight.flatten(1)
        hidden = F.relu(zt @ ut.T)
        if module.searchlight != "top":
            ub = F.relu(zb @ module.from_bottom.weight.flatten(1).T)
            hidden = torch.cat([hidden, ub], 1) if module.searchlight == "joint" else hidden + ub
        searchlights.append(hidden @ u.T)
    s = sum(searchlights)[..., None, None]
    x, a = bottom, None
    for part in module.order.split("->"):
        if part == "channel":
            x = torch.sigmoid(s) * x
        else:
            a = torch.sigmoid((s * x).sum(dim=1, keepdim=True))
            x = a * x
    if a is None:
        a = torch.sigmoid((s * x).sum(dim=1, keepdim=True))
    return x, a[:, 0]


@pytest.mark.parametrize(
    ("searchlight", "order", "pooling"), list(itertools.product(SEARCHLIGHTS, ORDERS, POOLINGS))
)
def test_equals_the_formulas(searchlight, order, pooling):
    torch.manual_seed(0)
    module = TopDownAttention(24, 48, searchlight=searchlight, order=order, pooling=pooling)
    bottom, top = torch.randn(3, 24, 7, 5), torch.randn(3, 48, 4, 3)
    found, light = module(bottom, top)
    wanted, shown = literal(module, bottom, top)
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(light, shown, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("order", ORDERS)
def test_identity_start_is_exact_and_can_learn(order):
    torch.manual_seed(0)
    module = TopDownAttention(16, order=order)
    module.start_as_identity()
    x = torch.randn(2, 16, 5, 5)
    found, _ = module(x, x)
    assert torch.equal(found, x)
    found.square().sum().backward()
    assert module.to_bottom.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("channels_last", [False, True])
def test_layout_is_kept_in_both_directions(channels_last):
    """A gradient in another layout makes the norms before it several times slower."""
    layout = torch.channels_last if channels_last else torch.contiguous_format
    bottom = torch.rand(2, 16, 6, 6).to(memory_format=layout).requires_grad_()
    top = torch.rand(2, 32, 6, 6).to(memory_format=layout).requires_grad_()
    found, _ = TopDownAttention(16, 32).to(memory_format=layout)(bottom, top)
    gradients = torch.autograd.grad(found, (bottom, top), torch.rand_like(found))
    assert all(t.is_contiguous(memory_format=layout) for t in (found, *gradients))


def test_nan_comes_out_as_nan():
    x = torch.full((1, 16, 3, 3), torch.nan)
    found, light = TopDownAttention(16)(x, x)
    assert found.isnan().all()
    assert light.isnan().all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"searchlight": "bottom"}, r"searchlight to be one of \('top', 'joint', 'joint_sum'\)"),
        ({"order": "channel->channel"}, "order to be one of"),
        ({"pooling": "min"}, "pooling to be one of"),
        ({"reduction": 0}, "at least 1"),
    ],
)
def test_wrong_use(options, message):
    with pytest.raises(ValueError, match=message):
        TopDownAttention(16, **options)


def test_narrow_tops_keep_one_hidden_channel():
    assert TopDownAttention(4, 8).from_top.out_channels == 1
