"""Kept scores, maps and images: they count only while all that they were made of is the same."""

import json
import os
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from listeners import Stopper
from PIL import Image
from shapes import make_shapes, make_weights
from small_experiments import TOML, reproduce
from torch import nn

import wsol
from eval.image_files import MAX_PIXELS, set_max_pixels
from eval.manifest import load_split
from eval.protocols import find_protocol
from tdam.preprocessing import Preprocessing
from tdam.training.recipe import load_recipe
from wsol import fingerprints
from wsol.evaluation import pass_header, score_maps
from wsol.evaluation.network_maps import NetworkMaps
from wsol.evaluation.resume_file import ResumeError, is_unfinished
from wsol.fingerprints import hash_code
from wsol.maps.gradient import LayerCAM
from wsol.training.data import load_training_data
from wsol.training.images import is_packed, pack_images

pytestmark = pytest.mark.slow

PART = ("--models", "none", "--seeds", 0)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Data, one model's weights, and an experiment that was scored; copied by each test."""
    home = tmp_path_factory.mktemp("kept")
    make_shapes(home / "data")
    (home / "weights").mkdir()
    for seed in (0, 1):
        recipe = load_recipe("finetune").change(size=32, seed=seed)
        make_weights(recipe, home / "weights" / f"none-{seed}.safetensors")
    code, _, told = reproduce(home, home / "out", "--weights", home / "weights", *PART, text=TOML)
    assert code == 0, told
    return home


@pytest.fixture
def world(made, tmp_path):
    """A copy in one's own folder, its scores made there."""
    for name in ("data", "weights"):
        shutil.copytree(made / name, tmp_path / name)
    shutil.copy(made / "shapes.toml", tmp_path / "shapes.toml")
    assert score(tmp_path)[0] == 0
    return tmp_path


def score(home, out="out", *more):
    return reproduce(home, home / out, "--weights", home / "weights", *PART, *more)


def tell(out):
    content = json.loads((out / "results.json").read_text())
    return content["rows"], (out / "table.md").read_text(), (out / "table.csv").read_text()


def grey(folder):
    for path in sorted(folder.glob("*.png")):
        Image.new("RGB", Image.open(path).size, (128, 128, 128)).save(path)


def repaint(path):
    """Change an image's pixels but not its size in bytes, some time later."""
    size = path.stat().st_size
    Image.new("RGB", Image.open(path).size, (9, 9, 9)).save(path, "PNG")
    with path.open("ab") as file:
        file.write(bytes(size - path.stat().st_size))


def move_box(data):
    boxes = data / "manifest" / "test" / "localization.txt"
    lines = boxes.read_text().splitlines()
    boxes.write_text("\n".join([lines[0].rsplit(",", 4)[0] + ",40,30,60,45", *lines[1:]]))


def relabel(data):
    for split in ("test", "val"):
        labels = data / "manifest" / split / "class_labels.txt"
        lines = [line.rsplit(",", 1) for line in labels.read_text().splitlines()]
        labels.write_text("\n".join(f"{name},{(int(label) + 1) % 3}" for name, label in lines))


CHANGES = {
    "grey test images": lambda home: grey(home / "data" / "test"),
    "an image of the same size in bytes": lambda home: [
        repaint(path) for path in (home / "data" / "test").glob("*.png")
    ],
    "grey images to choose on": lambda home: grey(home / "data" / "val"),
    "a true box": lambda home: move_box(home / "data"),
    "labels": lambda home: relabel(home / "data"),
    "weights": lambda home: shutil.copy(
        home / "weights" / "none-1.safetensors", home / "weights" / "none-0.safetensors"
    ),
}


@pytest.mark.fault("numbers: a kept score of something else")
@pytest.mark.parametrize("change", CHANGES)
def test_an_experiment_is_scored_anew_where_anything_changed(world, change):
    before = tell(world / "out")
    code, _, told = score(world)
    assert (code, "score " in told) == (0, False), told  # nothing changed: all is kept
    CHANGES[change](world)
    code, _, told = score(world)
    assert code == 0, told
    assert "score none" in told
    assert score(world, "fresh")[0] == 0
    assert tell(world / "out") == tell(world / "fresh")
    assert change == "grey images to choose on" or tell(world / "out") != before
    assert "score " not in score(world)[2]


@pytest.mark.fault("numbers: a kept score of something else")
def test_an_experiment_is_scored_anew_under_newer_rules(world, monkeypatch):
    assert "score " not in score(world)[2]
    monkeypatch.setattr(pass_header, "RULES", fingerprints.RULES + 1)
    assert "score none" in score(world)[2]
    assert "score " not in score(world)[2]


@pytest.mark.fault("numbers: a kept score of something else")
def test_scores_that_their_images_contradict_are_made_anew(world):
    before = tell(world / "out")
    lines = world / "out" / "scores" / "none-0" / "layercam-16" / "scored" / "images.jsonl"
    text = lines.read_text()
    lines.write_text(re.sub('"rank": [0-9]+', '"rank": 0', text))
    assert lines.read_text() != text
    code, _, told = score(world)
    assert (code, "score none" in told) == (0, True), told
    assert tell(world / "out") == before
    assert lines.read_text() == text


@pytest.mark.fault("numbers: a kept score of something else")
@pytest.mark.parametrize("lost", ["scores.json", "images.jsonl", "settings.json"])
def test_scores_with_a_file_lost_are_made_anew(world, lost):
    before = tell(world / "out")
    (world / "out" / "scores" / "none-0" / "layercam-16" / "scored" / lost).unlink()
    code, _, told = score(world)
    assert (code, "score none" in told) == (0, True), told
    assert tell(world / "out") == before


@pytest.mark.fault("numbers: a kept score of something else")
def test_a_benchmark_is_scored_anew_where_images_changed(run, world):
    flags = ("benchmark", world / "data", "--run", f"a={world / 'weights' / 'none-0.safetensors'}",
             "--threshold", "val", "--output-stride", 16, "--force")  # fmt: skip

    def call(name):
        return run(*flags, "--out", world / name, "--report", world / f"{name}-page")

    assert call("it")[0] == 0
    code, printed, told = call("it")
    assert (code, "score " in told) == (0, False)
    grey(world / "data" / "test")
    code, anew, told = call("it")
    assert (code, "score a" in told) == (0, True)
    assert anew != printed
    assert call("fresh")[1] == anew
    pages = [(world / f"{name}-page" / "index.html").read_text() for name in ("it", "fresh")]
    assert pages[0] == pages[1].replace("fresh-page", "it-page")  # with the maps of now


def kill_and_resume(world, out, change, **options):
    """Evaluate until some images are scored, change something, and go on."""
    call = {"split": "test", "batch_size": 4, "out": out, **options}
    model = world / "weights" / "none-0.safetensors"
    with pytest.raises(KeyboardInterrupt):
        wsol.evaluate(model, world / "data", events=Stopper(6), **call)
    assert is_unfinished(out) or is_unfinished(out / "chosen-on-val")
    change()
    return wsol.evaluate(model, world / "data", **call)


@pytest.mark.fault("numbers: a kept score of something else")
@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("grey test images", "image_files"),
        ("an image of the same size in bytes", "image_files"),
        ("a true box", "truth"),
        ("weights", "weights"),
        ("the limit of pixels", "max_pixels"),
    ],
)
def test_an_evaluation_that_goes_on_refuses_what_changed(world, change, named):
    changes = {**CHANGES, "the limit of pixels": lambda _: set_max_pixels(10**6)}
    try:
        with pytest.raises(ResumeError, match=rf"settings differ \(.*{named}.*\)"):
            kill_and_resume(world, world / "run", lambda: changes[change](world))
    finally:
        set_max_pixels(MAX_PIXELS)
    assert not (world / "run" / "scores.json").exists()


@pytest.mark.fault("numbers: a kept score of something else")
def test_thresholds_that_were_chosen_before_are_of_these_images(world):
    out = world / "run"
    call = {"threshold": "val", "batch_size": 4, "out": out}
    model = world / "weights" / "none-0.safetensors"
    with pytest.raises(KeyboardInterrupt):  # val has six images: it is done
        wsol.evaluate(model, world / "data", events=Stopper(11), **call)
    assert (out / "chosen-on-val" / "scores.json").is_file()
    grey(world / "data" / "val")
    with pytest.raises(ResumeError, match=r"settings differ \(chosen_on: image_files\)"):
        wsol.evaluate(model, world / "data", **call)
    again = wsol.evaluate(model, world / "data", force=True, **call)
    fresh = wsol.evaluate(model, world / "data", **{**call, "out": world / "fresh"})
    assert again.to_dict() == fresh.to_dict()


@pytest.mark.fault("numbers: a kept score of something else")
def test_maps_that_a_report_kept_are_of_the_run_that_goes_on(world):
    """Two unfinished runs, whose report goes to one page."""
    models = [world / "weights" / f"none-{seed}.safetensors" for seed in (0, 1)]
    call = {"batch_size": 4, "report": world / "page"}
    for model, name in zip(models, ("a", "b"), strict=True):
        with pytest.raises(KeyboardInterrupt):
            wsol.evaluate(
                model, world / "data", out=world / name, events=Stopper(6),
                **{**call, "report": None if name == "b" else world / "page"},
            )  # fmt: skip
    wsol.evaluate(models[1], world / "data", out=world / "b", **call)
    wsol.evaluate(models[1], world / "data", out=world / "c", batch_size=4, report=world / "page2")
    pages = [read_pictures(world / name / "index.html") for name in ("page", "page2")]
    assert len(pages[0]) == len(pages[1]) == 12
    for kept, whole in zip(*pages, strict=True):
        assert kept["image"] == whole["image"]
        assert kept["runs"] in ([None], whole["runs"])  # never those of the other weights


def read_pictures(page):
    found = re.findall(r'id="image-\d+">(.*?)</script>', page.read_text())
    return [json.loads(text) for text in found]


class Halved(LayerCAM):
    """A method from outside."""

    share = 0.5

    def _compute(self, activations, ids, scores):
        return [weigh(each, self.share) for each in super()._compute(activations, ids, scores)]


def weigh(maps, share):
    return maps * share + (1 - share) * maps**2


class Small(nn.Module):
    """A network from outside."""

    def __init__(self, slope=0.1, stride=2):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 4, 3, stride=stride)
        self.act = nn.LeakyReLU(slope)
        self.fc = nn.Linear(4, 3)
        self.gain = 2.0

    def forward(self, images):
        return self.fc(self.act(self.conv(images)).mean(dim=(2, 3))) * self.gain


def header(source, **more):
    rules = find_protocol(more.pop("protocol", "wsoleval"))
    level = more.pop("threshold", 0.2)
    scoring = score_maps.ScoringPass(source, [rules], [level], **more)
    return json.dumps(scoring.describe(), sort_keys=True, default=str)


@pytest.mark.fault("numbers: a kept score of something else")
def test_every_choice_is_part_of_what_a_kept_score_depends_on(made, record_property):
    data = load_split(made / "data" / "manifest", "test")
    wanted = Preprocessing(size=32)
    source = NetworkMaps(
        Small(), data, made / "data", "layercam", preprocessing=wanted, layer="act"
    )
    other = Small()
    other.gain = 3.0
    wide = Small()
    with torch.no_grad():
        wide.fc.bias += 1e-7
    boxes = list(data.boxes)
    split_boxes = replace(data, boxes=(np.concatenate([boxes[0], boxes[1]]), *boxes[2:], boxes[1]))
    sources = {
        "as it is": source,
        "weights": replace(source, model=wide),
        "kinds of numbers": replace(source, model=Small().double()),
        "a module's choice": replace(source, model=Small(slope=0.2)),
        "a stride": replace(source, model=Small(stride=3)),
        "a network's attribute": replace(source, model=other),
        "layer": replace(source, layer="conv"),
        "method": replace(source, method="gradcam"),
        "method from outside": replace(source, method=Halved),
        "size": replace(source, preprocessing=replace(wanted, size=33)),
        "mean": replace(source, preprocessing=replace(wanted, mean=(0.1, 0.2, 0.3))),
        "std": replace(source, preprocessing=replace(wanted, std=(0.1, 0.2, 0.3))),
        "crop": replace(source, image="crop"),
        "crop's resize": replace(source, image="crop", preprocessing=replace(wanted, resize=40)),
        "classes": replace(source, classes={0: 1, 1: 0, 2: 2}),
        "class map": replace(source, class_map="predicted"),
        "fc_layer": replace(source, method="cam", fc_layer="fc"),
        "guesses": replace(source, guesses=2),
        "labels": replace(source, split=replace(data, labels=data.labels[::-1].copy())),
        "boxes": replace(source, split=split_boxes),
        "sizes": replace(source, split=replace(data, sizes=data.sizes + 1)),
    }
    texts = {name: header(each) for name, each in sources.items()}
    texts["threshold"] = header(source, threshold=0.3)
    texts["rule"] = header(source, rule="val")
    texts["protocol"] = header(source, protocol="clean")
    assert len(set(texts.values())) == len(texts), texts
    assert header(replace(source, model=Small())) == texts["as it is"]
    record_property("tried", len(texts))


@pytest.mark.fault("numbers: a kept score of something else")
def test_a_method_from_outside_is_known_by_its_code(monkeypatch):
    before = hash_code(Halved)
    assert hash_code(Halved) == before
    monkeypatch.setattr(Halved, "share", 0.25)
    assert hash_code(Halved) != before
    monkeypatch.undo()
    assert hash_code(Halved) == before
    monkeypatch.setitem(globals(), "weigh", lambda maps, share: maps * share)
    assert hash_code(Halved) != before  # what it calls counts too


@pytest.mark.fault("numbers: a kept score of something else")
def test_packed_images_are_the_ones_that_were_asked_for(made, tmp_path):
    data = load_training_data(made / "data")
    path = tmp_path / "packed.u8"
    pack_images(data.train, data.root, 24, path)
    assert is_packed(data.train, path)
    assert not is_packed(data.val, path)
    os.truncate(path, path.stat().st_size - 1)
    assert not is_packed(data.train, path)
    pack_images(data.train, data.root, 24, path)
    path.with_suffix(".json").write_text('{"ids": [')
    assert not is_packed(data.train, path)
