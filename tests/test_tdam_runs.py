import errno
import math
import signal

import pytest
import small_training
import torch
from listeners import Counter, KillError, Stopper
from small_training import SMALL, Noise, build, count_weights, run, same

from tdam.events import Events
from tdam.training import TrainingError, train
from tdam.training.run_folder import RunFolder
from tdam.weights import read_state_dict


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nobody disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, *run(folder)


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


@pytest.mark.parametrize("batches", [1, 3, 4, 5])
def test_a_run_that_was_cut_off_ends_the_same(whole, tmp_path, batches):
    with pytest.raises(KillError):
        run(tmp_path, events=Stopper(batches, KillError), save_every=0.0)
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


class Heard(Events):
    """Writes down what it hears."""

    def __init__(self):
        self.lines = []

    def begin(self, task, total=None, done=0):
        self.lines.append((task, total, done))

    def advance(self, count=1, **figures):
        assert math.isfinite(figures["loss"])
        self.lines.append(count)

    def end(self):
        self.lines.append("end")

    def epoch(self, history, best):
        self.lines.append((len(history), best and best["epoch"]))


def test_what_a_run_tells(tmp_path):
    heard = Heard()
    run(tmp_path / "whole", events=heard)
    assert heard.lines == [
        (1, None),
        *[("train 1/2", 20, 0), 4, 3, 3, (2, 1)],
        *[("train 2/2", 20, 10), 4, 3, 3, (3, heard.lines[-2][1])],
        "end",
    ]
    with pytest.raises(KillError):
        run(tmp_path / "cut", events=Stopper(3, KillError), save_every=0.0)
    heard = Heard()
    run(tmp_path / "cut", events=heard, resume=True)  # after the first step, of two batches
    assert heard.lines[:3] == [("train 1/2", 20, 7), 3, (2, 1)]
    heard = Heard()
    run(tmp_path / "cut", events=heard, resume=True)  # nothing is left
    assert heard.lines == ["end"]


def test_the_end_is_told_where_a_run_breaks_off(tmp_path):
    class Break(Heard):
        def advance(self, count=1, **figures):
            raise KillError

    heard = Break()
    with pytest.raises(KillError):
        run(tmp_path, events=heard)
    assert heard.lines[-1] == "end"


def test_a_checkpoint_that_cannot_be_read_gives_way_to_the_one_before(whole, tmp_path):
    with pytest.raises(KillError):
        run(tmp_path, events=Stopper(5, KillError), save_every=0.0)
    last, _ = RunFolder(tmp_path).list_checkpoints()
    state = last / "state.pt"
    state.write_bytes(state.read_bytes()[:1000])
    assert same(run(tmp_path, resume=True)[0], whole[1])


def test_an_interrupt_saves_first(whole, tmp_path):
    class Interrupt(Events):
        asked = False

        def advance(self, count=1, **figures):
            if not self.asked:
                self.asked = True
                signal.raise_signal(signal.SIGINT)

    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, events=Interrupt())
    assert signal.getsignal(signal.SIGINT) is handler
    assert RunFolder(tmp_path).list_checkpoints()[0].name == "step-000000002"  # a whole step
    assert same(run(tmp_path, resume=True)[0], whole[1])


@pytest.mark.parametrize(
    ("batches", "measured", "steps"),
    [(2, 1, 2), (3, 1, 3), (6, 2, 6)],  # within an epoch, at its end, at the end of the last one
)
def test_nothing_is_measured_after_a_request_to_stop(
    whole, tmp_path, monkeypatch, batches, measured, steps
):
    class Interrupt(Counter):
        def advance(self, count=1, **figures):
            super().advance(count)
            if len(self.counts) == batches:
                signal.raise_signal(signal.SIGINT)
                (told,) = self.said
                assert told.startswith("asked to stop: ")  # at once

    counted = []
    monkeypatch.setattr(
        small_training, "count_weights", lambda model: counted.append(1) or count_weights(model)
    )
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, events=Interrupt())
    assert len(counted) == measured
    assert RunFolder(tmp_path).list_checkpoints()[0].name == f"step-{steps:09d}"
    model, state = run(tmp_path, resume=True)
    assert same(model, whole[1])
    assert len(counted) == 3
    result = "model.safetensors"
    assert (tmp_path / result).read_bytes() == (whole[0] / result).read_bytes()
    rows = [[row | {"seconds": 0} for row in each.history] for each in (state, whole[2])]
    assert rows[0] == rows[1]


def test_a_request_to_stop_while_it_measures_is_followed_after_it(whole, tmp_path, monkeypatch):
    """Where an epoch is one batch, every step is followed by a validation."""
    counted, heard = [], Counter()

    def measure(model):
        counted.append(1)
        if len(counted) == 2:
            signal.raise_signal(signal.SIGINT)
        return count_weights(model)

    monkeypatch.setattr(small_training, "count_weights", measure)
    recipe = SMALL.change(batch_size=10)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, recipe, events=heard)
    assert (len(heard.counts), len(counted), len(heard.said)) == (1, 2, 1)
    run(tmp_path, recipe, resume=True)
    assert len(counted) == 3


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

    class FillUp(Events):
        def advance(self, count=1, **figures):
            resource.setrlimit(resource.RLIMIT_FSIZE, (3_000, hard))

    try:
        with pytest.raises(TrainingError, match="step-000000000") as e:
            run(tmp_path, events=FillUp())
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
