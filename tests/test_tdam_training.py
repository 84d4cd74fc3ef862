import pytest
import torch
from small_training import PLAIN, Square, Tiny, build, count_weights, run
from torch import nn

from tdam import create_model
from tdam.training import train
from tdam.training.batches import derive_seed, list_batches
from tdam.training.recipe import Recipe
from tdam.training.schedule import group_parameters, rate_at
from tdam.weights import read_state_dict


def test_rates():
    cosine = Recipe(epochs=10, warmup=2.0)
    assert [rate_at(cosine, e) for e in (0, 1, 2, 6, 10)] == pytest.approx([0, 0.5, 1, 0.5, 0])
    steps = Recipe(epochs=10, warmup=0.0, schedule="steps", drops=(3, 6), drop=0.1)
    assert [rate_at(steps, e) for e in (0, 2.9, 3, 6)] == pytest.approx([1, 1, 0.1, 0.01])


def test_every_parameter_has_one_rate():
    recipe = Recipe(lr=0.1, head_lr=10.0, attention_lr=3.0, weight_decay=0.5)
    model = create_model("efficientnet_lite0", attention="tdam", num_classes=2)
    groups = group_parameters(model, recipe)
    rate = {id(p): (g["lr"], g["weight_decay"]) for g in groups for p in g["params"]}
    assert len(rate) == sum(1 for _ in model.parameters())
    names = dict(model.named_parameters())
    assert rate[id(names["classifier.weight"])] == (1.0, 0.5)
    assert rate[id(names["classifier.bias"])] == (1.0, 0.0)
    assert rate[id(names["conv_stem.weight"])] == (0.1, 0.5)
    assert rate[id(names["bn1.weight"])] == (0.1, 0.0)
    added = [name for name in names if ".top_down.attention." in name]
    norms = [name for name in names if ".top_down.norms." in name]
    assert added
    assert norms
    assert all(rate[id(names[name])][0] == pytest.approx(0.3) for name in added)
    assert all(rate[id(names[name])][0] == pytest.approx(0.1) for name in norms)


def steps_by_hand(recipe, images, average=None):
    """Train as the loop should, written out without it."""
    model = build(recipe)
    if recipe.optimizer == "adamw":
        optimizer = torch.optim.AdamW(
            group_parameters(model, recipe), betas=(recipe.momentum, 0.999)
        )
    else:
        optimizer = torch.optim.SGD(
            group_parameters(model, recipe), momentum=recipe.momentum, nesterov=True
        )
    wanted = model.spec.preprocessing
    mean, std = (torch.tensor(each).view(3, 1, 1) for each in (wanted.mean, wanted.std))
    done, total = 0, -(-len(images.ids) // recipe.batch_size)
    for epoch in range(recipe.epochs):
        for rows in list_batches(len(images.ids), recipe.batch_size, recipe.seed, epoch):
            model.train()
            if recipe.freeze_norms:
                model.stem[1].eval()
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * rate_at(recipe, (done + 0.5) / total)
            views = torch.stack([images.read(int(row)) for row in rows])
            torch.manual_seed(derive_seed(recipe.seed, 2, done, 0))
            logits = model((views / 255 - mean) / std)
            targets = torch.tensor(images.labels[rows])
            loss = nn.functional.cross_entropy(
                logits, targets, label_smoothing=recipe.label_smoothing
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            done += 1
            if average is not None:
                average.append({k: v.clone() for k, v in model.state_dict().items()})
    return model


@pytest.mark.parametrize(
    "choices",
    [
        {},
        {"optimizer": "adamw", "lr": 0.003, "freeze_norms": True},
        {"freeze_norms": True, "schedule": "steps", "drops": (1,)},
    ],
)
def test_the_loop_does_what_it_says(tmp_path, choices):
    recipe = PLAIN.change(**choices)
    model, _ = run(tmp_path, recipe, Square(8))
    wanted = steps_by_hand(recipe, Square(8))
    for name, tensor in wanted.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], tensor, atol=1e-6, rtol=1e-5)
    kept = torch.equal(model.stem[1].running_mean, torch.zeros(8))
    assert kept == recipe.freeze_norms


def test_the_average_is_what_is_validated_and_kept(tmp_path):
    seen = []

    def validate(model):
        seen.append({k: v.clone() for k, v in model.state_dict().items()})
        return {"accuracy": 1.0, "loss": 1.0}

    recipe = PLAIN.change(ema=0.8, epochs=1)
    train(build(), Square(8), recipe, tmp_path, validate=validate, workers=0)
    each = []
    steps_by_hand(recipe, Square(8), each)
    first, second = each
    for name in ("stem.0.weight", "stem.1.running_var", "classifier.bias"):
        wanted = 0.8 * first[name] + 0.2 * second[name]  # the first step begins the average
        torch.testing.assert_close(seen[1][name], wanted, atol=1e-6, rtol=1e-5)
        assert torch.equal(read_state_dict(tmp_path)[name], seen[1][name])


def test_accumulated_batches_are_one(tmp_path):
    recipe = PLAIN.change(freeze_norms=True, epochs=1, batch_size=4, accumulate=2)
    whole = recipe.change(batch_size=8, accumulate=1)
    found = []
    for name, each in (("parts", recipe), ("whole", whole)):
        torch.manual_seed(0)
        model = Tiny()
        model.drop.p = 0.0
        train(model, Square(8), each, tmp_path / name, validate=count_weights, workers=0)
        found.append(model.state_dict())
    # One step each, at the rate of its place: only gradients may tell them apart.
    rates = [rate_at(recipe, 1.5 / 2), rate_at(whole, 0.5)]
    start = build().state_dict()["stem.0.weight"]
    moves = [
        (each["stem.0.weight"] - start) / rate for each, rate in zip(found, rates, strict=True)
    ]
    torch.testing.assert_close(*moves, atol=1e-4, rtol=1e-3)
