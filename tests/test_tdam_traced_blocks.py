"""To attach attention, a block runs once: whatever it is, and it notices nothing."""

import pytest
import torch
from torch import nn
from torchvision import models

from tdam import attach_top_down, create_model
from tdam.recurrence import Plan, PlannedBlock, trace_channels


@pytest.mark.parametrize(
    ("name", "block"),
    [("vgg11", "features.0:21"), ("alexnet", "features"), ("squeezenet1_1", "features")],
)
def test_sequences_that_pool_a_small_map_away_are_taken(name, block):
    model = getattr(models, name)(num_classes=3)
    attach_top_down(model, [block])
    assert model.eval()(torch.zeros(1, 3, 224, 224)).shape == (1, 3)


@pytest.mark.parametrize(
    "part", [nn.Conv2d(8, 4, 9), nn.ReflectionPad2d(8), nn.MaxPool2d(9)], ids=repr
)
def test_modules_that_a_small_map_does_not_fit_are_taken(part):
    plan = Plan(branch=("0", "1"), starts=(0,))
    block = PlannedBlock(nn.Sequential(nn.Conv2d(3, 8, 1), part), plan)
    assert trace_channels(block) == [3, 8, 4 if isinstance(part, nn.Conv2d) else 8]


def test_attention_of_another_library_that_wants_a_large_map_is_taken():
    model = create_model("timm:bat_resnext26ts", attention="tdam", num_classes=3)
    assert any("top_down" in name for name in model.state_dict())


class Counting(nn.Module):
    """Notes every run in its buffers, and draws from the random state."""

    def __init__(self):
        super().__init__()
        self.register_buffer("runs", torch.zeros(1))
        self.norm = nn.BatchNorm2d(8)

    def forward(self, x):
        self.runs += 1
        self.norm.train()
        return self.norm(x) + torch.rand_like(x)


def test_buffers_and_the_random_state_are_left_alone():
    plain = nn.Sequential(nn.Conv2d(8, 8, 1), Counting())
    before = {name: tensor.clone() for name, tensor in plain.state_dict().items()}
    torch.manual_seed(0)
    block = PlannedBlock(plain, Plan(branch=("0", "1"), starts=(0,)))
    assert trace_channels(block) == [8, 8, 8]
    drawn = torch.rand(1)
    assert drawn == torch.rand(1, generator=torch.Generator().manual_seed(0))
    assert all(torch.equal(block.state_dict()[name], tensor) for name, tensor in before.items())


def test_what_takes_no_map_of_any_size_is_refused():
    block = PlannedBlock(nn.Sequential(nn.Conv2d(3, 8, 1), nn.Linear(5, 5)), Plan(("0", "1"), (0,)))
    with pytest.raises(ValueError, match=r"1 of it, given \(2, 8, 224, 224\), fails"):
        trace_channels(block)
