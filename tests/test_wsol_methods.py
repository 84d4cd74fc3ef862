"""The field's training methods from recipe to experiment: with attention, in files, in exports."""

import pytest
import torch
from small_training import PLAIN, Noise, count_weights

import tdam.acol
from tdam.checkpoints import CheckpointInfo
from tdam.training import train
from tdam.training.recipe import Recipe
from wsol.benchmarking.experiment import Entry
from wsol.benchmarking.experiment_files import load_experiment
from wsol.benchmarking.own_word import check_own_word
from wsol.exporting.graph import MapNetwork, trace
from wsol.maps import CAM
from wsol.training.distillation import check_distillation
from wsol.training.network import create_network

NAMES = ("a", "b")
METHODS = {
    "has": {"hide_rate": 0.5, "hide_sizes": (8,)},
    "adl": {"regularizer": "adl"},
    "acol": {"head": "acol", "loss": "acol"},
    "cutmix": {"cutmix": 1.0, "mix_rate": 0.5},
}


@pytest.fixture(autouse=True)
def narrow(monkeypatch):
    """Classifiers of eight channels in the place of 1024."""
    monkeypatch.setattr(tdam.acol, "_WIDTH", 8)


def begin(method, **choices):
    recipe = PLAIN.change(
        model="resnet18", epochs=1, lr=0.01, method="auto", **METHODS[method], **choices
    )
    return recipe, create_network(recipe, NAMES)


@pytest.mark.parametrize("method", METHODS)
def test_two_steps_beside_attention(tmp_path, method, monkeypatch):
    monkeypatch.setattr("tdam.training.run_folder.RunFolder.save", lambda *state: None)
    recipe, network = begin(method, attention="tdam")
    before = {name: tensor.clone() for name, tensor in network.named_parameters()}
    state = train(network, Noise(8), recipe, tmp_path, validate=count_weights, workers=0)
    assert state.step == 2
    names = (
        "acol_head.second.4.weight" if method == "acol" else "fc.weight",
        "layer1.0.conv1.weight",
        "layer4.1.top_down.attention.to_bottom.weight",
    )
    for name in names:
        assert not torch.equal(network.get_parameter(name), before[name]), name


def test_an_experiment_knows_its_own_weights(tmp_path):
    (tmp_path / "w.safetensors").touch()
    made = {method: begin(method) for method in ("adl", "acol", "has")}

    def check(recipe, method):
        _, network = made[method]
        info = CheckpointInfo("wsol-tdam", network.settings)
        check_own_word(Entry("m", recipe), str(tmp_path / "w.safetensors"), network, info, NAMES)

    for method, (recipe, _) in made.items():
        check(recipe, method)
    for method, other, message in (
        ("adl", "has", "expected regularizer 'adl', .* but the file says 'none'"),
        ("has", "adl", "expected regularizer 'none', .* but the file says 'adl'"),
        ("acol", "has", "expected head 'acol', .* but the file says 'own'"),
    ):
        with pytest.raises(ValueError, match=message):
            check(made[method][0], other)
    with pytest.raises(ValueError, match=r"expected adl_rate 0\.5, .* but the file says 0\.75"):
        check(made["adl"][0].change(adl_rate=0.5), "adl")


def test_what_learns_from_plain_outputs_has_no_layer_that_would_do_nothing():
    recipe = Recipe(targets="plain", attention="tdam", regularizer="adl")
    with pytest.raises(ValueError, match="regularizer to be none, as it would do nothing"):
        check_distillation(recipe)


def test_an_experiment_names_layers_that_there_are(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(
        'name = "x"\nbase = "finetune"\n[[models]]\nname = "none"\n[[models]]\nname = "a"\n'
        'regularizer = "dropblock"\n'
    )
    with pytest.raises(ValueError, match="model a: Expected regularizer to be one of none, "):
        load_experiment(str(path))


def test_the_experiments_have_what_was_found_best():
    models = {entry.name: entry.recipe for entry in load_experiment("cub_wsoleval").models}
    methods = ("has", "acol", "spg", "adl", "cutmix")
    assert list(models) == [
        *("none", *methods),
        *(
            f"{net}{name}"
            for net in ("vgg16", "inception")
            for name in ("", *(f"_{m}" for m in methods))
        ),
    ]
    assert {entry.model for entry in models.values()} == {
        "resnet50", "vgg16", "vgg16_conv6", "inception_v3"
    }  # fmt: skip
    for recipe in models.values():
        recipe.check_together()
    plain = models["none"]
    assert models["has"] == plain.change(lr=3.61996526e-3, hide_rate=0.66, hide_sizes=[120])
    assert (models["adl"].adl_rate, models["adl"].adl_threshold) == (0.24, 0.76)
    assert (models["acol"].acol_threshold, models["acol"].head_lr) == (0.57, 1)
    assert (models["cutmix"].cutmix, models["cutmix"].mix_rate) == (1.35, 0.24)
    few = load_experiment("cub10_methods")
    assert few.references["tdam_adl"] == "adl"
    for entry in few.models:
        entry.recipe.check_together()
        assert entry.recipe.attention == ("tdam" if entry.name.startswith("tdam") else "none")


@pytest.mark.slow
def test_an_exported_program_has_the_map_of_both_classifiers():
    _, network = begin("acol")
    for classifier in (network.acol_head.first, network.acol_head.second):
        torch.nn.init.normal_(classifier[4].weight)
    shown = MapNetwork(CAM(network.eval()), 1, every_step=False)
    program = trace(shown, 64).module()
    images = torch.randn(3, 3, 64, 64)
    with torch.no_grad():
        found, wanted = program(images), shown(images)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other)
    fused = network.class_maps(wanted[1], wanted[2][:, 0])
    torch.testing.assert_close(found[4][:, 0], fused)
