from dataclasses import replace

import pytest
import torch
from small_objects import COLOURS
from small_training import PLAIN, Square
from small_training import run as run_training

from tdam import load_checkpoint
from tdam.training import Recipe
from wsol import Localizer
from wsol.plain_targets import load_plain, match_classes, predict_targets
from wsol.training import create_network, prepare_recipe, saved_recipe
from wsol.training_data import load_training_data
from wsol.validation import Validator


def test_weights_of_other_classes(trained, objects):
    out, _, _ = trained
    recipe = prepare_recipe(Recipe(weights=str(out)), torch.device("cpu"))
    assert recipe.precision == "float32"
    same = create_network(recipe, tuple(COLOURS))
    assert torch.equal(same.classifier.weight, load_checkpoint(out)[0].classifier.weight)
    with pytest.raises(ValueError, match=r"classifier.weight is \(3, 1280\).*leave its class"):
        create_network(recipe, ("a", "b"))
    with pytest.raises(ValueError, match=r"class 0 is 'blue box' in .* and 'red_ball' in the data"):
        create_network(recipe, ("red_ball", "blue box", "sea-green"))
    with pytest.raises(ValueError, match="statistics to keep, but random ones have none"):
        prepare_recipe(Recipe(weights="random", freeze_norms=True), torch.device("cpu"))
    fresh = create_network(recipe.change(new_head=True), ("a", "b"))
    assert not fresh.classifier.weight.any()


def test_attention_starts_where_the_plain_network_is(trained, objects):
    out, _, _ = trained
    found = load_training_data(objects)
    rows = []
    for attention in ("none", "tdam", "se"):
        recipe = Recipe(weights=str(out), attention=attention, size=64)
        network = create_network(recipe, found.class_names)
        rows.append(Validator(found.val, found.root)(network))
        assert any(".top_down." in name for name, _ in network.named_parameters()) == (
            attention == "tdam"
        )
    assert rows[0] == rows[1] == rows[2]
    assert rows[0]["accuracy"] > 50


def test_attention_is_added_and_nothing_else_learns(trained, objects, run, tmp_path):
    weights, _, _ = trained
    out = tmp_path / "run"
    flags = ("--recipe", "add_attention", "--weights", weights, "--size", 64, "--epochs", 2,
             "--batch-size", 8, "--lr", 0.01, "--workers", 0)  # fmt: skip
    code, _, err = run("train", objects, "--out", out, *flags)
    assert code == 0, err
    plain, _ = load_checkpoint(weights)
    before, _ = load_checkpoint(weights, attention="none")
    after, _ = load_checkpoint(out)
    assert after.class_names == plain.class_names
    assert after.settings["attention"] == "tdam"
    fresh = create_network(
        saved_recipe(out).change(weights=str(weights)), plain.class_names
    ).state_dict()
    learned = after.state_dict()
    assert {name for name in learned if ".top_down." not in name} == set(before.state_dict())
    for name, tensor in before.state_dict().items():
        assert torch.equal(learned[name], tensor), name
    changed = [name for name in learned if not torch.equal(learned[name], fresh[name])]
    assert any(".attention." in name for name in changed)
    assert any(".norms." in name for name in changed)
    assert not [name for name in changed if "running" in name]
    code, _, _ = run("train", objects, "--out", out, "--resume", "--workers", 0)
    assert code == 0


def test_targets_are_what_the_plain_weights_say(trained, objects):
    weights, _, _ = trained
    recipe = Recipe(weights=str(weights), attention="tdam", targets="plain", size=64)
    plain = load_plain(recipe)
    found = load_training_data(objects)
    assert match_classes(plain, objects, found) == {0: 0, 1: 1, 2: 2}
    (objects.parent / "broken.png").write_bytes(b"no image")
    split = replace(found.val, ids=(*found.val.ids[:-1], "../broken.png"))
    counts = []
    targets = predict_targets(plain, split, objects, batch_size=4, on_done=counts.append)
    assert counts == [4, 2]
    assert torch.equal(targets[-1], torch.full((3,), 1 / 3))
    with Localizer(plain) as localizer:
        for row, image_id in enumerate(split.ids[:-1]):
            said = localizer(objects / image_id)
            assert targets[row].argmax() == said.label
            assert targets[row].max().item() == pytest.approx(said.score, abs=1e-5)


def test_a_network_learns_towards_its_targets(tmp_path):
    recipe = PLAIN.change(epochs=12, lr=0.1)
    images = Square(8)
    targets = torch.tensor([[0.2, 0.8], [0.9, 0.1]])[torch.from_numpy(images.labels)]
    model, _ = run_training(tmp_path, recipe, images, targets=targets)
    views = torch.stack([images.read(row) for row in range(8)]).float()
    mean, std = (
        torch.tensor(getattr(model.spec.preprocessing, name)).view(3, 1, 1) * 255
        for name in ("mean", "std")
    )
    said = model.eval()((views - mean) / std).softmax(dim=1)
    assert torch.equal(said.argmax(dim=1), targets.argmax(dim=1))  # the labels' opposite


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"attention": "none"}, "Expected attention to suit targets=plain but got 'none'"),
        ({"weights": "random"}, "Expected weights to suit"),
        ({"new_head": True}, "Expected new_head to suit"),
        ({"mixup": 0.5}, "Expected mixup to suit"),
    ],
)
def test_choices_that_leave_nothing_to_learn(choices, message):
    recipe = Recipe(**{"attention": "tdam", "targets": "plain", **choices})
    with pytest.raises(ValueError, match=message):
        prepare_recipe(recipe, torch.device("cpu"))


def test_classes_have_to_be_known(trained, objects, run, tmp_path):
    weights, _, _ = trained
    flags = ("--recipe", "add_attention", "--workers", 0, "--size", 64, "--epochs", 1)
    code, _, err = run("train", objects, "--out", tmp_path / "a", *flags)
    assert code == 2
    assert "put a classes.csv" in " ".join(err.split())
    code, _, err = run("train", objects, "--out", tmp_path / "b", *flags, "--model", "resnet18",
                       "--weights", weights)  # fmt: skip
    assert code == 2
    assert "efficientnet_lite0 with none" in " ".join(err.split())
