"""What a whole run does with the keys that are not the loop's own."""

import collections
import json

import numpy as np
import pytest
from listeners import Counter
from small_objects import fill

import wsol
from eval.splits import Split, spread_rows
from tdam import load_checkpoint
from wsol.errors import ArgumentError
from wsol.training.validation import Validator

CHOICES = {
    "model": "resnet18", "weights": "random", "freeze_norms": False, "size": 32, "batch_size": 8,
    "packed": False, "workers": 0,
}  # fmt: skip


def test_images_are_spread_over_the_classes():
    labels = np.array([0] * 60 + [1] * 30 + [2] * 10)
    split = Split("val", tuple(f"{row}.png" for row in range(100)), labels)
    part = spread_rows(split, 10)
    assert collections.Counter(part.labels.tolist()) == {0: 6, 1: 3, 2: 1}
    rows = [int(name.partition(".")[0]) for name in part.ids]
    assert rows == sorted(rows)
    assert rows[0] == 5  # not the first ones of a class, which may be of one kind
    assert spread_rows(split, 10).ids == part.ids
    assert spread_rows(split, 0) is spread_rows(split, 100) is split


@pytest.mark.slow
def test_some_images_after_some_epochs(tmp_path, monkeypatch):
    data = tmp_path / "data"
    fill(data / "train", 6)
    fill(data / "val", 4, first=50)
    seen = []
    measure = Validator.__call__

    def watch(self, model):
        seen.append(self.split)
        return measure(self, model)

    monkeypatch.setattr(Validator, "__call__", watch)
    heard = Counter()
    trained = wsol.train(
        data, tmp_path / "run", epochs=3, val_limit=6, val_every=2, resize=36, output_stride=8,
        dilated=False, stage_lr=(1, 1, 1, 10), interpolation="random", events=heard, **CHOICES,
    )  # fmt: skip
    assert [len(split) for split in seen] == [6, 6, 6]  # untrained, and after epochs 2 and 3
    assert collections.Counter(seen[0].labels.tolist()) == {0: 2, 1: 2, 2: 2}
    assert [row["val_accuracy"] is None for row in trained.history] == [False, True, False, False]
    told = "every 2 epochs validates on 6 of the 12 validation images"
    assert told in heard.said
    assert sum("not validated" in line for line in heard.said) == 1
    record = json.loads((tmp_path / "run/run.json").read_text())
    assert (record["validation_images"], record["measured_images"]) == (12, 6)
    assert record["result"]["best"]["epoch"] in (2, 3)
    network, _ = load_checkpoint(tmp_path / "run")
    assert (network.settings["output_stride"], network.settings["dilated"]) == (8, False)
    assert network.layer4[0].conv2.dilation == (1, 1)


@pytest.mark.parametrize(
    ("choices", "argument", "message"),
    [
        ({"stage_lr": (1, 2, 3, 4, 5)}, "stage_lr", "to be 4 factors, .* resnet18, but got 5"),
        ({"cooldown": 20}, "cooldown", r"less than epochs \(12\)"),
        ({"weights": "imagenet1k_v2"}, "weights", "torchvision has them for resnet50"),
    ],
)
def test_refused_before_anything_is_written(tmp_path, choices, argument, message):
    fill(tmp_path / "data", 3)
    with pytest.raises(ArgumentError, match=message) as caught:
        wsol.train(tmp_path / "data", tmp_path / "run", **{**CHOICES, **choices})
    assert caught.value.argument == argument
    assert not (tmp_path / "run/recipe.toml").exists()
