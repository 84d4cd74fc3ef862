import math
from itertools import pairwise

import pytest
import torch
from listeners import KillError, Stopper
from small_training import SMALL, Noise, build, count_weights, run, same
from torchvision.transforms import v2

from tdam import create_model, list_models
from tdam.events import Events
from tdam.named_weights import NAMED_WEIGHTS, fetch_named, list_torchvision
from tdam.precision import check_precision
from tdam.training import TrainingError, load_recipe, train
from tdam.training.batches import create_views
from tdam.training.losses import cross_entropy
from tdam.training.recipe import Recipe
from tdam.training.schedule import group_parameters
from tdam.training.stages import find_stages
from tdam.weights import WeightsError

NEW = (
    "dilated", "stage_lr", "decay_norms", "rate_every", "min_lr", "warmup_lr", "warmup_prefix",
    "cooldown", "resize", "interpolation", "val_limit", "val_every", "hide_rate", "hide_sizes",
    "mix_rate", "regularizer", "regularized", "adl_rate", "adl_threshold", "acol_threshold",
    "spg_thresholds",
)  # fmt: skip
HALF = SMALL.change(precision="float16", epochs=2)


def test_a_file_from_before_these_keys(tmp_path):
    lines = Recipe().to_toml().splitlines(True)
    kept = [line for line in lines if line.split(" = ")[0] not in NEW]
    assert len(kept) == len(lines) - len(NEW)
    (tmp_path / "recipe.toml").write_text("".join(kept))
    old = load_recipe(tmp_path / "recipe.toml")
    assert old == Recipe(name=old.name)


@pytest.mark.parametrize(
    "name", ["resnet18", "convnext_tiny", "efficientnet_lite0", "mobilenet_v3_large", "vgg16"]
)
def test_stages(name):
    with torch.device("meta"):
        model = create_model(name, num_classes=3, attention="tdam")
    count = len(model.stage_blocks())
    assert count == (4 if name.startswith(("res", "convnext")) else 5)
    stages = find_stages(model)
    own = [each for each, _ in model.named_parameters() if each not in stages]
    assert own == [f"{model.spec.classifier}.weight", f"{model.spec.classifier}.bias"]
    assert set(stages.values()) == set(range(count))
    assert next(iter(stages.values())) == 0
    assert list(stages.values())[-1] == count - 1
    assert {stages[each] for each in stages if ".top_down." in each} == {count - 2, count - 1}
    recipe = Recipe(lr=0.1, head_lr=7.0, attention_lr=0.5, stage_lr=(1, 2, 3, 4, 5)[:count])
    rates = {
        id(parameter): group["lr"]
        for group in group_parameters(model, recipe)
        for parameter in group["params"]
    }
    for each, parameter in model.named_parameters():
        wanted = 0.7 if each not in stages else 0.1 * (stages[each] + 1)
        wanted *= 0.5 if ".top_down.attention." in each else 1
        assert rates[id(parameter)] == pytest.approx(wanted), each
    with pytest.raises(ValueError, match=f"stage_lr to be {count} factors, .*{name}, but got 2"):
        group_parameters(model, Recipe(stage_lr=(1, 2)))


def test_squashed_then_cropped():
    image = Noise().read(1)
    recipe = SMALL.change(resize=36, flip=0.0, colour=0.0)
    squashed = v2.functional.resize(image, [36, 36], antialias=True)
    windows = squashed.unfold(1, 32, 1).unfold(2, 32, 1).permute(1, 2, 0, 3, 4).reshape(25, -1)
    torch.manual_seed(0)
    change = create_views(recipe, 32, 36)
    views = [change(image) for _ in range(20)]
    rows = [(windows == view.reshape(1, -1)).all(dim=1).nonzero().flatten() for view in views]
    assert all(len(row) == 1 for row in rows)
    assert len({int(row) for row in rows}) > 5


def test_interpolations():
    image = Noise().read(1)
    views = {}
    for kind in ("bilinear", "bicubic", "random"):
        recipe = SMALL.change(min_scale=1.0, flip=0, colour=0, interpolation=kind)
        change = create_views(recipe, 32, 0)
        torch.manual_seed(0)
        views[kind] = [change(image).numpy().tobytes() for _ in range(12)]
    assert set(views["random"]) == {views["bilinear"][0], views["bicubic"][0]}
    assert views["bilinear"][0] != views["bicubic"][0]


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"cooldown": 2}, r"cooldown to be less than epochs \(2\), which count it, but got 2"),
        ({"resize": 24}, r"resize to be at least size \(32\) but got 24"),
    ],
)
def test_choices_that_do_not_go_together(tmp_path, choices, message):
    with pytest.raises(ValueError, match=message):
        run(tmp_path, SMALL.change(**choices))
    assert not list(tmp_path.iterdir())


def test_factors_out_of_range():
    with pytest.raises(ValueError, match=r"stage_lr to be from 0 to 10000 but got \[1.0, -1.0\]"):
        Recipe().change(stage_lr=[1, -1])


def test_float16_resumes_to_the_bit(tmp_path):
    wanted, _ = run(tmp_path / "whole", HALF)
    with pytest.raises(KillError):
        run(tmp_path / "cut", HALF, events=Stopper(4, KillError), save_every=0.0)
    state = torch.load(max((tmp_path / "cut/checkpoints").glob("step-*")) / "state.pt")
    assert state["scaler"]["scale"] > 0
    model, _ = run(tmp_path / "cut", HALF, resume=True)
    assert same(model, wanted)
    files = [tmp_path / name / "model.safetensors" for name in ("whole", "cut")]
    assert files[0].read_bytes() == files[1].read_bytes()
    for path in (tmp_path / "cut/checkpoints").glob("step-*/state.pt"):
        content = torch.load(path)
        torch.save({key: content[key] for key in content if key != "scaler"}, path)
    with pytest.raises(TrainingError, match="no state of a training with scaled losses"):
        run(tmp_path / "cut", HALF, resume=True)


def train_with_overflow(folder, overflows, images=8):
    """Two images a step; some losses are finite, but too large for their gradients."""
    calls = []

    def loss(network, images, wanted, recipe):
        calls.append(len(calls))
        value = cross_entropy(network, images, wanted, recipe)
        return value * (1e36 if calls[-1] in overflows else 1e-4)

    recipe = HALF.change(accumulate=1, epochs=1, batch_size=2, ema=0.5, warmup=0, mixup=0, cutmix=0)
    model = build(recipe)
    weights = []

    class Watch(Events):
        def advance(self, count=1, **figures):
            weights.append(model.stem[0].weight.detach().clone())

    train(
        model, Noise(images), recipe, folder, validate=count_weights, loss=loss, workers=0,
        events=Watch(),
    )  # fmt: skip
    return weights, torch.load(folder / f"checkpoints/step-{images // 2:09d}/state.pt")


def test_a_step_that_float16_cannot_make(tmp_path):
    weights, state = train_with_overflow(tmp_path, overflows={1})
    changed = [not torch.equal(a, b) for a, b in pairwise(weights)]
    assert changed == [False, True, True]
    assert state["count"] == 3  # of four steps, in the average
    assert state["scaler"]["scale"] == 2.0**15  # half of what it began with
    assert state["state"]["step"] == 4  # the schedule goes on


def test_gradients_that_no_scale_can_hold(tmp_path):
    with pytest.raises(TrainingError, match="gradients are not finite, however small the loss"):
        train_with_overflow(tmp_path, overflows=set(range(100)), images=80)


def test_a_device_without_the_precision(monkeypatch, tmp_path):
    def refuse(*args, **options):
        raise RuntimeError("\"slow_conv2d\" not implemented for 'Half'\nand more")

    monkeypatch.setattr(torch.nn.functional, "conv2d", refuse)
    with pytest.raises(ValueError, match=r"that cpu computes in but got float16 \(\"slow_conv2d\""):
        check_precision("float16", torch.device("cpu"))
    with pytest.raises(ValueError, match="take float32"):
        run(tmp_path, HALF)
    assert not list(tmp_path.iterdir())
    check_precision("float32", torch.device("cpu"))


@pytest.mark.parametrize(("select", "best"), [("accuracy", 2), ("last", 5)])
def test_measured_every_few_epochs(tmp_path, select, best):
    accuracies = iter([1.0, 9.0, 5.0, 4.0])
    measured = []

    def validate(model):
        measured.append(model)
        return {"accuracy": next(accuracies), "loss": 1.0}

    recipe = SMALL.change(epochs=5, val_every=2, select=select, batch_size=8)
    with pytest.raises(KillError):
        train(build(), Noise(), recipe, tmp_path, validate=validate, workers=0, save_every=0.0,
              events=Stopper(7, KillError))  # fmt: skip
    state = train(build(), Noise(), recipe, tmp_path, validate=validate, workers=0, resume=True)
    assert len(measured) == 4  # untrained, and after epochs 2, 4 and 5
    assert [row["val_accuracy"] for row in state.history] == [1.0, None, 9.0, None, 5.0, 4.0]
    assert state.best["epoch"] == best
    lines = (tmp_path / "log.csv").read_text().splitlines()
    assert lines[2].endswith(",,")
    assert all(math.isfinite(row["train_loss"]) for row in state.history[1:])


def test_weights_by_torchvisions_names(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    there = tmp_path / "hub/checkpoints"
    there.mkdir(parents=True)
    torch.manual_seed(3)
    theirs = create_model("resnet18").state_dict()
    torch.save(theirs, there / "resnet18-f37072fd.pth")
    # Another network of the same shape under torchvision's name is not what was asked for.
    with pytest.raises(WeightsError, match=r"^/.*begins with f37072fd, as its name says, but got "):
        create_model("resnet18", weights="imagenet1k_v1")
    with pytest.raises(WeightsError, match="delete the file, or give it by a path"):
        create_model("resnet18", weights="pretrained")
    monkeypatch.setattr("tdam.torchvision_files.read_hash", lambda _: "")  # as if it were
    model = create_model("resnet18", weights="imagenet1k_v1", attention="tdam", num_classes=5)
    own = model.state_dict()
    assert all(torch.equal(own[k], theirs[k]) for k in theirs if not k.startswith("fc."))
    assert not own["fc.weight"].any()
    assert model.weights_file is None
    for name in list_models():
        for weights in set(NAMED_WEIGHTS[1:]) - set(list_torchvision(name)):
            with pytest.raises(ValueError, match=f"{weights} of {name}: torchvision has them for "):
                fetch_named(name, weights)
    with pytest.raises(ValueError, match=r"has them for resnet50, .*, mobilenet_v3_large$"):
        create_model("resnet18", weights="imagenet1k_v2")
    theirs["fc.bias"][0] = math.nan
    torch.save(theirs, there / "resnet18-f37072fd.pth")
    with pytest.raises(WeightsError, match="imagenet1k_v1 weights of resnet18: expected finite"):
        create_model("resnet18", weights="imagenet1k_v1")
