"""A frozen backbone and a linear classifier of features that are computed once."""

import pytest
import torch
from PIL import Image
from small_objects import fill

from tdam import create_model, load_checkpoint, save_checkpoint
from tdam.events import Events
from tdam.training import load_recipe
from tdam.training.errors import TrainingError
from wsol.training.data import load_training_data
from wsol.training.features import FEATURES
from wsol.training.run_files import saved_recipe
from wsol.training.train import train_localizer

PROBE = load_recipe("linear_probe").change(model="resnet18", size=64, epochs=8, batch_size=8)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    return save_checkpoint(
        create_model("resnet18", num_classes=5), tmp_path_factory.mktemp("w") / "w.safetensors"
    )


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return fill(tmp_path_factory.mktemp("data") / "data", 12)


def means(network, images):
    """Give what the classifier takes, from a run of the network's parts."""
    shown = [network.spec.preprocessing(image.convert("RGB")) for image in images]
    with torch.no_grad():
        x = torch.stack(shown)
        x = network.maxpool(network.relu(network.bn1(network.conv1(x))))
        x = network.layer4(network.layer3(network.layer2(network.layer1(x))))
    return x.mean(dim=(2, 3))


@pytest.mark.slow
def test_it_is_the_classifier_of_the_features(root, weights, tmp_path):
    recipe = PROBE.change(weights=str(weights), flip=0.0, epochs=1, batch_size=64, warmup=0.0)
    run = train_localizer(root, tmp_path / "run", recipe, workers=0)
    network, _ = load_checkpoint(run.weights)
    before = create_model("resnet18", num_classes=5, weights=weights).state_dict()
    for name, tensor in network.state_dict().items():
        if not name.startswith("fc."):
            torch.testing.assert_close(tensor, before[name], rtol=0, atol=0)
    split = load_training_data(root, None, recipe.val_share, recipe.seed).train
    taken = means(network, [Image.open(root / name) for name in split.ids])
    # one step of AdamW from zero, written out: decay of nothing, then the sign of the gradient
    share = torch.full((len(split), 3), 1 / 3)
    wanted = torch.nn.functional.one_hot(torch.from_numpy(split.labels), 3).float()
    smooth = 0.9 * wanted + 0.1 / 3
    gradient = (share - smooth).T @ taken / len(split)
    rate = run.history[-1]["lr"]
    clear = gradient.abs() > 1e-4
    expected = -rate * gradient.sign()
    torch.testing.assert_close(network.fc.weight[clear], expected[clear], rtol=2e-3, atol=0)
    assert clear.float().mean() > 0.5


def test_accuracy_is_that_of_the_images(root, weights, tmp_path):
    recipe = PROBE.change(weights=str(weights))
    run = train_localizer(root, tmp_path / "run", recipe, workers=0)
    assert [row["epoch"] for row in run.history] == list(range(9))
    network, _ = load_checkpoint(run.weights)
    split = run.data.val
    with torch.no_grad():
        shown = [network.spec.preprocessing(Image.open(root / i).convert("RGB")) for i in split.ids]
        right = network(torch.stack(shown)).argmax(dim=1).numpy() == split.labels
    assert run.best["val_accuracy"] == pytest.approx(100 * right.mean())
    assert run.best["val_accuracy"] > 60
    assert not [name for name in FEATURES if (tmp_path / "run" / name).exists()]


class Stop(Events):
    """Interrupts in the epochs, and notes the tasks."""

    def __init__(self, wanted):
        self.wanted, self.tasks = wanted, []

    def begin(self, task, total=None, done=0):
        self.tasks.append(task)

    def advance(self, count=1, **figures):
        if self.tasks[-1].startswith(self.wanted):
            raise KeyboardInterrupt


@pytest.mark.slow
def test_a_run_that_was_cut_off_ends_with_the_same_weights(root, weights, tmp_path):
    recipe = PROBE.change(weights=str(weights))
    whole = train_localizer(root, tmp_path / "whole", recipe, workers=0)
    for wanted in ("prepare", "train 3"):
        out = tmp_path / wanted
        with pytest.raises(KeyboardInterrupt):
            train_localizer(root, out, recipe, workers=0, events=Stop(wanted))
        again = train_localizer(root, out, saved_recipe(out), workers=0, resume=True)
        assert again.weights.read_bytes() == whole.weights.read_bytes()
    told = Stop("nothing")
    ended = train_localizer(root, tmp_path / "whole", recipe, workers=0, resume=True, events=told)
    assert ended.history == whole.history
    assert not [task for task in told.tasks if task.startswith("train")]


@pytest.mark.slow
def test_images_that_cannot_be_read(weights, tmp_path):
    root = fill(tmp_path / "data", 40)
    recipe = PROBE.change(weights=str(weights), epochs=1)
    (root / "red_ball" / "3.png").write_bytes(b"no image")
    run = train_localizer(root, tmp_path / "run", recipe, workers=0)
    assert list(run.unreadable) == ["red_ball/3.png"]
    for number in (5, 6, 7, 8, 9):
        (root / "red_ball" / f"{number}.png").write_bytes(b"no image %d" % number)
    with pytest.raises(TrainingError, match=r"training images cannot be read, more than 1 %"):
        train_localizer(root, tmp_path / "other", recipe, workers=0)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"mixup": 0.2}, r"mixup to be 0.0 where only the classifier learns"),
        ({"min_scale": 0.3}, r"min_scale to be 1.0 where"),
        ({"select": "localization"}, "select to be accuracy or last where"),
        ({"ema": 0.9}, "ema to be 0.0 where"),
        ({"weights": "random"}, "weights whose features are worth a classifier but got random"),
    ],
)
def test_choices_that_features_know_nothing_of(root, weights, tmp_path, choice, message):
    recipe = PROBE.change(**{"weights": str(weights), **choice})
    with pytest.raises(ValueError, match=message):
        train_localizer(root, tmp_path / "run", recipe, workers=0)


def test_a_size_that_a_network_does_not_take(root, tmp_path):
    name = "timm:vit_tiny_patch16_224"
    weights = save_checkpoint(create_model(name, num_classes=5), tmp_path / "w.safetensors")
    recipe = PROBE.change(model=name, weights=str(weights), size=96)
    with pytest.raises(ValueError, match=r"size to be one that timm:vit\S+ takes but got 96: "):
        train_localizer(root, tmp_path / "run", recipe, workers=0)


@pytest.mark.slow
def test_a_transformer_and_its_exact_maps(root, tmp_path, run):
    torch.manual_seed(0)
    name = "timm:vit_tiny_patch16_224"
    weights = save_checkpoint(create_model(name, num_classes=5), tmp_path / "w.safetensors")
    out = tmp_path / "run"
    code, _, err = run(
        "train", root, "--out", out, "--recipe", "linear_probe", "--model", name, "--weights",
        weights, "--epochs", 3, "--workers", 0,
    )  # fmt: skip
    assert code == 0, err
    code, printed, err = run("predict", root / "red_ball" / "0.png", "--checkpoint", out)
    assert code == 0, err
    assert "red_ball" in printed or "sea-green" in printed or "blue box" in printed
    network, info = load_checkpoint(out)
    assert info.settings["head"] == "mean"
    assert network.spec.method == "cam"
