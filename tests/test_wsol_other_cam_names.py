"""Map methods of other libraries: their names, and the networks that they take or refuse."""

import csv
import json
from importlib.metadata import version

import numpy as np
import pytest
import torch
from PIL import Image
from shapes import make_shapes, make_weights
from small_cams import IDS, NO_CLASS, Tiny, images, ours
from torch import nn

from tdam import create_model
from tdam.preprocessing import Preprocessing
from tdam.steps import list_step_blocks
from tdam.training.recipe import load_recipe
from wsol import Localizer
from wsol.fingerprints import hash_code
from wsol.maps import find_method
from wsol.maps.names import LIBRARIES, OTHER_METHODS, SLOW_METHODS, check_method, settle_method
from wsol.maps.passes import run_pass

pytest.importorskip("torchcam.methods")
pytest.importorskip("pytorch_grad_cam")


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ("torchcam:SSCAM", "torchcam:SSCAM"),
        ("TorchCAM:sscam", "torchcam:SSCAM"),
        ("gradcam:eigen-cam", "grad-cam:EigenCAM"),
        ("grad-cam:kpcacam", "grad-cam:KPCA_CAM"),
        ("torch-cam:GradCAM++", "torchcam:GradCAMpp"),
    ],
)
def test_names_are_read_as_ours_are(asked, name):
    assert check_method(asked) == name
    kind = find_method(asked)
    assert kind is find_method(name)
    assert check_method(kind) == settle_method(kind, Tiny()) == name


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("torchcam:EigenCAM", "one of torchcam:CAM, .*torchcam:XGradCAM but got"),
        ("torchcam:", "one of torchcam:CAM, "),
        ("grad-cam:FullGrad", "one of grad-cam:AblationCAM, .*grad-cam:XGradCAM but got"),
        ("eigencam", "scorecam, grad-cam:EigenCAM but got"),
        ("captum:GradCAM", "scorecam, torchcam:NAME, grad-cam:NAME but got"),
        (":", "torchcam:NAME"),
    ],
)
def test_unknown_names_list_those_that_there_are(asked, told):
    with pytest.raises(ValueError, match=told):
        check_method(asked)


def test_a_library_that_is_missing_is_a_sentence(monkeypatch):
    monkeypatch.setitem(LIBRARIES, "torchcam", "no_such_module")
    for act in (find_method, lambda name: settle_method(name, Tiny())):
        with pytest.raises(ValueError, match=r"torchcam to be installed .*wsol-tdam\[cams\]"):
            act("torchcam:SSCAM")
    assert check_method("torchcam:SSCAM") == "torchcam:SSCAM"  # as in a record of scores


def test_slow_methods_are_those_that_mask():
    slow = {name for name in OTHER_METHODS if name.endswith(("ScoreCAM", "SSCAM", "ISCAM"))}
    assert {*slow, "grad-cam:AblationCAM", "scorecam"} == SLOW_METHODS


def tdam(steps=2):
    torch.manual_seed(0)
    model = create_model("resnet18", attention="tdam", steps=steps, num_classes=4).eval()
    for module in model.modules():  # fresh norms would make all steps nearly the same
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.5)
    return model


@pytest.mark.parametrize(
    ("method", "same"),
    [
        ("torchcam:CAM", "cam"),
        ("torchcam:GradCAM", "gradcam"),
        ("torchcam:LayerCAM", "layercam"),
        ("grad-cam:HiResCAM", "hirescam"),
        ("grad-cam:XGradCAM", "xgradcam"),
    ],
)
def test_every_step_has_the_map_that_our_method_gives_it(method, same):
    model, seen, ids = tdam(), images(64), torch.tensor(IDS)
    made = run_pass(find_method(method)(model), seen, stepwise=True).maps(ids)
    wanted = run_pass(find_method(same)(model), seen, stepwise=True).maps(ids)
    assert made.shape[1] == 2
    assert not torch.allclose(wanted[:, 0], wanted[:, 1], rtol=1e-2)
    share = 512 if same == "cam" else 1  # ours is a mean over channels
    np.testing.assert_allclose(made / share, wanted, rtol=1e-3, atol=1e-5 * wanted.abs().max())


def test_masks_are_those_of_the_step():
    model, seen, ids = tdam(), images(32, 1), torch.tensor([1])
    every = run_pass(find_method("torchcam:ScoreCAM")(model, "layer4"), seen, stepwise=True)
    maps = every.maps(ids)[0]
    for block in list_step_blocks(model):
        block.steps = 1
    first = run_pass(find_method("torchcam:ScoreCAM")(model, "layer4"), seen).maps(ids)[0]
    np.testing.assert_allclose(maps[:1], first, rtol=1e-4, atol=1e-6)
    assert not torch.allclose(maps[0], maps[1], rtol=1e-2)


@pytest.mark.parametrize(
    "method", ["torchcam:SmoothGradCAMpp", "grad-cam:AblationCAM", "grad-cam:ShapleyCAM"]
)
def test_what_runs_the_network_by_itself_wants_one_step(method):
    for act in (lambda: settle_method(method, tdam()), lambda: Localizer(tdam(), method)):
        with pytest.raises(ValueError, match=f"one step for the method {method}.*has 2;"):
            act()
    model = tdam(steps=1)
    made = run_pass(find_method(method)(model), images(32), stepwise=True).maps(torch.tensor(IDS))
    assert made.shape[:2] == (3, 1)
    assert made.isfinite().all()


class Cut(Tiny):
    """A network whose scores have no gradients."""

    def forward(self, images):
        return super().forward(images).detach()


@pytest.mark.parametrize("method", [name for name in OTHER_METHODS if name != "torchcam:CAM"])
def test_networks_without_gradients_are_refused_where_these_are_needed(method):
    free = {*NO_CLASS, "torchcam:ScoreCAM", "torchcam:SSCAM", "torchcam:ISCAM"}
    free |= {"grad-cam:ScoreCAM", "grad-cam:AblationCAM"}
    if method in free:
        ours(method, Cut(), "last", images())
    else:
        with pytest.raises((ValueError, RuntimeError), match=r"depend on|not connected"):
            ours(method, Cut(), "last", images())


@pytest.mark.parametrize("method", ["torchcam:CAM", "torchcam:FinerCAM", "grad-cam:EigenCAM"])
def test_the_layer_is_found_where_it_is_not_given(method):
    network = Tiny()
    shown = Preprocessing(size=24, mean=(0.5,) * 3, std=(0.5,) * 3)
    image = Image.fromarray((images(24, 1)[0].movedim(0, 2).numpy() * 99 + 50).astype(np.uint8))
    found = Localizer(network, method, preprocessing=shown)(image)
    given = Localizer(network, method, preprocessing=shown, target_layer="last")(image)
    assert found.boxes.shape == (1, 4)
    assert np.array_equal(found.steps[-1].raw, given.steps[-1].raw)
    assert np.array_equal(found.boxes, given.boxes)


def test_fingerprints_have_the_version_of_the_library():
    told = hash_code(find_method("torchcam:SSCAM"))
    assert find_method("torchcam:SSCAM").__qualname__ == f"torchcam:SSCAM {version('torchcam')}"
    assert told != hash_code(find_method("torchcam:ISCAM"))


@pytest.mark.slow
def test_a_benchmark_has_them_beside_ours(tmp_path, run):
    make_shapes(tmp_path / "data")
    recipe = load_recipe("finetune").change(size=32, seed=0, attention="none")
    make_weights(recipe, tmp_path / "plain.safetensors")
    weights = tmp_path / "plain.safetensors"
    methods = ("torchcam:gradcam", "gradcam", "grad-cam:ShapleyCAM")
    flags = [part for method in methods for part in ("--method", method)]
    flags += ["--threshold", "0.2", "--smooth", "flip", "--workers", 0, "--out", tmp_path / "out"]
    code, out, told = run("benchmark", tmp_path / "data", "--run", f"plain={weights}", *flags)
    assert code == 0, told
    assert "smooth flip" in out
    with (tmp_path / "out" / "table.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    names = ["torchcam:GradCAM", "gradcam", "grad-cam:ShapleyCAM"]
    assert list(dict.fromkeys(row["method"] for row in rows)) == names
    scores = {name: [row["score"] for row in rows if row["method"] == name] for name in names}
    assert scores["torchcam:GradCAM"] == scores["gradcam"]
    assert len(scores["gradcam"]) > 1
    settings = [json.loads(path.read_text()) for path in (tmp_path / "out").rglob("settings.json")]
    assert any(version("torchcam") in told["method"] for told in settings)
    assert all(told["smooth"] == "flip" for told in settings)


def test_one_logit_is_two_classes():
    class One(Tiny):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(8, 1)

    for method in OTHER_METHODS:
        made = ours(method, One(), "last", images(), (0, 1, 1))
        assert made.isfinite().all(), method
