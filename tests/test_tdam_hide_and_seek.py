"""Squares of training images that are hidden at random."""

import pytest
import torch
from reference_methods import find_hidden_squares
from small_training import SMALL, Noise, run, same

from tdam.preprocessing import Preprocessing
from tdam.training.mixing import Mixer, hide_squares
from tdam.training.recipe import Recipe


def noise(count, height, width):
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("side", "height", "width"), [(4, 16, 16), (7, 20, 33), (40, 20, 33)])
def test_whole_squares_are_hidden_each_by_itself(side, height, width):
    images = noise(60, height, width)
    torch.manual_seed(0)
    seen = hide_squares(images, [side], 0.3)
    each = [find_hidden_squares(image, side) for image in seen]
    assert None not in each
    squares = torch.tensor(each).float()
    count = -(-height // side) * -(-width // side)
    assert squares.shape == (60, count)
    assert squares.mean().item() == pytest.approx(0.3, abs=0.15)
    assert len({tuple(row) for row in each}) > 1 if count == 1 else len(set(map(tuple, each))) > 30
    assert torch.equal(seen[seen != 0], images[seen != 0])
    if count > 4:  # neighbours know nothing of each other
        both = (squares[:, 1:] * squares[:, :-1]).mean().item()
        assert both == pytest.approx(0.09, abs=0.05)


def test_every_size_has_its_turn_and_none_leaves_an_image_whole():
    images = noise(60, 24, 24)
    torch.manual_seed(0)
    seen = hide_squares(images, [0, 4, 6], 0.5)
    kinds = [
        0 if torch.equal(one, image) else next(s for s in (6, 4) if find_hidden_squares(one, s))
        for one, image in zip(seen, images, strict=True)
    ]
    assert {kind: kinds.count(kind) > 10 for kind in kinds} == {0: True, 4: True, 6: True}


def test_nothing_or_all():
    images = noise(2, 9, 9)
    assert torch.equal(hide_squares(images, [4], 0.0), images)
    assert not hide_squares(images, [4], 1.0).any()


def test_hidden_is_the_mean_colour_of_the_network():
    shown = Preprocessing(size=32, mean=(0.2, 0.4, 0.6), std=(0.1, 0.2, 0.3))
    recipe = Recipe(hide_rate=1.0, hide_sizes=(8,))
    views = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    images, _ = Mixer(recipe, shown, 2, torch.device("cpu"))(views, torch.zeros(2).long())
    mean, std = (torch.tensor(each).view(3, 1, 1) for each in (shown.mean, shown.std))
    assert torch.equal(images * std + mean, mean.expand_as(images))


HIDING = SMALL.change(hide_rate=0.5, hide_sizes=[0, 8, 12], mix_rate=0.5)


def test_a_run_that_was_cut_off_ends_the_same(tmp_path):
    def stop(network, images, wanted, recipe, left=[4]):  # noqa: B006, it counts
        left[0] -= 1
        if left[0] == 0:
            raise ZeroDivisionError
        return torch.nn.functional.cross_entropy(network(images), wanted)

    def go_on(network, images, wanted, recipe):
        return torch.nn.functional.cross_entropy(network(images), wanted)

    whole, _ = run(tmp_path / "whole", HIDING, loss=go_on)
    with pytest.raises(ZeroDivisionError):
        run(tmp_path / "cut", HIDING, loss=stop, save_every=0.0)
    again, _ = run(tmp_path / "cut", HIDING, loss=go_on, resume=True)
    assert same(again, whole)
    for choices in ({"hide_rate": 0.0}, {"hide_sizes": [8]}, {"mix_rate": 1.0}):
        assert not same(
            run(tmp_path / str(choices), HIDING.change(**choices), loss=go_on)[0], whole
        )


@pytest.mark.parametrize(("rate", "low", "high"), [(0.0, 0, 0), (0.25, 5, 35), (1.0, 80, 80)])
def test_batches_are_mixed_as_often_as_the_recipe_says(rate, low, high):
    recipe = Recipe(cutmix=1.0, mixup=0.2, mix_rate=rate)
    mixer = Mixer(recipe, Preprocessing(size=32), 2, torch.device("cpu"))
    views = torch.stack([Noise().read(index)[:, :32, :32] for index in range(2)])
    mixed = 0
    for seed in range(80):
        torch.manual_seed(seed)
        mixed += mixer(views, torch.tensor([0, 1]))[1].ndim == 2
    assert low <= mixed <= high


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"hide_rate": 1.5}, "hide_rate to be from 0 to 1 but got 1.5"),
        ({"hide_sizes": [16, -1]}, r"hide_sizes to be from 0 to \d+ but got \[16, -1\]"),
        ({"hide_rate": 0.5, "hide_sizes": []}, "hide_sizes to be sides of squares"),
        ({"mix_rate": -0.1}, "mix_rate to be from 0 to 1 but got -0.1"),
    ],
)
def test_what_no_recipe_can_say(choices, message):
    with pytest.raises(ValueError, match=message):
        Recipe().change(**choices)
