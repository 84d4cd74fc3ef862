"""A network whose numbers are not finite finds nothing: neither a class nor a box nor `no box`."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

import wsol
from eval.splits import ManifestError, Split
from tdam import create_model, load_checkpoint, save_checkpoint
from tdam.strict_json import dumps, loads
from tdam.training import TrainingError, train
from wsol.images import ImageError
from wsol.prediction import predict
from wsol.writers import WRITERS

FAULT = pytest.mark.fault("numbers: scores that are not finite")
JSON = pytest.mark.fault("numbers: JSON that is none")


@pytest.fixture
def model():
    torch.manual_seed(0)
    return create_model("resnet18", num_classes=3)


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, value in (("0.png", 0), ("1.png", 255)):
        Image.new("RGB", (40, 30), (value,) * 3).save(folder / name)
    return folder


def spoil(model, kind):
    with torch.no_grad():
        if kind == "bias":
            model.fc.bias[1] = torch.nan
        elif kind == "stem":
            model.conv1.weight[0, 0, 0, 0] = torch.nan
        else:  # finite weights, whose sums are not
            model.fc.weight.mul_(1e38)
            model.layer4[1].bn2.bias.add_(1e6)
    return model


@FAULT
@pytest.mark.parametrize("kind", ["bias", "stem", "too large"])
@pytest.mark.parametrize("method", ["cam", "layercam"])
def test_predict_writes_an_error_for_the_image(model, photos, tmp_path, kind, method):
    told = {}
    out, kinds = tmp_path / "out", list(WRITERS)
    summary = predict(
        spoil(model, kind), photos, out, formats=kinds, method=method, names=["a", "b", "c"],
        on_result=told.__setitem__, workers=0,
    )  # fmt: skip
    assert (summary.images, summary.failed) == (2, 2)
    assert all(isinstance(each, ImageError) for each in told.values())
    assert all("not finite numbers" in str(each) for each in told.values())
    lines = (out / "predictions.jsonl").read_text().splitlines()
    assert all("error" in loads(line) for line in lines)
    for path in out.rglob("*.json*"):
        assert "NaN" not in path.read_text()


@FAULT
def test_one_image_of_two(model, photos):
    """Only what the bright image lights up is not finite."""

    class Fuse(torch.nn.Module):
        def forward(self, x):
            return torch.where(x.mean(dim=(1, 2, 3), keepdim=True) > 1, torch.nan, 1) * x

    model.conv1 = torch.nn.Sequential(Fuse(), model.conv1)
    localizer = wsol.Localizer(model, names=["a", "b", "c"], workers=0)
    dark, bright = (result for _, result in localizer.stream([photos / "0.png", photos / "1.png"]))
    assert dark.score > 0
    assert isinstance(bright, ImageError)
    with pytest.raises(ImageError, match=r"1\.png: .* not finite"):
        localizer(photos / "1.png")
    boxes = tuple(np.array([[0, 0, 39, 29]]) for _ in range(2))
    split = Split("test", ("0.png", "1.png"), np.array([0, 1]), np.array([[40, 30]] * 2), boxes)
    options = {"threshold": 0.2, "classes": {0: 0, 1: 1}, "workers": 0}
    scores = wsol.evaluate(model, split, photos, **options)
    assert [line.split(":")[0] for line in scores.unreadable] == ["1.png"]


@FAULT
def test_no_file_of_weights_holds_them(model, tmp_path):
    with pytest.raises(ValueError, match=r"finite numbers but fc\.bias has 1 of 3"):
        save_checkpoint(spoil(model, "bias"), tmp_path / "w.safetensors")
    with torch.no_grad():
        model.fc.bias[1] = 0
        model.fc.weight[0, 0] = 1e5  # no number of float16
    with pytest.raises(ValueError, match=r"fc\.weight has 1 of"):
        save_checkpoint(model, tmp_path / "w.safetensors", half=True)
    assert not (tmp_path / "w.safetensors").exists()
    load_checkpoint(save_checkpoint(model, tmp_path / "w.safetensors"))


@FAULT
@pytest.mark.parametrize("when", [0, 1])
def test_a_validation_that_is_not_finite_ends_a_training(tmp_path, when):
    from small_training import SMALL, Noise, build

    calls = []

    def validate(model):
        calls.append(1)
        return {"accuracy": 50.0, "loss": float("nan") if len(calls) > when else 1.0}

    with pytest.raises(TrainingError, match="loss on the validation images"):
        train(build(), Noise(), SMALL, tmp_path / "run", validate=validate, workers=0)
    log = tmp_path / "run" / "log.csv"
    assert not log.exists() or "nan" not in log.read_text()


@JSON
@pytest.mark.parametrize(
    "text", ["NaN", "[Infinity]", '{"a": -Infinity}', "1e999", "-1" + "0" * 400 + ".5"]
)
def test_readers_refuse_what_is_no_number(text, tmp_path):
    with pytest.raises(ValueError, match="finite numbers"):
        loads(text)


@JSON
def test_undefined_numbers_are_null():
    value = {"iou": float("nan"), "all": [1.0, (float("inf"), None)], "images": 3}
    assert loads(dumps(value)) == {"iou": None, "all": [1.0, [None, None]], "images": 3}


@JSON
@pytest.mark.parametrize("number", ["NaN", "Infinity"])
def test_data_sets_and_results_with_such_numbers_are_one_line(run, tmp_path, number):
    truth = tmp_path / "truth.json"
    truth.write_text(f'{{"images": [{{"id": 1, "width": {number}}}]}}')
    code, _, err = run("evaluate", truth, "--root", tmp_path)
    assert (code, err.count("\n")) in ((1, 1), (2, 1)), err
    assert number in err
    home = tmp_path / "results"
    home.mkdir()
    (home / "scores.json").write_text(json.dumps({"images": 1}).replace("1", number))
    (home / "images.jsonl").write_text('{"id": "a"}\n')
    code, _, err = run("compare", home, home)
    assert (code, err.count("\n")) in ((1, 1), (2, 1)), err
    with pytest.raises(ManifestError):
        wsol.evaluate(create_model("resnet18"), truth, tmp_path)
