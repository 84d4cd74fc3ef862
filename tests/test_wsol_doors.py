"""What others bring along: map methods and formats as classes, used as the registered ones are."""

import copy
import json
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from eval.builders import BUILDERS
from eval.protocols import PROTOCOLS
from eval.splits import Split
from tdam import create_model
from tdam.attentions import ATTENTIONS, SEARCHLIGHTS
from tdam.preprocessing import Preprocessing
from tdam.training import list_recipes
from wsol import Localizer, evaluate, maps
from wsol.maps import METHODS, MapExtractor, find_method
from wsol.maps.names import check_method, settle_method
from wsol.out_folders import OutputError
from wsol.prediction import ArgumentError, PredictionSummary, predict
from wsol.writers import WRITERS, Writer, create_writer, formats_with

SMALL = Preprocessing(size=64, mean=(0.5,) * 3, std=(0.5,) * 3)


class ReversedCAM(MapExtractor):
    """CAM, made of the channels in the other order."""

    usual_layer = "pooled_layer"

    def _compute(self, activations, ids, scores):
        weight = self.model.get_submodule(self.model.spec.classifier).weight.flatten(1)[ids]
        return [
            sum(weight[:, c, None, None] * each[:, c] for c in reversed(range(each.shape[1])))
            / each.shape[1]
            for each in activations
        ]


class Corner(MapExtractor):
    """Whatever the network says, the object is in the lower right."""

    def _compute(self, activations, ids, scores):
        spots = [torch.zeros(len(a), *a.shape[2:]) for a in activations]
        for spot in spots:
            spot[:, -1, -1] = 1
        return spots


class LinesWriter(Writer):
    """A line a box; with `digits` as many behind the point."""

    options = frozenset({"digits"})

    def __init__(self, folder, names, digits=1):
        super().__init__(folder, names)
        self._digits = digits
        self._lines = self._open("lines.txt")

    def add(self, localization):
        for each in localization.classes:
            for box in each.boxes.tolist():
                corners = " ".join(f"{value:.{self._digits}f}" for value in box)
                self._lines.write(f"{localization.path} {self.names[each.label]} {corners}\n")

    def add_error(self, path, reason):
        self._lines.write(f"{path} {reason}\n")


class Plain(nn.Module):
    """A network that nobody registered."""

    def __init__(self):
        super().__init__()
        self.body = nn.Conv2d(3, 4, 5, stride=4)
        self.fc = nn.Linear(4, 2)

    def forward(self, x):
        return self.fc(self.body(x).mean(dim=(2, 3)))


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return create_model("resnet18", num_classes=3)


@pytest.fixture
def pictures(tmp_path):
    generator = np.random.default_rng(0)
    for name in ("a", "b", "c"):
        pixels = generator.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        image = Image.fromarray(pixels).resize((96, 72), Image.Resampling.BICUBIC)
        (tmp_path / "in").mkdir(exist_ok=True)
        image.save(tmp_path / "in" / f"{name}.png")
    (tmp_path / "in" / "bad.png").write_text("no image")
    return tmp_path / "in"


def test_a_method_from_outside_gives_the_boxes_of_the_one_it_repeats(network, pictures):
    paths = sorted(pictures.glob("?.png"))
    own = Localizer(network, ReversedCAM, 0.5, preprocessing=SMALL)(paths)
    cam = Localizer(network, "cam", 0.5, preprocessing=SMALL)(paths)
    for mine, theirs in zip(own, cam, strict=True):
        assert (mine.label, mine.score) == (theirs.label, theirs.score)
        np.testing.assert_allclose(mine.steps[0].map, theirs.steps[0].map, atol=1e-5)
        assert mine.boxes.tolist() == theirs.boxes.tolist()
        assert 0 < (mine.boxes[0, 2:] - mine.boxes[0, :2]).prod() < 96 * 72


def test_a_method_from_outside_is_scored(network, pictures):
    ids = tuple(path.name for path in sorted(pictures.glob("?.png")))
    split = Split(
        "test", ids, np.array([0, 1, 2]), np.array([[96, 72]] * 3),
        tuple(np.array([[48, 36, 95, 71]]) for _ in ids),
    )  # fmt: skip
    scored = evaluate(network, split, pictures, method=Corner, preprocessing=SMALL)
    assert scored.result.max_box_acc == 100
    scores = [
        evaluate(network, split, pictures, method=method, preprocessing=SMALL).result.max_box_acc_v2
        for method in (ReversedCAM, "cam")
    ]
    assert scores[0] == scores[1]


def test_a_class_has_a_name(network):
    name = settle_method(Corner, network)
    assert name == "corner"
    assert json.dumps({"method": name}) == '{"method": "corner"}'
    for same in (name, pickle.loads(pickle.dumps(name)), copy.deepcopy(name), check_method(name)):
        assert find_method(same) is find_method(Corner) is Corner
        assert settle_method(same, network) == "corner"


@pytest.mark.parametrize("method", list(METHODS))
def test_registered_classes_have_their_registered_name(method):
    kind = find_method(method)
    assert type(check_method(kind)) is str
    assert check_method(kind) == method
    assert getattr(maps, kind.__name__) is find_method(kind) is kind
    assert kind.__name__ in maps.__all__


def test_classes_that_are_no_methods():
    with pytest.raises(TypeError, match=r"subclass of wsol\.maps\.MapExtractor but got Plain"):
        find_method(Plain)
    taken = type("LayerCAM", (Corner,), {})
    with pytest.raises(ValueError, match="name of its own but got LayerCAM"):
        find_method(taken)


def test_a_writer_from_outside(tmp_path, network, pictures):
    localizer = Localizer(network, preprocessing=SMALL, names=["x", "y", "z"])
    found = localizer(pictures / "a.png")
    writer = create_writer(LinesWriter, tmp_path, ("x", "y", "z"), digits=2, confidence=True)
    writer.add(found)
    writer.add_error(Path("b.png"), "gone")
    writer.close()
    first, second = (tmp_path / "lines.txt").read_text().splitlines()
    path, name, *corners = first.split()
    assert (path, name) == (str(pictures / "a.png"), found.name)
    np.testing.assert_allclose([float(each) for each in corners], found.boxes[0], atol=0.005)
    assert second == "b.png gone"
    with pytest.raises(TypeError, match=r"subclass of wsol\.writers\.Writer but got Plain"):
        create_writer(Plain, tmp_path, ("x",))


def test_writers_say_what_they_take():
    assert formats_with("confidence") == ["yolo"]
    assert formats_with("digits") == []


def test_predict_takes_both(tmp_path, network, pictures):
    told = {}
    options = {"formats": [LinesWriter, "csv"], "method": ReversedCAM, "threshold": 0.5}
    options |= {"preprocessing": SMALL, "names": ["x", "y", "z"]}
    out = tmp_path / "out"
    summary = predict(network, pictures, out, on_result=told.__setitem__, **options)
    assert summary == PredictionSummary(images=4, failed=1, folder=out)
    assert list(told) == sorted(pictures.iterdir())
    cam = Localizer(network, "cam", 0.5, preprocessing=SMALL, names=["x", "y", "z"])
    lines = []
    for path, result in told.items():
        if path.stem == "bad":
            lines.append(f"{path} not an image")
            assert str(result) == lines[-1].replace(" not", ": not")
        else:
            wanted = cam(path)
            assert result.boxes.tolist() == wanted.boxes.tolist()
            corners = " ".join(f"{value:.1f}" for value in wanted.boxes[0])
            lines.append(f"{path} {wanted.name} {corners}")
    assert (out / "lines.txt").read_text().splitlines() == lines
    assert len((out / "predictions.csv").read_text().splitlines()) == 5
    with pytest.raises(OutputError, match="out exists; choose another folder"):
        predict(network, pictures, out, **options)


def test_predict_takes_any_network(pictures):
    torch.manual_seed(0)
    model, told = Plain(), {}
    layers = {"method": "cam", "layer": "body", "fc_layer": "fc"}
    options = {**layers, "preprocessing": SMALL, "names": ("no", "yes"), "threshold": 0.3}
    given = predict(
        lambda: model, pictures, class_name="yes", on_result=told.__setitem__, **options
    )
    assert (given.images, given.failed, given.folder) == (4, 1, None)
    wanted = Localizer(
        model, "cam", 0.3, preprocessing=SMALL, target_layer="body", fc_layer="fc",
        names=("no", "yes"),
    )(pictures / "c.png", 1)  # fmt: skip
    result = told[pictures / "c.png"]
    assert (result.label, result.name) == (1, "yes")
    assert result.boxes.tolist() == wanted.boxes.tolist()


def test_uncertain_ones_come_first(network, pictures):
    order = []
    predict(network, pictures, sort="uncertain", on_result=lambda *pair: order.append(pair))
    assert order[0][0].stem == "bad"
    scores = [result.score for _, result in order[1:]]
    assert scores == sorted(scores)
    assert len(set(scores)) == 3


@pytest.mark.parametrize(
    ("argument", "options"),
    [
        ("formats", {"formats": ["xml"]}),
        ("out", {"out": "out"}),
        ("confidence", {"formats": ["csv"], "confidence": True}),
        ("sort", {"sort": "sure"}),
        ("method", {"method": "grad"}),
    ],
)
def test_predict_checks_before_it_builds_the_network(tmp_path, argument, options, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def build():
        raise AssertionError("built")

    with pytest.raises(ArgumentError) as error:
        predict(build, "nowhere", **options)
    assert error.value.argument == argument
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("argument", "options"),
    [
        ("device", {"device": "abacus"}),
        ("layer", {"layer": "nowhere"}),
        ("layer", {"method": "layercam", "layer": "avgpool"}),
        ("class_name", {"class_name": "cat"}),
        ("topk", {"class_from_folder": True, "topk": 2}),
        ("min_score", {"min_score": 1.5}),
    ],
)
def test_predict_names_the_argument_at_fault(tmp_path, network, pictures, argument, options):
    with pytest.raises(ArgumentError) as error:
        predict(network, pictures, tmp_path / "out", formats=["csv"], **options)
    assert error.value.argument == argument
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("command", "names"),
    [
        (("predict",), [*METHODS, *WRITERS, *ATTENTIONS, *SEARCHLIGHTS]),
        (("evaluate",), [*METHODS, *PROTOCOLS]),
        (("benchmark",), [*METHODS, *PROTOCOLS]),
        (("train",), [*list_recipes(), *ATTENTIONS, *SEARCHLIGHTS]),
        (("manifest", "build"), BUILDERS),
    ],
)
def test_help_lists_what_the_registries_hold(run, command, names):
    code, out, _ = run(*command, "--help")
    words = re.split(r"[\s,.;]+", out)
    assert code == 0
    assert [name for name in names if name not in words] == []
