import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import wsol
from eval.splits import Split
from tdam import create_model, save_checkpoint
from tdam.preprocessing import Preprocessing
from wsol.evaluation.resume_file import ResumeError
from wsol.localizer import Localizer

SMALL = Preprocessing(size=64)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Four images of noise."""
    folder = tmp_path_factory.mktemp("noise")
    random = np.random.default_rng(0)
    for row in range(4):
        pixels = random.integers(0, 256, (8, 10, 3), np.uint8)
        Image.fromarray(pixels).resize((80, 64)).save(folder / f"{row}.png")
    return folder


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = create_model("resnet18", num_classes=3)
    model.spec = replace(model.spec, preprocessing=SMALL)
    return model


@pytest.fixture
def split():
    boxes = tuple(np.array([[5, 5, 60, 50]]) for _ in range(4))
    ids = tuple(f"{row}.png" for row in range(4))
    return Split("test", ids, np.array([0, 1, 2, 0]), np.array([[80, 64]] * 4), boxes)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("precision", "method", "layer"),
    [
        ("bfloat16", "cam", None),
        ("bfloat16", "gradcampp", "layer3"),
        ("bfloat16", "scorecam", "conv1"),
        ("float16", "cam", None),
        ("float16", "layercam", "layer3"),
    ],
)
def test_maps_and_scores_are_near(model, images, precision, method, layer):
    """Rounding moves them, but no more than its kind of numbers does."""
    paths = sorted(images.iterdir())[:2]
    usual, rounded = (
        Localizer(model, method, target_layer=layer, precision=each)(paths, labels=1)
        for each in ("float32", precision)
    )
    for one, other in zip(usual, rounded, strict=True):
        assert one.score != other.score
        assert other.score == pytest.approx(one.score, abs=0.02)
        assert other.steps[-1].raw.dtype == np.float32
        maps = [each.steps[-1].raw.ravel() for each in (one, other)]
        assert not np.array_equal(*maps)
        assert np.dot(*maps) > 0.99 * np.linalg.norm(maps[0]) * np.linalg.norm(maps[1])


def test_small_gradients_are_not_lost_in_float16(model, images):
    with torch.no_grad():
        model.fc.weight *= 1e-5  # times 4 pixels: below what float16 tells from zero
    path = images / "0.png"
    usual, rounded = (
        Localizer(model, "gradcam", precision=each)(path, labels=1).steps[-1].raw.ravel()
        for each in ("float32", "float16")
    )
    assert np.dot(usual, rounded) > 0.999 * np.linalg.norm(usual) * np.linalg.norm(rounded) > 0


def test_channels_last_reaches_the_layers(model, images):
    layouts = []

    def note(module, args, output):
        layouts.append(output.is_contiguous(memory_format=torch.channels_last))

    model.layer2.register_forward_hook(note)
    paths = sorted(images.iterdir())
    usual = Localizer(model, channels_last=False)(paths)
    changed = Localizer(model, channels_last=True)(paths)
    assert layouts == [False, True]
    assert model.conv1.weight.is_contiguous()
    for one, other in zip(usual, changed, strict=True):
        assert other.score == pytest.approx(one.score, abs=1e-5)


def test_what_scores_tell(model, split, images, tmp_path):
    usual = wsol.evaluate(model, split, images, channels_last=False, out=tmp_path / "usual")
    half = wsol.evaluate(
        model, split, images, precision="bfloat16", channels_last=True, out=tmp_path / "half"
    )
    assert [usual.to_dict()[key] for key in ("precision", "channels_last")] == ["float32", False]
    assert [half.to_dict()[key] for key in ("precision", "channels_last")] == ["bfloat16", True]
    assert json.loads((tmp_path / "half/scores.json").read_text())["precision"] == "bfloat16"
    assert half.subject == f"{usual.subject}, bfloat16, channels_last"
    settings = [json.loads((tmp_path / each / "settings.json").read_text()) for each in
                ("usual", "half")]  # fmt: skip
    assert "precision" not in settings[0]  # as before there was a choice
    assert settings[1]["precision"] == "bfloat16"
    # An unfinished run goes on in its own precision alone.
    half_begun = tmp_path / "half"
    (half_begun / "settings.json").rename(half_begun / "unfinished.json")
    (half_begun / "unfinished.bin").write_bytes(b"0" * 10_000)
    with pytest.raises(ResumeError, match=r"settings differ .*precision"):
        wsol.evaluate(model, split, images, out=half_begun, channels_last=True)


@pytest.mark.slow
def test_predictions_know_their_precision(model, images, tmp_path, run):
    weights = save_checkpoint(model, tmp_path / "w.safetensors")
    command = ("predict", images, "--checkpoint", weights, "--format", "jsonl", "--out", tmp_path)
    code, _, err = run(*command, "--precision", "bfloat16", "--force")
    assert code == 0
    assert "the network computes in bfloat16: scores and boxes can differ from float32\n" in err
    code, _, err = run(*command, "--resume")
    assert code == 2
    assert "precision (" in err
    code, _, err = run(*command, "--resume", "--precision", "bfloat16")
    assert code == 0
    assert "nothing is left to do" in err


@pytest.mark.parametrize("command", ["predict", "evaluate"])
def test_another_word(images, run, command):
    code, _, err = run(command, images, "--precision", "float8")
    assert code == 2
    assert "--precision" in err
    assert "one of float32, bfloat16, float16 but got 'float8'" in err


def test_maps_on_disk_have_no_precision(images, run):
    code, _, err = run("evaluate", images, "--maps", images, "--precision", "bfloat16")
    assert code == 2
    assert "goes with a network, not with --maps" in err
