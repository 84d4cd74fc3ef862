"""What a user brings along: attention modules, and lines in the registries of all parts."""

import re
from functools import partial
from pathlib import Path

import pytest
import torch
from small_training import SMALL, Noise, count_weights
from torch import nn

import tdam
from tdam import create_model, load_checkpoint, save_checkpoint
from tdam.attention_block import AttentionBlock
from tdam.attentions import ATTENTIONS, Attention
from tdam.registry import MODELS
from tdam.regularizers import REGULARIZERS
from tdam.spec import ModelSpec, describe_network  # noqa: F401, a line of the page uses it
from tdam.training import Recipe, train
from tdam.training.losses import LOSSES, find_loss

PAGE = Path(tdam.__file__).parent / "README.md"
THEIRS = {
    "gates": "from torch import nn\n\nclass MyAttention(nn.BatchNorm2d):\n    pass\n",
    "layers": "from torch.nn import Identity as MyLayer\n",
    "losses": "def my_loss(network, images, wanted, recipe):\n    return network(images).mean()\n",
    "mynet": """
from tdam.backbones import resnet

def build(name, num_classes):
    return resnet.build("resnet18", num_classes)
""",
}


class Gate(nn.Module):
    """One gate a channel, which can begin open."""

    def __init__(self, channels):
        super().__init__()
        self.bias = nn.Parameter(torch.randn(1, channels, 1, 1))
        self.register_buffer("scale", torch.ones(()))

    def forward(self, x):
        return x * self.scale * self.bias.sigmoid()

    def start_as_identity(self):
        nn.init.zeros_(self.bias)
        self.scale.fill_(2)


class NoStart(nn.Module):
    """A gate that starts as it starts."""

    def __init__(self, channels):
        super().__init__()
        self.bias = nn.Parameter(torch.ones(1, channels, 1, 1))

    def forward(self, x):
        return x * self.bias.sigmoid()


def half(channels):
    return NoStart(channels).requires_grad_(False)


def tiny(name="resnet18", **settings):
    torch.manual_seed(0)
    return create_model(name, num_classes=5, **settings)


def images(count=2):
    return torch.rand(count, 3, 64, 64, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize(
    ("name", "attention", "label"),
    [
        ("resnet18", Gate, "Gate"),
        ("resnet18", half, "half"),
        ("efficientnet_lite0", Gate, "Gate"),
        ("mobilenet_v3_large", Gate, "Gate"),
    ],
)
def test_an_attention_module_from_outside(tmp_path, name, attention, label):
    model = tiny(name, attention=attention)
    stages = sum(len(stage) for stage in tiny(name).stage_blocks())
    blocks = [m for m in model.modules() if isinstance(m, AttentionBlock)]
    assert len(blocks) == stages
    assert model.settings["attention"] == label
    assert describe_network(model.settings) == f"{name} + {label}"
    path = save_checkpoint(model, tmp_path / "w.safetensors")
    again, info = load_checkpoint(path, attention=attention)
    assert info.settings == model.settings
    with torch.no_grad():
        assert torch.equal(again(images()), model(images()))
        assert not torch.equal(model(images()), tiny(name)(images()))
    message = f"{label}', which is not of this package; pass attention={label}, the class"
    with pytest.raises(ValueError, match=message):
        load_checkpoint(path)


def test_how_it_starts_from_weights(tmp_path):
    plain = tiny()
    path = save_checkpoint(plain, tmp_path / "plain.safetensors")
    with torch.no_grad():
        wanted = plain(images())
        same = create_model("resnet18", num_classes=5, attention=Gate, weights=path)
        torch.testing.assert_close(same(images()), wanted)
        other = create_model("resnet18", num_classes=5, attention=NoStart, weights=path)
        assert torch.equal(other.layer1[0].attention.bias, torch.ones(1, 64, 1, 1))
        assert not torch.allclose(other(images()), wanted)


@pytest.mark.slow
def test_it_learns(tmp_path):
    model = tiny(attention=Gate)
    before = {name: t.clone() for name, t in model.state_dict().items() if ".attention." in name}
    train(model, Noise(4), SMALL.change(epochs=1), tmp_path, validate=count_weights, workers=0)
    moved = [name for name, t in before.items() if not torch.equal(t, model.state_dict()[name])]
    assert len(moved) == 8


def test_a_line_in_the_registry_is_enough(monkeypatch, tmp_path):
    (tmp_path / "their_gate.py").write_text(
        "from torch import nn\n\nclass Mine(nn.BatchNorm2d):\n    pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(ATTENTIONS, "mine", Attention("their_gate:Mine", {"momentum": 0.5}))
    model = tiny(attention="mine")
    assert model.layer1[0].attention.momentum == 0.5
    path = save_checkpoint(model, tmp_path / "w.safetensors")
    assert load_checkpoint(path)[1].settings["attention"] == "mine"
    with pytest.raises(ValueError, match="one of none, tdam, se, cbam, eca, fca, mine but got"):
        tiny(attention="yours")


@pytest.mark.parametrize(
    "attention", [lambda channels: Gate(channels), partial(Gate), Gate(4), type("se", (Gate,), {})]
)
def test_modules_without_a_name_of_their_own(attention):
    with pytest.raises(ValueError, match="attention to be a class or a function with a name of"):
        tiny(attention=attention)


def test_what_is_no_module():
    with pytest.raises(TypeError, match="attention to be a name, a class or a function but got 5"):
        tiny(attention=5)
    with pytest.raises(TypeError, match="attention to build a module but got 64"):
        tiny(attention=abs)


@pytest.mark.skipif(not PAGE.is_file(), reason="only the packages are here, not the pages")
def test_the_page_on_parts_of_ones_own(tmp_path, monkeypatch):
    part = PAGE.read_text(encoding="utf-8").split("## Parts of your own\n")[1].split("\n## ")[0]
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "page"}
    exec(re.search(r"^```python\n(.*?)^```$", part, re.DOTALL | re.MULTILINE)[1], names)
    settings = {"attention": "MyAttention", "regularizer": "MyLayer"}
    assert settings.items() <= names["model"].settings.items()

    for file, text in THEIRS.items():
        (tmp_path / "my_package").mkdir(exist_ok=True)
        (tmp_path / "my_package" / f"{file}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    registries = (ATTENTIONS, REGULARIZERS, MODELS, LOSSES)
    for registry, key in zip(registries, ("mine", "mine", "mynet", "mine"), strict=True):
        monkeypatch.setitem(registry, key, None)  # which is undone, and with it the page's line
    lines = re.findall(r"`(\w+\[.+)` \|$", part, re.MULTILINE)
    assert len(lines) == len(registries)
    for line in lines:
        exec(line, globals())
    model = create_model("mynet", attention="mine", regularizer="mine", num_classes=3)
    assert type(model.layer1[0].attention).__module__ == "my_package.gates"
    assert isinstance(model.layer4[1].after_block, nn.Identity)
    path = save_checkpoint(model, tmp_path / "mynet.safetensors")
    assert load_checkpoint(path)[1].settings == model.settings
    assert find_loss(Recipe(loss="mine").loss).__module__ == "my_package.losses"
