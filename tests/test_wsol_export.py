"""Networks as ONNX: what the file puts out, and boxes that are drawn from it without torch."""

import copy
import hashlib
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from eval.manifest import load_split
from tdam import TopDownAttention, create_model, load_checkpoint, save_checkpoint
from tdam.preprocessing import Preprocessing
from tdam.registry import MODELS
from wsol import Localizer, export_network
from wsol.errors import ArgumentError, EngineError
from wsol.exporting import backward
from wsol.maps import MapExtractor

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

NAMES = ("tabby", "Zürich, \t tram", "Elster")
INPUT = Preprocessing(64, (0.4, 0.5, 0.6), (0.2, 0.25, 0.3), "crop", 80, "bicubic")
OUTSIDE = ("test_vit", "test_convnext", "resnet10t", "test_efficientnet", "regnetx_002")


def small():
    """A network whose head is not linear, with pooling, channels that are dead, and a stride."""
    torch.manual_seed(3)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU6(),
        nn.Conv2d(8, 12, 3, stride=2, padding=1, bias=False),
        nn.MaxPool2d(3, 2, 1),
        nn.AvgPool2d(2, 1, 1),
        nn.ReLU6(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(12, 16),
        nn.LayerNorm(16),
        nn.GELU(),
        nn.Linear(16, 3),
    ).eval()
    network[0].weight.data[:2] = network[0].bias.data[:2] = 0  # gradients at a corner of ReLU6
    return network


def run_onnx(path, images):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_outputs()]
    return dict(zip(names, session.run(None, {"images": images.numpy()}), strict=True))


def read_boxes(path, photos, folder):
    """Run the program beside the network where torch cannot be imported, nor what is ours."""
    for name in ("torch", "tdam", "wsol", "eval"):
        (folder / f"{name}.py").write_text("raise ImportError('not here')")
    done = subprocess.run(
        [sys.executable, path.parent / "wsol_reader.py", path, *photos],
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr
    lines = [line.split("\t", 1) for line in done.stdout.splitlines()]
    assert [name for name, _ in lines] == [str(photo) for photo in photos]
    return [json.loads(text) for _, text in lines]


def check_boxes(found, localizations):
    """Class for class the same; returns how many boxes there were."""
    for classes, localization in zip(found, localizations, strict=True):
        assert [name for name, _, _ in classes] == [each.name for each in localization.classes]
        for (_, likely, box), each in zip(classes, localization.classes, strict=True):
            assert likely == pytest.approx(each.score, abs=1e-5)
            np.testing.assert_array_equal([box] if box else np.zeros((0, 4)), each.boxes)
    return sum(box is not None for classes in found for _, _, box in classes)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A network of one's own, and what became of it."""
    path = tmp_path_factory.mktemp("a folder") / "my network.onnx"
    network = small()
    made = export_network(
        network, path, topk=9, method="gradcam++", layer="2", threshold=0.35, names=NAMES,
        preprocessing=INPUT,
    )  # fmt: skip
    assert next(network.parameters()).requires_grad  # it was left as it was
    return network, made


@pytest.mark.slow
def test_the_file_puts_out_what_the_localizer_sees(exported, spot):
    network, made = exported
    images = torch.stack([INPUT(spot), INPUT(spot.rotate(90, expand=True)), INPUT(spot)[:, :, :]])
    found = run_onnx(made.path, images)
    assert list(found) == ["logits", "features", "classes", "probabilities", "maps"]
    features = network[:3](images)
    np.testing.assert_allclose(found["features"], features.detach(), atol=1e-5)
    logits = network(images).detach()
    np.testing.assert_allclose(found["logits"], logits, atol=1e-5)
    np.testing.assert_array_equal(found["classes"], logits.argsort(1, descending=True))
    # Grad-CAM++ as the paper has it, by torch's own gradients.
    for row, ranked in enumerate(found["classes"]):
        for rank, label in enumerate(ranked):
            at = features[row : row + 1].detach().requires_grad_()
            (gradient,) = torch.autograd.grad(network[3:](at)[0, label], at)
            g = gradient.relu()
            weight = (g / (2 + g * at.sum((2, 3), keepdim=True).relu())).sum((2, 3), keepdim=True)
            wanted = (weight * at).sum(1).relu()[0].detach()
            np.testing.assert_allclose(found["maps"][row, rank], wanted, atol=1e-5)
    assert found["maps"].max() > 0.01


@pytest.mark.slow
def test_boxes_need_no_torch(exported, photos, tmp_path):
    network, made = exported
    pictures = sorted(photos.glob("*.*"))
    pictures = [path for path in pictures if path.suffix in (".jpg", ".png")]
    assert len(pictures) == 5
    with Image.open(pictures[0]) as image:
        image.convert("L").save(tmp_path / "grey ö.png")
        clear = image.convert("RGBA")
        clear.putalpha(image.convert("L"))
        clear.save(tmp_path / "clear.png")
        image.quantize(16).save(tmp_path / "palette.png")
        exif = Image.Exif()
        exif[0x0112] = 6
        image.crop((10, 20, 200, 90)).save(tmp_path / "turned.jpg", exif=exif)
    pictures += sorted(tmp_path.glob("*.*g"))
    options = {"method": "gradcampp", "threshold": 0.35, "topk": 3, "target_layer": "2"}
    with Localizer(network, names=NAMES, preprocessing=INPUT, **options) as localizer:
        assert check_boxes(read_boxes(made.path, pictures, tmp_path), localizer(pictures)) == 27


@pytest.mark.slow
def test_the_json_beside_it_tells_all(exported):
    _, made = exported
    told = json.loads(made.told.read_text(encoding="utf-8"))
    assert made.told.name == "my network.json"
    assert told["sha256"] == hashlib.sha256(made.path.read_bytes()).hexdigest()
    assert told["input"] == {
        **{"size": 64, "mean": [0.4, 0.5, 0.6], "std": [0.2, 0.25, 0.3], "mode": "crop"},
        **{"resize": 80, "interpolation": "bicubic", "share": 0.8},
    }
    assert told["classes"] == list(NAMES)
    assert [told[key] for key in ("network", "method", "layer", "threshold", "topk", "steps")] == [
        *("Sequential", "gradcampp", "2", 0.35, 3, 1)
    ]
    assert str(made.path.parent) not in made.path.read_bytes().decode("latin-1")
    assert b"wsol/exporting" not in made.path.read_bytes()  # nor where it was made
    assert len(made.reader.read_text().splitlines()) <= 60


def test_pooling_hands_its_gradient_back():
    images = torch.rand(2, 3, 9, 7, requires_grad=True)
    for made, operation, arguments in (
        (nn.functional.avg_pool2d(images, 3, 2, 1), backward._average_pool, ([3], [2], [1])),
        (nn.functional.avg_pool2d(images, (9, 7)), backward._average_pool, ([9, 7], [], [0])),
    ):
        gradient = torch.rand_like(made)
        (wanted,) = torch.autograd.grad(made, images, gradient, retain_graph=True)
        found = operation(gradient, images, *arguments, False, True, None)
        torch.testing.assert_close(found, wanted)
    made, indices = nn.functional.max_pool2d(images, 3, 2, 1, return_indices=True)
    gradient = torch.rand_like(made)
    (wanted,) = torch.autograd.grad(made, images, gradient)
    found = backward._max_pool(gradient, images, [3], [2], [1], [1], False, indices)
    torch.testing.assert_close(found, wanted)


class Mean(MapExtractor):
    """A method that looks at values, which a graph has none of."""

    def _compute(self, activations, ids, scores):
        return [each.mean(1) if float(each.sum()) > 0 else each[:, 0] for each in activations]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "scorecam"}, "scorecam cannot be exported: .* choose another"),
        ({"method": Mean}, "Sequential cannot be written as ONNX"),
        ({"method": "cam"}, "as many channels as the classifier has inputs"),
        ({"every_step": True, "layer": None}, "a network of several steps"),
        ({"every_step": True}, "cannot be combined with a layer"),
        ({"out": "network.pt"}, "expected .onnx, got .*network.pt"),
        ({"names": NAMES[:2]}, "names for the network's 3 classes but got 2"),
    ],
)
def test_what_cannot_be_exported_is_said_in_one_sentence(tmp_path, options, message):
    given = {"layer": "2", "names": NAMES, "preprocessing": INPUT, **options}
    out = tmp_path / given.pop("out", "network.onnx")
    with pytest.raises(ValueError, match=message) as error:
        export_network(small(), out, **given)
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_nothing_is_overwritten(exported, tmp_path):
    _, made = exported
    before = made.path.read_bytes()
    with pytest.raises(ArgumentError, match=r"my network.onnx exists; .* --force"):
        export_network(small(), made.path, preprocessing=INPUT, layer="2")
    (tmp_path / "wsol_reader.py").write_text("mine")
    with pytest.raises(ArgumentError, match=r"wsol_reader.py exists"):
        export_network(small(), tmp_path / "a.onnx", preprocessing=INPUT, layer="2")
    assert made.path.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["wsol_reader.py"]


def test_what_is_not_installed_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("wsol.workflows.export._PACKAGES", ("onnx", "not_installed_here"))
    with pytest.raises(EngineError, match=r'not_installed_here: pip install "wsol-tdam\[export\]"'):
        export_network("efficientnet_lite0_tdam", tmp_path / "a.onnx")


def settle(network, inputs):
    """Give random weights the scales of trained ones, lest a last digit decide on everything."""
    head = network.get_submodule(network.spec.classifier)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.momentum = 1.0
            if isinstance(module, TopDownAttention):
                module.to_bottom.weight *= 0.1
        network.train()(inputs)
        scale = 1 / network.eval()(inputs).std()
        for parameter in head.parameters():
            parameter *= scale


def check_export(network, folder, **options):
    """Hold a batch of another size than any before against the network in double precision.

    Numbers may be as far from it as three times torch's own in single precision, which a hundred
    layers of random weights part from it by more than 1e-4.
    """
    side = network.spec.preprocessing.size
    pictures = list(np.random.default_rng(0).integers(0, 256, (5, side, side, 3), np.uint8))
    shown = [network.spec.preprocessing(Image.fromarray(each)) for each in pictures]
    inputs = torch.stack(shown)
    settle(network, inputs)
    made = export_network(network, folder / "a.onnx", topk=2, force=True, **options)
    found = run_onnx(made.path, inputs)
    single, double = (
        Localizer(each, topk=2, device="cpu")(pictures)
        for each in (network, copy.deepcopy(network).double())
    )
    # Beside a corner of an activation, a last digit decides which way the gradient of a pixel goes.
    near = 1e-4 if made.method == "cam" else 1e-3
    for row, (rough, exact) in enumerate(zip(single, double, strict=True)):
        for rank, (own, each) in enumerate(zip(rough.classes, exact.classes, strict=True)):
            most = max(1e-4, 3 * abs(own.score - each.score))
            assert found["probabilities"][row, rank] == pytest.approx(each.score, abs=most)
            assert found["classes"][row, rank] == each.label
            raws = [(found["maps"][row, rank], own.steps[-1].raw, each.steps[-1].raw)]
            if options.get("every_step"):
                steps = zip(found["step_maps"][row, :, rank], own.steps, each.steps, strict=True)
                raws += [(ours, torchs.raw, wanted.raw) for ours, torchs, wanted in steps]
            for ours, torchs, wanted in raws:
                most = np.abs(wanted).max()
                usual = 3 * np.abs(torchs - wanted).max() / most
                allowed = max(near, usual)
                np.testing.assert_allclose(ours / most, wanted / most, rtol=0, atol=allowed)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("attention", [None, "tdam"])
def test_every_network_is_exported(name, attention, tmp_path):
    torch.manual_seed(0)
    network = create_model(name, attention=attention, steps=3, num_classes=7)
    found = check_export(network, tmp_path, every_step=attention is not None)
    if attention is not None:
        assert found["step_maps"].shape[1] == 3


@pytest.mark.slow
@pytest.mark.parametrize("name", OUTSIDE)
def test_networks_of_timm_are_exported(name, tmp_path):
    torch.manual_seed(0)
    check_export(create_model(f"timm:{name}", num_classes=7), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["gradcam", "xgradcam", "layercam", "cam"])
def test_the_weights_that_come_along_by_every_method(method, tmp_path, photos):
    made = export_network("efficientnet_lite0_tdam", tmp_path / "a.onnx", method=method, topk=1)
    assert made.method == method
    assert made.apart < 1e-4


@pytest.mark.slow
def test_photographs_have_the_boxes_of_predict(data, tmp_path, run):
    out = tmp_path / "a b.onnx"
    code, printed, told = run("export", "--out", out, "--topk", 2)
    assert code == 0, told
    assert "gradcampp" in told
    assert printed == f"{out}, a b.json and wsol_reader.py\n"
    split = load_split(data / "imagenet10" / "manifest", "test")
    pictures = [data / "imagenet10" / name for name in split.ids[:: len(split) // 50][:50]]
    with Localizer(load_checkpoint("efficientnet_lite0_tdam")[0], topk=2) as localizer:
        assert check_boxes(read_boxes(out, pictures, tmp_path), localizer(pictures)) >= 99


@pytest.mark.slow
def test_a_stored_threshold_and_own_classes_go_along(tmp_path, run):
    torch.manual_seed(0)
    network = create_model("resnet18", attention="tdam", steps=3, num_classes=3)
    network.class_names, network.threshold = NAMES, 0.61
    save_checkpoint(network, tmp_path / "mine.safetensors")
    out = tmp_path / "mine.onnx"
    flags = ("export", "--checkpoint", tmp_path / "mine.safetensors", "--out", out)
    assert run(*flags, "--every-step")[0] == 0
    told = json.loads(out.with_suffix(".json").read_text(encoding="utf-8"))
    assert (told["classes"], told["threshold"], told["steps"]) == (list(NAMES), 0.61, 3)
    assert told["threshold_origin"] == "stored with the weights"
    code, _, said = run(*flags)
    assert (code, "mine.onnx exists" in said) == (2, True)
    assert run(*flags, "--method", "scorecam", "--force")[0] == 2
    assert json.loads(out.with_suffix(".json").read_text(encoding="utf-8")) == told
