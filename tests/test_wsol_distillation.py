"""Attention that learns what the same weights say without it."""

import csv
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from listeners import Counter
from small_objects import COLOURS, fill
from small_training import PLAIN, Square, Tiny, count_weights
from torch import nn

from tdam import load_checkpoint, save_checkpoint
from tdam.events import SILENT, Events
from tdam.training import Recipe, train
from tdam.training.schedule import choose_learners
from wsol import Localizer
from wsol.training.data import load_training_data
from wsol.training.distillation import TARGETS, find_outputs, load_teacher, write_teacher_targets
from wsol.training.network import create_network
from wsol.training.record import read_record
from wsol.training.run_files import saved_recipe
from wsol.training.train import prepare_recipe, train_localizer
from wsol.training.validation import Validator

MORE = ("grey", "sea-green", "red_ball", "pink", "blue box")  # a superset, in another order
PLACES = {label: MORE.index(name) for label, name in enumerate(COLOURS)}


@pytest.fixture(scope="module")
def weights(trained, tmp_path_factory):
    """The trained network among more classes, in another order."""
    model, _ = load_checkpoint(trained[0])
    recipe = Recipe(weights=str(trained[0]), new_head=True, size=64)
    wider = create_network(recipe, MORE)
    with torch.no_grad():
        wider.classifier.bias.fill_(-5)
        for label, place in PLACES.items():
            wider.classifier.weight[place] = model.classifier.weight[label]
            wider.classifier.bias[place] = model.classifier.bias[label]
    return save_checkpoint(wider, tmp_path_factory.mktemp("wider") / "weights.safetensors")


FLAGS = ("--recipe", "add_attention", "--size", 64, "--batch-size", 8, "--workers", 0, "--set",
         "attention_lr=0.01")  # fmt: skip


@pytest.mark.slow
def test_attention_is_added_and_nothing_else_learns(weights, objects, run, tmp_path):
    out = tmp_path / "run"
    options = ("--weights", weights, "--epochs", 2, "--lr", 0.01)
    code, _, err = run("train", objects, "--out", out, *FLAGS, *options)
    assert code == 0, err
    before, _ = load_checkpoint(weights)
    after, _ = load_checkpoint(out)
    assert after.class_names == before.class_names == MORE
    assert after.settings["attention"] == "tdam"
    fresh = create_network(saved_recipe(out), MORE).state_dict()
    learned = after.state_dict()
    assert {name for name in learned if ".top_down." not in name} == set(before.state_dict())
    for name, tensor in before.state_dict().items():
        assert torch.equal(learned[name], tensor), name
    changed = [name for name in learned if not torch.equal(learned[name], fresh[name])]
    assert any(".attention." in name for name in changed)
    assert any(".norms." in name for name in changed)
    assert not [name for name in changed if "running" in name]
    # Before any training it is the plain network, on whose classes labels are looked up.
    found = load_training_data(objects)
    shown = replace(before.spec.preprocessing, size=64)
    before.spec = replace(before.spec, preprocessing=shown, method="layercam")
    row = next(csv.DictReader((out / "log.csv").open()))
    assert float(row["val_accuracy"]) > 50
    measured = Validator(found.val, found.root, classes=PLACES)(before)
    assert float(row["val_accuracy"]) == measured["accuracy"]
    assert float(row["val_loss"]) == pytest.approx(measured["loss"], abs=1e-4)


class StopInTraining(Events):
    """Interrupts at the first batch, not while targets are prepared."""

    task = ""

    def begin(self, task, total=None, done=0):
        self.task = task

    def advance(self, count=1, **figures):
        if self.task.startswith("train"):
            raise KeyboardInterrupt


@pytest.mark.slow
def test_a_run_that_was_cut_off_keeps_its_targets(weights, objects, run, tmp_path):
    gone = tmp_path / "weights.safetensors"
    shutil.copy(weights, gone)
    recipe = Recipe(weights=str(gone), attention="tdam", targets="plain", size=64, epochs=2,
                    batch_size=8, erasing=0.5, freeze_norms=True, lr=0.01)  # fmt: skip
    results = []
    for out, stops in ((tmp_path / "whole", False), (tmp_path / "cut", True)):
        told = StopInTraining() if stops else SILENT
        try:
            train_localizer(objects, out, recipe, workers=0, save_every=0, events=told)
            assert not stops
        except KeyboardInterrupt:
            gone.unlink()  # the weights are needed no more
            train_localizer(objects, out, saved_recipe(out), workers=0, resume=True)
        results.append((out / "model.safetensors").read_bytes())
    assert results[0] == results[1]
    code, _, err = run("train", objects, "--out", tmp_path / "cut", "--resume", "--workers", 0)
    assert code == 0, err
    (tmp_path / "cut" / TARGETS).unlink()
    code, _, err = run("train", objects, "--out", tmp_path / "cut", "--resume", "--workers", 0)
    assert code == 2
    assert "to go on with but it is gone" in " ".join(err.split())


@pytest.mark.slow
def test_targets_are_what_the_plain_weights_say(weights, tmp_path):
    root = fill(tmp_path / "data", 3)
    (root / "red_ball" / "broken.png").write_bytes(b"no image")
    recipe = Recipe(weights=str(weights), attention="tdam", targets="plain", size=64)
    plain = load_teacher(recipe)
    split = load_training_data(root).whole
    counter = Counter()
    unreadable = write_teacher_targets(
        tmp_path / TARGETS, plain, split, root, batch_size=4, events=counter
    )
    assert counter.counts == [4, 4, 2]
    assert list(unreadable) == ["red_ball/broken.png"]
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == [TARGETS]
    targets = np.load(tmp_path / TARGETS)
    assert targets.shape == (10, 5)
    with Localizer(plain) as localizer:
        for row, image_id in enumerate(split.ids):
            if image_id in unreadable:
                assert (targets[row] == np.float16(0.2)).all()
                continue
            said = localizer(root / image_id)
            assert targets[row].argmax() == said.label
            assert targets[row].max() == pytest.approx(said.score, abs=1e-3)


def test_labels_are_found_among_the_classes(objects, tmp_path):
    root = tmp_path / "data"
    shutil.copytree(objects, root)
    assert find_outputs(MORE, 5, load_training_data(root)) == PLACES
    with pytest.raises(ValueError, match=r"that the weights know, such as grey, .* 'blue box' in"):
        find_outputs(("grey", "pink"), 2, load_training_data(root))
    with pytest.raises(ValueError, match="names for their 3 classes"):
        find_outputs(None, 3, load_training_data(root))
    with pytest.raises(ValueError, match=r"'blue box' in .*; a classes.csv beside it"):
        find_outputs(None, 1000, load_training_data(root))
    table = tmp_path / "classes.csv"
    table.write_text("label,imagenet1k_index\n0,497\n1,0\n")
    with pytest.raises(ValueError, match=r"classes.csv to have every class but not 'sea-green'"):
        find_outputs(None, 1000, load_training_data(root))
    table.write_text("label,imagenet1k_index\n0,497\n1,0\n2,7\n")
    assert find_outputs(None, 1000, load_training_data(root)) == {0: 497, 1: 0, 2: 7}
    table.unlink()
    for name, other in (
        ("blue box", "n01440764"),
        ("red_ball", "Goldfish"),
        ("sea-green", "tiger_shark"),
    ):
        (root / name).rename(root / other)
    assert find_outputs(None, 1000, load_training_data(root)) == {0: 1, 1: 0, 2: 3}


class Guided(Tiny):
    """A network to which attention was added."""

    def __init__(self):
        super().__init__()
        self.block = nn.Module()
        self.block.attention = nn.Linear(8, 2)

    def classify(self, features):
        pooled = features.mean(dim=(2, 3))
        return self.classifier(self.drop(pooled)) + self.block.attention(pooled)


def test_a_network_learns_towards_its_targets(tmp_path):
    recipe = PLAIN.change(epochs=20, lr=0.3, attention="tdam", targets="plain")
    images = Square(8)
    targets = np.array([[0.2, 0.8], [0.9, 0.1]], np.float16)[images.labels]
    torch.manual_seed(0)
    model = Guided()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    options = {"validate": count_weights, "workers": 0}
    train(model, images, recipe, tmp_path, targets=targets, **options)
    after = model.state_dict()
    changed = {name for name, each in before.items() if not torch.equal(after[name], each)}
    assert changed == {"block.attention.weight", "block.attention.bias"}
    views = torch.stack([images.read(row) for row in range(8)]).float()
    mean, std = (
        torch.tensor(getattr(model.spec.preprocessing, name)).view(3, 1, 1) * 255
        for name in ("mean", "std")
    )
    said = model.eval()((views - mean) / std).argmax(dim=1).numpy()
    assert (said == targets.argmax(axis=1)).all()
    assert (said != images.labels).all()
    for wrong, given in ((recipe, None), (PLAIN, targets)):
        with pytest.raises(ValueError, match="Expected targets just where"):
            train(model, images, wrong, tmp_path, targets=given, **options)


def test_what_the_caller_froze_stays_frozen():
    model = Guided()
    model.stem.requires_grad_(False)
    choose_learners(model, PLAIN)
    assert not any(each.requires_grad for each in model.stem.parameters())
    assert all(each.requires_grad for each in model.classifier.parameters())


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"attention": "none"}, "Expected attention to be a kind of attention"),
        ({"weights": "random"}, "Expected weights to be pretrained or a file"),
        ({"new_head": True}, "Expected new_head to be false"),
        ({"mixup": 0.5}, "Expected mixup to be 0, .* but got 0.5"),
    ],
)
def test_choices_that_leave_nothing_to_learn(choices, message):
    recipe = Recipe(**{"attention": "tdam", "targets": "plain", **choices})
    with pytest.raises(ValueError, match=message):
        prepare_recipe(recipe, torch.device("cpu"))


@pytest.mark.slow
def test_complaints_name_the_flag(weights, objects, run, tmp_path):
    for flags, message in (
        (("--epochs", 1), "classes.csv beside"),
        (("--attention", "none", "--weights", weights), "--attention: Expected attention to be"),
        (("--model", "resnet18", "--weights", weights), "efficientnet_lite0 with attention none"),
    ):
        code, _, err = run("train", objects, "--out", tmp_path / "run", *FLAGS, *flags)
        assert code == 2
        assert message in " ".join(err.split())


@pytest.mark.slow
def test_a_threshold_for_classes_in_another_order(weights, tmp_path, run):
    import json

    from small_objects import boxed

    from eval.coco import to_coco

    data = fill(tmp_path / "data", 4)
    (tmp_path / "c.json").write_text(json.dumps(to_coco(boxed(data))))
    code, printed, err = run("train", tmp_path / "c.json", "--root", data, "--out",
                             tmp_path / "run", *FLAGS, "--weights", weights, "--epochs", 1,
                             "--pick-threshold", "val")  # fmt: skip
    assert code == 0, err
    threshold = load_checkpoint(tmp_path / "run")[0].threshold
    assert f"threshold: {threshold:.3f}" in printed
    assert read_record(tmp_path / "run")["result"]["threshold"] == threshold
