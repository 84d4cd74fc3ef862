"""Weights in the dicts and under the prefixes that trainers put around them; others by name."""

import warnings
import zipfile

import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import load_file, save_file
from timm.utils import ModelEmaV3
from torch import nn
from torch.optim.swa_utils import AveragedModel
from trainer_files import IMAGE, SAVED, check_equal, make, prefix, timm_file, trained

from tdam import create_model, load_checkpoint, save_checkpoint
from tdam.averaged import AveragedWeightsWarning
from tdam.registry import MODELS
from tdam.spec import ModelSpec
from tdam.weights import WeightsError, read_file
from tdam.wrapped_weights import AVERAGED, WRAPPERS


@pytest.fixture(scope="module")
def twin():
    return make(0)


@pytest.mark.parametrize(
    "name",
    [
        name if i % 4 == 0 else pytest.param(name, marks=pytest.mark.slow)
        for i, name in enumerate(SAVED)
    ],
)
def test_wrappings_of_one_network(tmp_path, twin, name):
    torch.save(SAVED[name](twin), tmp_path / "w.pt")
    with warnings.catch_warnings():
        warnings.simplefilter("error", AveragedWeightsWarning)
        check_equal(tmp_path / "w.pt", twin)


@pytest.mark.parametrize(
    "name",
    ["state dict", "parallel average", "compiled inside", "parallel, compiled", "tasks in tasks"],
)
def test_prefixes_in_safetensors(tmp_path, twin, name):
    save_file(SAVED[name](twin), tmp_path / "w.safetensors", {"format": "pt"})
    check_equal(tmp_path / "w.safetensors", twin)


@pytest.mark.parametrize("number", [np.float64(71.5), np.float32(71.5), np.float16(71.5), 71.5])
def test_timm_s_own_file(tmp_path, twin, number):
    info = check_equal(timm_file(tmp_path, twin, metric=number), twin)
    assert (info.epoch, info.metric) == (7, 71.5)


@pytest.mark.parametrize("number", [np.int64(-3), np.uint8(200), np.int16(-300), np.bool_(True)])
@pytest.mark.parametrize("order", ["<", ">"])
def test_numbers_of_numpy_are_read_as_plain_ones(tmp_path, twin, number, order):
    number = number.astype(number.dtype.newbyteorder(order))
    torch.save({"state_dict": twin.state_dict(), "best": number}, tmp_path / "w.pt")
    _, rest, _ = read_file(tmp_path / "w.pt")
    assert rest == {"best": number.item()}
    assert type(rest["best"]) is type(number.item())


def test_averaged_weights_beside_plain_ones_are_told(tmp_path, twin):
    other = ModelEmaV3(make(1))
    path = timm_file(tmp_path, twin, other, metric=1.0)
    message = r"under state_dict are taken, but averaged ones .EMA. .* under state_dict_ema"
    with pytest.warns(AveragedWeightsWarning, match=message) as told:
        check_equal(path, twin)
    assert len(told) == 2
    content = torch.load(path, weights_only=False)  # the advice works
    torch.save(content["state_dict_ema"], tmp_path / "ema.pt")
    check_equal(tmp_path / "ema.pt", other.module)


FAMILY = """
from torch import nn
from torchvision import models
from tdam.backbones.base import Backbone

class Boxed(Backbone):
    def __init__(self, num_classes):
        super().__init__()
        self.model = models.resnet18(num_classes=num_classes)

    def shrinking_stages(self):
        return [[self.model.layer3], [self.model.layer4]]

    def forward(self, x):
        return self.model(x)

def build(name, num_classes):
    return Boxed(num_classes)
"""


def test_a_prefix_that_is_the_network_s_own_stays(tmp_path, monkeypatch):
    (tmp_path / "boxed_family").mkdir()
    (tmp_path / "boxed_family" / "__init__.py").write_text("")
    (tmp_path / "boxed_family" / "boxed.py").write_text(FAMILY)
    monkeypatch.syspath_prepend(tmp_path)
    spec = ModelSpec("boxed", "boxed_family.boxed", "model.layer4", "model.fc")
    monkeypatch.setitem(MODELS, "boxed", spec)
    torch.manual_seed(3)
    network = create_model("boxed", num_classes=3)
    for wrap in (lambda net: net, nn.DataParallel, torch.compile, AveragedModel):
        torch.save(wrap(network).state_dict(), tmp_path / "w.pt")
        for again in (
            create_model("boxed", num_classes=3, weights=tmp_path / "w.pt"),
            load_checkpoint(tmp_path / "w.pt")[0],
            load_checkpoint(tmp_path / "w.pt", name="boxed")[0],
        ):
            assert torch.equal(again(IMAGE), network(IMAGE))
    save_checkpoint(network, tmp_path / "own.safetensors")
    state, _, _ = read_file(tmp_path / "own.safetensors")  # says itself how it is called
    assert sorted(state) == sorted(load_file(tmp_path / "own.safetensors"))
    assert all(name.startswith("model.") for name in state)


def some(state, text, count=9):
    """Put a prefix before the first names alone."""
    names = list(state)
    return {(text + name if i < count else name): state[name] for i, name in enumerate(names)}


BROKEN = {
    "an optimizer": (trained, "an optimizer's state and no weights"),
    "an optimizer in a dict": (
        lambda net: {"optimizer": trained(net), "epoch": 3},
        "an optimizer's state and no weights",
    ),
    "numbers alone": (lambda net: {"a": 1, "b": "x"}, "got none, only a, b"),
    "nothing": (lambda net: {}, "got an empty dict"),
    "an empty wrapper": (lambda net: {"state_dict": {}}, "state_dict is an empty dict"),
    "a wrapper without tensors": (
        lambda net: {"model": {"state_dict": {"lr": 0.1}}},
        "got none, only model",
    ),
    "two wrappers": (
        lambda net: {"model": net.state_dict(), "net": net.state_dict()},
        "one place but got some at model, net",
    ),
    "two wrappers inside": (
        lambda net: {"model": {"params": net.state_dict(), "net": net.state_dict()}},
        r"one place but got some at model\.net, model\.params",
    ),
    "two averages": (
        lambda net: {"ema": net.state_dict(), "model_ema": net.state_dict()},
        "one place but got some at model_ema, ema",
    ),
    "wrapped and not": (
        lambda net: {**net.state_dict(), "model": net.state_dict()},
        "one place but got some at the top, model",
    ),
    "student and teacher": (
        lambda net: {"student": prefix(net.state_dict(), "module."), "teacher": net.state_dict()},
        "one of state_dict, .* but got some under student, teacher; save those that are meant",
    ),
    "too many dicts": (
        lambda net: {"model": {"net": {"params": {"state_dict": net.state_dict()}}}},
        "expected at most 3 dicts around the weights",
    ),
    "a network": (lambda net: net, r"whole network with its code: .*save model\.state_dict\(\)"),
    "a network in a dict": (lambda net: {"model": net}, r"with its code: .*model\.state_dict\(\)"),
    "a tensor": (lambda net: torch.zeros(3), "expected tensors by name but got Tensor"),
    "one key of another kind": (
        lambda net: {("a", 1): net.state_dict(), 7: {"a.b": torch.ones(1)}},
        r"but got some under \('a', 1\), 7; save",
    ),
    "counts alone": (lambda net: {"n_averaged": torch.tensor(3)}, "got none of a network"),
    "one name twice": (
        lambda net: {**net.state_dict(), "layer4._orig_mod.0.conv1.weight": torch.zeros(1)},
        r"every tensor once but layer4\.0\.conv1\.weight comes twice",
    ),
    "an array of numpy": (
        lambda net: {"state_dict": net.state_dict(), "mean": np.zeros(3)},
        "nothing else but got .*numpy._core.multiarray._reconstruct",
    ),
    "a text of numpy": (
        lambda net: {"state_dict": net.state_dict(), "a": np.str_("x")},
        "nothing else",
    ),
}


@pytest.mark.fault("input: weights as trainers wrap them")
@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_are_refused_by_name(tmp_path, twin, name):
    make_content, message = BROKEN[name]
    torch.save(make_content(twin), tmp_path / "w.pt")
    for read in (load_checkpoint, lambda path: create_model("resnet18", weights=path)):
        with pytest.raises(WeightsError, match=message) as caught:
            read(tmp_path / "w.pt")
        assert str(caught.value).startswith(str(tmp_path / "w.pt"))
        assert len(str(caught.value).splitlines()) == 1


@pytest.mark.fault("input: weights as trainers wrap them")
def test_a_dict_that_holds_itself(tmp_path, twin):
    content = {"epoch": 3}
    content["model"] = content["net"] = content
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(WeightsError, match="got none, only epoch, model, net"):
        load_checkpoint(tmp_path / "w.pt")
    shared = dict.fromkeys(range(10_000), 0)
    for key in (*WRAPPERS, *AVERAGED):
        shared[key] = shared
    torch.save({**{str(i): {"a": shared} for i in range(9999)}, **shared}, tmp_path / "w.pt")
    with pytest.raises(WeightsError, match="got none, only 0, 1"):
        load_checkpoint(tmp_path / "w.pt")
    content["model"] = {"model": content, **twin.state_dict()}
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(WeightsError, match="expected weights in one place"):
        load_checkpoint(tmp_path / "w.pt")


@pytest.mark.fault("input: weights as trainers wrap them")
def test_a_key_of_tuples_in_tuples(tmp_path):
    torch.save({}, tmp_path / "w.pt")
    with zipfile.ZipFile(tmp_path / "w.pt") as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(tmp_path / "w.pt", "w", zipfile.ZIP_STORED) as archive:
        for name, content in parts.items():
            key = b")" + b"\x85" * 3000
            new = b"\x80\x02}" + key + b"K\x01s."
            archive.writestr(name, new if name.endswith("data.pkl") else content)
    with pytest.raises(WeightsError, match="got none, only tuple"):
        load_checkpoint(tmp_path / "w.pt")


@pytest.mark.fault("input: weights as trainers wrap them")
@pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning")
def test_a_program_is_refused(tmp_path, twin):
    torch.jit.save(torch.jit.trace(twin, IMAGE), tmp_path / "w.pt")
    with pytest.raises(WeightsError, match=r"program of TorchScript; save model\.state_dict\(\)"):
        load_checkpoint(tmp_path / "w.pt")


@pytest.mark.fault("input: weights as trainers wrap them")
def test_misfits_name_what_was_taken_off_and_what_was_not(tmp_path, twin):
    state = twin.state_dict()
    cases = (
        (some(state, "module."), r"\(with the prefix module\., which 9 of 122 tensors have\): "),
        (
            {"state_dict": {**prefix(state, "model."), "criterion.weight": torch.ones(3)}},
            r"\(under state_dict; with the prefix model\., which 122 of 123 tensors have\): ",
        ),
        (
            {"net": prefix({"extra.a": torch.ones(1), **state}, "module._orig_mod.")},
            r"under net; without the prefix _orig_mod\.; without the prefix module\.\): .*extra\.a",
        ),
    )
    for content, message in cases:
        torch.save(content, tmp_path / "w.pt")
        for read in (load_checkpoint, lambda path: create_model("resnet18", weights=path)):
            with pytest.raises(ValueError, match=message) as caught:
                read(tmp_path / "w.pt")
            assert str(caught.value).startswith(str(tmp_path / "w.pt"))


def test_torchvision_s_twin_is_the_same_network(twin):
    """Names and numbers of the twin are those of another library's resnet18."""
    other = torchvision.models.resnet18(num_classes=3).eval()
    other.load_state_dict(twin.state_dict())
    torch.testing.assert_close(other(IMAGE), twin(IMAGE))
