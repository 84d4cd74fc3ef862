import errno
import math
import signal

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from tdam import create_model
from tdam.backbones.base import Backbone
from tdam.preprocessing import Preprocessing
from tdam.spec import ModelSpec
from tdam.training import TrainingError, UnreadableImageError, list_recipes, load_recipe, train
from tdam.training.batches import derive_seed, list_batches, load_batches
from tdam.training.mixing import Mixer
from tdam.training.ranks import Ranks
from tdam.training.recipe import Recipe, differing_keys
from tdam.training.run_folder import RunFolder
from tdam.training.schedule import group_parameters, rate_at
from tdam.weights import read_state_dict

SMALL = Recipe(
    name="small",
    weights="random",
    size=32,
    epochs=2,
    batch_size=4,
    lr=0.02,
    warmup=0.5,
    accumulate=2,
    mixup=0.3,
    cutmix=1.0,
    erasing=0.5,
    colour=0.2,
    ema=0.8,
)


class Noise:
    """Two classes of noise, one brighter than the other."""

    def __init__(self, count=10, broken=()):
        self.ids = tuple(f"{row}.png" for row in range(count))
        self.labels = np.arange(count, dtype=np.int64) % 2
        self.broken = broken

    def read(self, index):
        if index in self.broken:
            raise UnreadableImageError("not an image")
        random = torch.Generator().manual_seed(index)
        low = 100 * int(self.labels[index])
        return torch.randint(low, low + 150, (3, 40, 36), generator=random, dtype=torch.uint8)


class Tiny(Backbone):
    """One convolution, one norm, one linear layer."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 5, 4), nn.BatchNorm2d(8), nn.ReLU())
        self.drop = nn.Dropout(0.2)
        self.classifier = nn.Linear(8, 2)
        wanted = Preprocessing(size=32)
        self.spec = ModelSpec("tiny", "tiny", "stem", "classifier", preprocessing=wanted)
        self.settings = {"name": "tiny", "num_classes": 2}

    def trunk(self, x):
        return x

    def last_stage(self):
        return [self.stem]

    def stage_blocks(self):
        return [["stem"]]

    def shrinking_stages(self):
        return []

    def classify(self, features):
        return self.classifier(self.drop(features.mean(dim=(2, 3))))

    def forward(self, x):
        return self.classify(self.stem(x))


def build(recipe=SMALL):
    torch.manual_seed(recipe.seed)
    return Tiny()


def count_weights(model):
    """A validation that is quick and tells weights apart."""
    total = sum(p.detach().abs().sum().item() for p in model.parameters())
    return {"accuracy": 50.0, "loss": total}


def run(folder, recipe=SMALL, images=None, workers=0, **options):
    model = build(recipe)
    found = train(
        model,
        images or Noise(),
        recipe,
        folder,
        validate=count_weights,
        workers=workers,
        **options,
    )
    return model, found


def same(first, second):
    first, second = first.state_dict(), second.state_dict()
    return list(first) == list(second) and all(torch.equal(first[k], second[k]) for k in first)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nobody disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, *run(folder)


def test_recipes_come_along():
    assert {"finetune", "scratch_small"} <= set(list_recipes())
    for name in list_recipes():
        assert load_recipe(name).name == name
    assert load_recipe("finetune").weights == "pretrained"
    assert load_recipe("scratch_small").weights == "random"


def test_a_recipe_is_written_as_it_is_read(tmp_path):
    recipe = SMALL.change(
        drops=[3, 5], schedule="steps", packed=True, weights='a "b"\\c \U0001f600 \x7f'
    )
    (tmp_path / "small.toml").write_text(recipe.to_toml())
    assert load_recipe(tmp_path / "small.toml") == recipe


def test_a_recipe_has_a_base(tmp_path):
    (tmp_path / "mine.toml").write_text('base = "scratch_small"\nlr = 1\n')
    found = load_recipe(str(tmp_path / "mine.toml"))
    assert found.name == "mine"
    assert found.lr == 1.0
    assert differing_keys(found, load_recipe("scratch_small")) == ["name", "lr"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lrr = 1", "keys of a recipe, name, model, .*seed, but got lrr"),
        ('lr = "high"', "lr to be float but got 'high'"),
        ("epochs = 2.5", "epochs to be int but got 2.5"),
        ("epochs = true", "epochs to be int but got True"),
        ("epochs = 0", "epochs to be from 1 to"),
        ('optimizer = "lamb"', "optimizer to be one of sgd, adamw but got 'lamb'"),
        ("base = 5", "base to name a recipe but got 5"),
        ('base = "nothing"', "recipe to be one of finetune, scratch_small"),
        ("lr = ", "Invalid value"),
    ],
)
def test_a_recipe_that_breaks_a_rule(tmp_path, text, message):
    (tmp_path / "r.toml").write_text(text)
    with pytest.raises(ValueError, match=message):
        load_recipe(str(tmp_path / "r.toml"))


def test_a_base_that_never_ends(tmp_path):
    path = tmp_path / "r.toml"
    path.write_text(f"base = {str(path)!r}")
    with pytest.raises(ValueError, match="never ends"):
        load_recipe(str(path))


def test_choices_as_text():
    found = Recipe().change_by_text(["ema=0.9", "model=resnet18", "drops=[2, 4]", "compile=true"])
    assert (found.ema, found.model, found.drops, found.compile) == (0.9, "resnet18", (2, 4), True)
    with pytest.raises(ValueError, match="key=value"):
        Recipe().change_by_text(["ema"])


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
    added = [name for name in names if ".top_down." in name]
    assert added
    assert all(rate[id(names[name])][0] == pytest.approx(0.3) for name in added)


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


class Square(Noise):
    """Images of the input's size, which a view leaves as they are."""

    def read(self, index):
        return super().read(index)[:, :32, :32]


PLAIN = SMALL.change(
    accumulate=1, mixup=0.0, cutmix=0.0, erasing=0.0, colour=0.0, min_scale=1.0, flip=0.0, ema=0.0,
    channels_last=False, label_smoothing=0.2,
)  # fmt: skip


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


def test_what_is_done_to_a_batch():
    wanted = Preprocessing(size=32, mean=(0.1, 0.5, 0.9), std=(0.2, 0.3, 0.4))
    views = torch.stack([Square().read(i) for i in range(6)])
    labels = torch.arange(6) % 2
    images, same_labels = Mixer(PLAIN, wanted, 2, torch.device("cpu"))(views, labels)
    expected = torch.stack(
        [wanted(Image.fromarray(view.permute(1, 2, 0).numpy())) for view in views]
    )
    torch.testing.assert_close(images, expected, atol=1e-5, rtol=1e-5)
    assert torch.equal(same_labels, labels)
    mixer = Mixer(PLAIN.change(mixup=1.0), wanted, 2, torch.device("cpu"))
    mixed, soft = mixer(views, labels)
    assert soft.shape == (6, 2)
    torch.testing.assert_close(soft.sum(dim=1), torch.ones(6))
    share = soft[1, 1]  # of the image itself, whose neighbour has the other label
    assert 0 < share < 1
    torch.testing.assert_close(mixed[1], share * images[1] + (1 - share) * images[0])
    erased, _ = Mixer(PLAIN.change(erasing=1.0), wanted, 2, torch.device("cpu"))(views, labels)
    changed = (erased != images).any(dim=1).float().mean(dim=(1, 2))
    assert ((changed > 0.01) & (changed < 0.5)).all()


def test_an_epoch_has_every_image_once():
    batches = list_batches(10, 4, seed=3, epoch=0)
    assert [len(each) for each in batches] == [4, 3, 3]
    assert sorted(np.concatenate(batches).tolist()) == list(range(10))
    again, later, other = (
        np.concatenate(list_batches(10, 4, seed=s, epoch=e)).tolist()
        for s, e in ((3, 0), (3, 1), (4, 0))
    )
    assert np.concatenate(batches).tolist() == again
    assert again != later
    assert again != other


def test_views_hang_on_seed_and_place_alone():
    before = torch.get_rng_state()
    alone = Ranks(0, 1, torch.device("cpu"))
    first = list(load_batches(Noise(), SMALL, 32, 0, 0, alone))
    later = list(load_batches(Noise(), SMALL, 32, 4, 2, alone))
    assert torch.equal(before, torch.get_rng_state())
    assert len(first) == 6
    assert len(later) == 2
    for a, b in zip(first[4:], later, strict=True):
        assert a.indices == b.indices
        assert torch.equal(a.images, b.images)
    assert not torch.equal(first[0].images[0], first[3].images[0])


def test_processes_share_every_batch():
    whole = list(load_batches(Noise(), SMALL, 32, 0, 0, Ranks(0, 1, torch.device("cpu"))))
    parts = [
        list(load_batches(Noise(), SMALL, 32, 0, 0, Ranks(rank, 2, torch.device("cpu"))))
        for rank in range(2)
    ]
    for batch, *shares in zip(whole, *parts, strict=True):
        assert batch.indices[0::2] == shares[0].indices
        assert batch.indices[1::2] == shares[1].indices
        assert torch.equal(batch.images[1::2], shares[1].images)


def test_a_run_leaves_its_result(whole):
    folder, model, state = whole
    assert state.step == 6
    assert [row["epoch"] for row in state.history] == [0, 1, 2]
    assert state.history[0]["train_loss"] is None
    assert all(math.isfinite(row["train_loss"]) for row in state.history[1:])
    lines = (folder / "log.csv").read_text().splitlines()
    assert lines[0] == "epoch,step,lr,train_loss,seconds,val_accuracy,val_loss"
    assert len(lines) == 4
    result = read_state_dict(folder)
    assert not torch.equal(result["stem.0.weight"], model.stem[0].weight)  # it is the average
    names = [path.name for path in RunFolder(folder).list_checkpoints()]
    assert names == ["step-000000006", "step-000000003"]


class StopError(Exception):
    """Somebody pulled the plug."""


def stop_after(batches):
    def count(images, loss, left=[batches]):  # noqa: B006, it counts
        left[0] -= 1
        if left[0] == 0:
            raise StopError

    return count


@pytest.mark.parametrize("batches", [1, 3, 4, 5])
def test_a_run_that_was_cut_off_ends_the_same(whole, tmp_path, batches):
    with pytest.raises(StopError):
        run(tmp_path, on_batch=stop_after(batches), save_every=0.0)
    model, state = run(tmp_path, resume=True, workers=2 if batches == 5 else 0)
    folder, wanted, expected = whole
    assert same(model, wanted)
    assert (tmp_path / "model.safetensors").read_bytes() == (
        folder / "model.safetensors"
    ).read_bytes()
    dropped = ("seconds",)
    for row, other in zip(state.history, expected.history, strict=True):
        assert {k: v for k, v in row.items() if k not in dropped} == {
            k: v for k, v in other.items() if k not in dropped
        }


def test_a_checkpoint_that_cannot_be_read_gives_way_to_the_one_before(whole, tmp_path):
    with pytest.raises(StopError):
        run(tmp_path, on_batch=stop_after(5), save_every=0.0)
    last, _ = RunFolder(tmp_path).list_checkpoints()
    state = last / "state.pt"
    state.write_bytes(state.read_bytes()[:1000])
    assert same(run(tmp_path, resume=True)[0], whole[1])


def test_an_interrupt_saves_first(whole, tmp_path):
    asked = []

    def interrupt(images, loss):
        if not asked:
            asked.append(signal.raise_signal(signal.SIGINT))

    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, on_batch=interrupt)
    assert signal.getsignal(signal.SIGINT) is handler
    assert RunFolder(tmp_path).list_checkpoints()[0].name == "step-000000002"  # a whole step
    assert same(run(tmp_path, resume=True)[0], whole[1])


def test_a_loss_that_is_not_finite(tmp_path):
    recipe = SMALL.change(lr=100.0, head_lr=1e4, warmup=0.0, epochs=30, ema=0.0)
    with pytest.raises(
        TrainingError, match=r"(nan|inf|not finite) in epoch .* of images \d+.png"
    ) as e:
        run(tmp_path, recipe)
    good = RunFolder(tmp_path).list_checkpoints()[0]
    assert str(good) in str(e.value)
    weights = read_state_dict(good)
    assert all(torch.isfinite(tensor).all() for tensor in weights.values())


def test_a_full_disk_leaves_the_last_checkpoint(tmp_path):
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def fill_up(images, loss):
        resource.setrlimit(resource.RLIMIT_FSIZE, (3_000, hard))

    try:
        with pytest.raises(TrainingError, match="step-000000000") as e:
            run(tmp_path, on_batch=fill_up)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert isinstance(e.value.__cause__, OSError)
    assert e.value.__cause__.errno == errno.EFBIG
    assert not list(tmp_path.rglob("*.part"))
    _, state = run(tmp_path, resume=True)
    assert state.step == 6


def test_images_that_cannot_be_read(tmp_path):
    recipe = SMALL.change(epochs=1, batch_size=26, mixup=0.0, cutmix=0.0)
    _, state = run(tmp_path / "few", recipe, Noise(101, broken={7}))
    assert state.unreadable == {"7.png": "not an image"}
    assert state.seen == 100
    with pytest.raises(TrainingError, match=r"2 of 101 images cannot be read.*7.png: not an image"):
        run(tmp_path / "many", recipe, Noise(101, broken={7, 8}))


@pytest.mark.parametrize(("select", "epoch"), [("accuracy", 1), ("localization", 2), ("last", 3)])
def test_the_best_epoch_is_kept(tmp_path, select, epoch):
    rows = iter([(9, 9, 0), (2, 1, 3), (1, 5, 0), (2, 1, 4)])

    def validate(model):
        accuracy, loc, loss = next(rows)
        return {"accuracy": accuracy, "max_box_acc_v2": loc, "loss": loss}

    recipe = SMALL.change(epochs=3, select=select)
    state = train(build(), Noise(4), recipe, tmp_path, validate=validate, workers=0)
    assert state.best["epoch"] == epoch  # the untrained network never, equals by their loss


def test_other_ways_to_run(tmp_path):
    recipe = SMALL.change(
        epochs=1,
        precision="bfloat16",
        optimizer="adamw",
        lr=0.001,
        channels_last=False,
        min_scale=1.0,
        flip=0.0,
        ema=0.0,
    )
    model, state = run(tmp_path, recipe, Noise(6))
    assert math.isfinite(state.history[-1]["train_loss"])
    assert next(model.parameters()).dtype == torch.float32
