import re
from argparse import Namespace

import pytest
import torch
from small_training import build
from timm.scheduler import create_scheduler
from torchvision.models import resnet50

from tdam import create_model
from tdam.training import load_recipe
from tdam.training.recipe import Recipe
from tdam.training.schedule import create_optimizer, group_parameters, set_rates

# Patterns of names, rate, decay: every parameter is of exactly one line.
CUB = [
    (r"conv1\.weight|bn1\.(weight|bias)", 2.3222617e-4, 1e-4),
    (r"layer[123]\.\d\.(conv\d|downsample\.0)\.weight", 2.3222617e-4, 1e-4),
    (r"layer[123]\.\d\.(bn\d|downsample\.1)\.(weight|bias)", 2.3222617e-4, 1e-4),
    (r"layer4\.\d\.(conv\d|downsample\.0)\.weight", 2.3222617e-3, 1e-4),
    (r"layer4\.\d\.(bn\d|downsample\.1)\.(weight|bias)", 2.3222617e-3, 1e-4),
    (r"fc\.(weight|bias)", 2.3222617e-3, 1e-4),
]
IMAGENET = [
    (r"(conv1|layer\d\.\d\.(conv\d|downsample\.0)|fc)\.weight", 0.4, 2e-5),
    (r"(bn1|layer\d\.\d\.(bn\d|downsample\.1))\.(weight|bias)", 0.4, 0.0),
    (r"fc\.bias", 0.4, 0.0),
]
ADDED = [  # a recipe's rates where attention is added, in the last two stages
    (r"layer{stage}\.\d\.top_down\.attention\.\w+\.weight", True),
    (r"layer{stage}\.\d\.top_down\.norms\.0\.bn3\.(weight|bias)", False),
]


def list_groups(recipe, attention):
    with torch.device("meta"):
        model = create_model(
            recipe.model,
            attention=attention,
            num_classes=200,
            output_stride=recipe.output_stride,
            dilated=recipe.dilated,
        )
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return [
        (names[id(parameter)], group["lr"], group["weight_decay"])
        for group in group_parameters(model, recipe)
        for parameter in group["params"]
    ]


@pytest.mark.parametrize(
    ("name", "lines"), [("cub_resnet50", CUB), ("imagenet_resnet50", IMAGENET)]
)
def test_optimizer_groups(name, lines):
    recipe = load_recipe(name)
    plain = list_groups(recipe, None)
    with torch.device("meta"):
        theirs = [name for name, _ in resnet50(num_classes=200).named_parameters()]
    assert sorted(name for name, _, _ in plain) == sorted(theirs)
    for parameter, rate, decay in plain:
        wanted = [line[1:] for line in lines if re.fullmatch(line[0], parameter)]
        assert wanted == [(pytest.approx(rate, rel=1e-12), decay)], parameter
    everything = list_groups(recipe, "tdam")
    assert [each for each in everything if ".top_down." not in each[0]] == plain
    added = [each for each in everything if ".top_down." in each[0]]
    assert len(added) == 9 * 5  # blocks; three layers, and a norm's gain and offset
    for parameter, rate, decay in added:
        stage = int(parameter[5])
        is_weight = re.fullmatch(ADDED[0][0].format(stage=stage), parameter) is not None
        wanted_rate = recipe.lr * (recipe.stage_lr[stage - 1] if recipe.stage_lr else 1)
        assert rate == pytest.approx(wanted_rate, rel=1e-12), parameter
        assert decay == (recipe.weight_decay if is_weight or recipe.decay_norms else 0), parameter
        kinds = [re.fullmatch(kind.format(stage=stage), parameter) for kind, _ in ADDED]
        assert sum(kind is not None for kind in kinds) == 1, parameter


def timm_rates(recipe, shift=0, **choices):
    """The rates of every epoch as timm's trainer sets them, for each group."""
    optimizer = create_optimizer(build(recipe), recipe.change(stage_lr=[]))
    scheduler, epochs = create_scheduler(Namespace(**choices), optimizer)
    rates = []
    for epoch in range(epochs):
        if epoch or shift:
            scheduler.step(epoch + shift)  # at the end of the epoch before
        rates.append([group["lr"] for group in optimizer.param_groups])
    return rates


def our_rates(recipe, moment):
    optimizer = create_optimizer(build(recipe), recipe.change(stage_lr=[]))
    rates = []
    for epoch in range(recipe.epochs):
        set_rates(optimizer, recipe, epoch + moment)
        rates.append([group["lr"] for group in optimizer.param_groups])
    return rates


def test_every_rate_of_imagenet_is_timms():
    recipe = load_recipe("imagenet_resnet50")
    theirs = timm_rates(
        recipe, sched="cosine", epochs=150, warmup_epochs=5, warmup_lr=1e-4, min_lr=1e-6,
        cooldown_epochs=10,
    )  # fmt: skip
    assert len(theirs) == 160
    for moment in (0.0001, 0.9999):  # the first and the last step of an epoch
        torch.testing.assert_close(our_rates(recipe, moment), theirs, rtol=1e-12, atol=1e-15)
    first = [rates[0] for rates in theirs]
    assert first[:2] == pytest.approx([1e-4, 1e-4 + (0.4 - 1e-4) / 5])
    assert first[150:] == [1e-6] * 10


@pytest.mark.parametrize(
    ("name", "milestones"),
    [("cub_resnet50", [15, 30, 45]), ("ilsvrc_resnet50_wsoleval", [3, 6, 9])],
)
def test_every_rate_of_the_benchmark_is_timms(name, milestones):
    recipe = load_recipe(name)
    shared = {"epochs": recipe.epochs, "warmup_epochs": 0, "decay_rate": 0.1}
    theirs = timm_rates(recipe, sched="multistep", decay_milestones=milestones, **shared)
    # The benchmark counts epochs from 1, and drops where they are multiples of the first.
    counted = timm_rates(recipe, 1, sched="step", decay_epochs=milestones[0], **shared)
    assert theirs == counted
    for moment in (0.0001, 0.9999):
        torch.testing.assert_close(our_rates(recipe, moment), theirs, rtol=1e-12, atol=0.0)
    drops = [e + 1 for e in range(1, recipe.epochs) if theirs[e] != theirs[e - 1]]
    assert drops == milestones  # counted from 1
    assert len(theirs[0]) == 2  # the classifier's rate drops with the others
    assert theirs[0][1] == pytest.approx(10 * theirs[0][0])


def test_a_frozen_group_stays_frozen():
    recipe = Recipe(lr=0.1, head_lr=0, min_lr=0.01, warmup_lr=0.02, warmup=2, epochs=4, cooldown=1)
    rates = [sorted(each) for each in our_rates(recipe, 0.0)]
    assert all(low == 0 for low, *_ in rates)
    assert [high for *_, high in rates] == pytest.approx([0.02, 0.06, 0.1, 0.01])
