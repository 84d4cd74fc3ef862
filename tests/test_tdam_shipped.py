from dataclasses import replace

import pytest
import torch

from tdam import load_checkpoint, save_checkpoint
from tdam.checkpoints import read_settings
from tdam.registry import find_spec
from tdam.shipped_weights import SHIPPED, list_shipped
from tdam.training import Recipe
from tdam.weights import WeightsError, find_weights
from wsol import Localizer
from wsol.attention_shift.trace import trace_shift
from wsol.training.network import create_network
from wsol.training.train import prepare_recipe

NAME = "efficientnet_lite0_tdam"


@pytest.fixture(scope="module")
def shipped():
    return load_checkpoint(NAME)[0]


def test_weights_that_come_along_have_names_cards_and_a_size():
    assert list_shipped() == [NAME]
    for name in list_shipped():
        path = find_weights(name)
        assert path.stat().st_size < 25 * 2**20
        card = (SHIPPED / f"{name}.md").read_text(encoding="utf-8")
        for section in ("Data", "Recipe", "Scores", "Licence"):
            assert f"\n## {section}\n" in card
    assert read_settings(NAME)["attention"] == "tdam"


def test_the_plain_network_is_still_in_it(shipped, lite0):
    for name, tensor in lite0.state_dict().items():
        kept = shipped.state_dict()[name]
        rounded = tensor.half().float() if tensor.squeeze().ndim > 1 else tensor
        assert torch.equal(kept, rounded), name
    added = [name for name in shipped.state_dict() if name not in lite0.state_dict()]
    assert added
    assert all(".top_down." in name for name in added)


def test_they_want_what_their_network_wants(shipped):
    assert shipped.spec == find_spec("efficientnet_lite0")


def test_steps_differ(shipped, photos):
    with Localizer(shipped) as localizer:
        traced = [
            trace_shift(found, localizer.threshold, localizer.preprocessing)
            for found in localizer(sorted(photos.iterdir()))
        ]
    shares = [each.greatest_change / (each.high - each.low) for each in traced]
    assert max(shares) > 0.1
    assert all(len(each.steps) == shipped.settings["steps"] for each in traced)


@pytest.mark.slow
def test_they_are_what_commands_take(run, photos, tmp_path):
    image = photos / "coffee.png"
    said = run("predict", image)
    assert said[0] == 0
    assert said == run("predict", image, "--checkpoint", NAME)
    assert said != run("predict", image, "--model", "efficientnet_lite0")
    assert said != run("predict", image, "--attention", "none")
    code, printed, _ = run("models")
    assert code == 0
    assert f"--checkpoint {NAME}: efficientnet_lite0 + tdam" in printed
    code, untrained, err = run("predict", image, "--attention", "tdam")
    assert "attention tdam is not trained" in err
    assert untrained == run("predict", image, "--attention", "none")[1]
    for flags, message in (
        (("--steps", 3), "--steps: goes with --attention tdam"),
        (("--steps", 3, "--checkpoint", NAME), "--steps: cannot be combined with --checkpoint"),
        (
            ("--attention", "tdam", "--checkpoint", NAME),
            "--attention: cannot be combined with --checkpoint",
        ),
    ):
        code, _, err = run("predict", image, *flags)
        assert code == 2
        assert message in err


def test_the_threshold_is_of_their_own_maps(shipped):
    assert Localizer(shipped).threshold == shipped.threshold
    assert Localizer(shipped, "gradcam++").threshold == shipped.threshold
    assert Localizer(shipped, "cam").threshold == 0.2


def test_a_file_names_the_layer_of_its_maps(lite0, tmp_path):
    other = load_checkpoint(save_checkpoint(lite0, tmp_path / "own.safetensors"))[0]
    assert other.spec == lite0.spec
    other.spec = replace(other.spec, map_layer="blocks.5.3.bn1")
    saved = save_checkpoint(other, tmp_path / "other.safetensors")
    assert load_checkpoint(saved)[0].spec.map_layer == "blocks.5.3.bn1"


def test_training_begins_with_them():
    recipe = prepare_recipe(
        Recipe(weights=NAME, attention="tdam", new_head=True, size=64), torch.device("cpu")
    )
    assert recipe.weights == str(find_weights(NAME))
    network = create_network(recipe, ("a", "b"))
    name = "blocks.6.0.top_down.attention.to_bottom.weight"
    assert torch.equal(network.state_dict()[name], load_checkpoint(NAME)[0].state_dict()[name])
    assert not network.classifier.weight.any()


@pytest.mark.slow
def test_files_go_before_names(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_weights(NAME).parent == SHIPPED
    (tmp_path / NAME).mkdir()
    assert find_weights(NAME).resolve() == tmp_path / NAME
    assert f"--checkpoint {NAME}: efficientnet_lite0 + tdam" in run("models")[1]
    with pytest.raises(WeightsError, match=f"nothing: no such file .by name there is {NAME}"):
        load_checkpoint("nothing")


def test_half_the_space(lite0, tmp_path):
    whole = save_checkpoint(lite0, tmp_path / "whole.safetensors")
    half = save_checkpoint(lite0, tmp_path / "half.safetensors", half=True)
    assert half.stat().st_size < 0.52 * whole.stat().st_size
    first, second = (load_checkpoint(path)[0].state_dict() for path in (whole, half))
    assert {tensor.dtype for tensor in second.values()} == {torch.float32, torch.int64}
    for name, tensor in first.items():
        assert torch.allclose(second[name], tensor, rtol=2**-11, atol=2**-25), name
