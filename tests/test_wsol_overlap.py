"""Images that are trained on, chosen by and scored must be apart, whatever they are called."""

import csv
import json
import os
import shutil

import pytest
from shapes import draw, make_shapes
from small_experiments import TOML

from eval.manifest import ManifestError, open_data_set
from tdam import create_model, load_checkpoint
from tdam.training.recipe import load_recipe
from wsol import benchmark, calibrate, evaluate, evaluate_maps, train
from wsol.fingerprints import _hash_content
from wsol.overlap import ImageSet, OverlapError, check_apart, find_overlaps, of_split
from wsol.training.data import load_training_data
from wsol.training.image_list import TRAINED_ON, list_image_sets, read_image_sets

pytestmark = pytest.mark.slow

FAST = {"epochs": 1, "size": 64, "batch_size": 4, "workers": 0}
FLAGS = ("--epochs", 1, "--size", 64, "--batch-size", 4, "--workers", 0)
KIND = "numbers: an image that is trained on, chosen by or scored at once"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A data set without a fault, and a run that was trained on it."""
    home = tmp_path_factory.mktemp("overlap")
    make_shapes(home / "data")
    trained = train(home / "data", home / "run", **FAST)
    assert trained.overlaps == ()
    return home


@pytest.fixture
def data(world, tmp_path):
    return shutil.copytree(world / "data", tmp_path / "data")


def add_copy(data, split, image_id, name="copy.png"):
    """Put an image of another split into a split too, under a new name."""
    copy = f"{split}/{name}"
    shutil.copy(data / image_id, data / copy)
    source, target = data / "manifest" / image_id.split("/")[0], data / "manifest" / split
    for file in ("image_ids", "class_labels", "image_sizes", "localization"):
        lines = (source / f"{file}.txt").read_text().split("\n")
        line = next(line for line in lines if line.split(",")[0] == image_id)
        with (target / f"{file}.txt").open("a") as text:
            text.write("\n" + line.replace(image_id, copy))
    return copy


@pytest.mark.fault(KIND)
def test_images_are_told_by_path_and_content(tmp_path, record_property):
    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        folder.mkdir()
    (one / "a.png").write_bytes(b"an image")
    (other / "renamed.png").write_bytes(b"an image")
    (other / "a.png").write_bytes(b"another")  # the same id below another root
    (other / "as-long.png").write_bytes(b"en image")
    os.link(one / "a.png", other / "hard.png")
    (other / "soft.png").symlink_to(one / "a.png")
    (one / "empty.png").touch()
    (other / "empty too.png").touch()

    def shared(name, root=other, ids=("a.png", "empty.png"), home=one):
        first = ImageSet("one", "training", ids, home)
        return find_overlaps([ImageSet("other", "scoring", (name,), root), first])

    same = {
        "renamed.png": other, "hard.png": other, "soft.png": other, "../one/a.png": other,
        "one/a.png": tmp_path, "./a.png": one, "gone.png": None,
    }  # fmt: skip
    for name, root in same.items():
        lines = shared(name, root, *((("gone.png",), None) if root is None else ()))
        assert len(lines) == 1, name
        assert lines[0].startswith(f"other and one share 1 image: {name}")
    assert shared("renamed.png") == ["other and one share 1 image: renamed.png (there a.png)"]
    different = ("a.png", "as-long.png", "empty too.png", "missing.png")
    for name in different:
        assert shared(name) == [], name
    twice = ImageSet("twice", "scoring", ("renamed.png", "hard.png"), other)
    assert find_overlaps([twice]) == []  # of no concern here
    assert find_overlaps([twice, ImageSet("val", "scoring", ("soft.png",), other)]) == []
    record_property("tried", len(same) + len(different) + 2)


def test_files_are_read_only_where_another_has_as_many_bytes(tmp_path):
    for i in range(1, 201):
        (tmp_path / f"{i}.png").write_bytes(b"x" * i)
    (tmp_path / "again.png").write_bytes(b"x" * 7)
    first = tuple(f"{i}.png" for i in range(1, 101))
    second = tuple(f"{i}.png" for i in range(101, 201))
    before = _hash_content.cache_info().misses
    sets = [ImageSet("train", "training", first, tmp_path)]
    assert check_apart([*sets, ImageSet("test", "scoring", second, tmp_path)]) == ()
    assert _hash_content.cache_info().misses == before
    with pytest.raises(OverlapError, match=r"test and train share 1 image: again.png \(there 7"):
        check_apart([*sets, ImageSet("test", "scoring", (*second, "again.png"), tmp_path)])
    assert _hash_content.cache_info().misses == before + 2


@pytest.mark.fault(KIND)
def test_a_training_refuses_its_validation_images(run, data, tmp_path, record_property):
    add_copy(data, "train", "val/red-0.png")
    code, _, err = run("train", data, "--out", tmp_path / "run", *FLAGS)
    assert (code, "share 1 image: val/red-0.png (there train/copy.png)" in err) == (1, True), err
    assert not (tmp_path / "run").exists()
    held = tmp_path / "folders"
    for name, colour in (("red", (220, 40, 40)), ("blue", (40, 60, 220))):
        (held / name).mkdir(parents=True)
        for i in range(4):  # all the same: one of them is held out
            draw(colour, 1)[0].save(held / name / f"{i}.png")
    with pytest.raises(ManifestError, match="the validation images of held and the training"):
        train(held, tmp_path / "held", **FAST)
    code, out, err = run("train", data, "--out", tmp_path / "run", "--allow-overlap", *FLAGS)
    assert code == 0, err
    assert "not apart: the validation images of run and the training images of run share 1" in out
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert len(record["overlaps"]) == 1
    code, out, err = run("train", data, "--out", tmp_path / "run", "--resume", "--workers", 0)
    assert (code, "not apart: " in out) == (0, True), err  # as it was allowed before
    record_property("tried", 3)


@pytest.mark.fault(KIND)
def test_a_training_tells_of_a_split_that_it_spoils(data, tmp_path):
    add_copy(data, "train", "test/blue-1.png")
    said = []
    train(data, tmp_path / "run", **FAST, events=Told(said))
    assert any("test cannot be scored" in line and "test/blue-1.png" in line for line in said)


class Told:
    """Events that keep what is said."""

    def __init__(self, said):
        self.say = said.append

    def __getattr__(self, name):
        return lambda *args, **more: None


@pytest.mark.fault(KIND)
def test_an_evaluation_refuses_images_that_it_chooses_by(run, world, data, tmp_path):
    add_copy(data, "val", "test/green-2.png")
    ask = ("evaluate", data, "--checkpoint", world / "run", "--threshold", "val", "--workers", 0)
    code, out, err = run(*ask)
    assert (code, out) == (1, "")
    assert "split test and split val share 1 image: test/green-2.png (there val/copy.png)" in err
    files = (
        "--json",
        tmp_path / "a.json",
        "--out",
        tmp_path / "out",
        "--report",
        tmp_path / "page",
    )
    code, out, err = run(*ask, "--allow-overlap", *files)
    assert code == 0, err
    line = "split test and split val share 1 image: test/green-2.png (there val/copy.png)"
    assert f"not apart: {line}" in out.replace("\n", " ")
    assert json.loads((tmp_path / "a.json").read_text())["overlaps"] == [line]
    assert json.loads((tmp_path / "out" / "scores.json").read_text())["overlaps"] == [line]
    assert "share 1 image: test/green-2.png" in (tmp_path / "page" / "index.html").read_text()
    code, out, _ = run("compare", tmp_path / "out", tmp_path / "out")
    assert (code, line in out.replace("\n", " ")) == (0, True)
    before = (tmp_path / "out" / "scores.json").read_bytes()
    assert run(*ask, "--out", tmp_path / "out", "--force")[0] == 1
    assert (tmp_path / "out" / "scores.json").read_bytes() == before  # nothing is lost


@pytest.mark.fault(KIND)
def test_maps_on_disk_are_held_to_it_too(world, data, tmp_path):
    add_copy(data, "val", "test/green-2.png")
    (tmp_path / "maps").mkdir()
    choices = {"threshold": "val", "allow_missing": True}
    with pytest.raises(OverlapError, match="split test and split val share 1 image"):
        evaluate_maps(data, tmp_path / "maps", **choices)
    test = open_data_set(data).load("test")
    with pytest.raises(OverlapError, match="share 12 images: test/"):  # by their ids alone
        evaluate_maps(test, tmp_path / "maps", choose=open_data_set(data).load("test"), **choices)


@pytest.mark.fault(KIND)
def test_the_run_that_made_the_weights_tells_its_images(
    run, world, data, tmp_path, record_property
):
    add_copy(data, "test", "train/red-3.png")
    home = tmp_path / "moved"
    shutil.copytree(world / "run", home)
    (tmp_path / "link.safetensors").symlink_to(home / "model.safetensors")
    said = (
        r"split test and the training images of run share 1 image: test/copy.png \(there train/red"
    )
    ways = (home, home / "model.safetensors", tmp_path / "link.safetensors")
    ways += (next((home / "checkpoints").glob("step-*")), load_checkpoint(home)[0])
    ways += (create_model("efficientnet_lite0", num_classes=3, weights=home),)
    for model in ways:
        with pytest.raises(OverlapError, match=said):
            evaluate(model, data, workers=0)
    code, _, err = run("evaluate", data, "--checkpoint", home, "--workers", 0)
    assert (code, "the training images of run share 1 image" in err) == (1, True)
    with pytest.raises(OverlapError, match="split train and the training images of run share 12"):
        evaluate(home, open_data_set(world / "data").load("train"), world / "data", workers=0)
    with pytest.raises(OverlapError, match="split val and the validation images of run share 6 im"):
        evaluate(home, world / "data", split="val", workers=0)  # which chose the epoch
    scores = evaluate(home, data, workers=0, allow_overlap=True)
    assert len(scores.to_dict()["overlaps"]) == 1
    shutil.copy(home / "model.safetensors", tmp_path / "alone.safetensors")
    alone = evaluate(tmp_path / "alone.safetensors", data, workers=0)
    assert alone.to_dict()["overlaps"] is None  # nobody knows
    assert evaluate(home, world / "data", workers=0).to_dict()["overlaps"] == []
    record_property("tried", len(ways) + 3)


@pytest.mark.fault(KIND)
def test_runs_without_a_list_are_asked_for_their_data(world, data, tmp_path):
    train_on = shutil.copytree(world / "data", tmp_path / "trained on")
    old = shutil.copytree(world / "run", tmp_path / "old")
    (old / TRAINED_ON).unlink()
    record = json.loads((old / "run.json").read_text())
    record |= {"data": str(train_on / "manifest"), "root": str(train_on)}
    (old / "run.json").write_text(json.dumps(record))
    add_copy(data, "test", "train/red-3.png")
    with pytest.raises(OverlapError, match="the training images of old share 1 image"):
        evaluate(old, data, workers=0)
    (train_on / "train" / "red-3.png").write_bytes(b"changed")
    assert read_image_sets(old) == ()  # other images than it was trained on: nothing is known
    shutil.rmtree(train_on)
    assert evaluate(old, data, workers=0).overlaps is None


@pytest.mark.parametrize("text", ["", "[]", '{"sets": [{}]}', "[" * 100_000, '{"sets": [1]}'])
def test_a_damaged_list_is_named(world, tmp_path, text):
    shutil.copytree(world / "run", tmp_path / "run")
    (tmp_path / "run" / TRAINED_ON).write_text(text)
    with pytest.raises(ManifestError, match=r"trained-on\.json: expected a list"):
        read_image_sets(tmp_path / "run")


@pytest.mark.fault(KIND)
def test_weights_to_begin_with_bring_their_images(world, tmp_path):
    # Its test images are those that the first run was trained on, its training images those that
    # the first run chose by.
    new = make_shapes(tmp_path / "new", {"test": 2, "train": 2, "val": 2})
    recipe = load_recipe("finetune").change(weights=str(world / "run"))
    sets = list_image_sets(load_training_data(new), recipe, "second")
    assert [each.name for each in sets] == [
        "the training images of second", "the validation images of second",
        "the training images of run", "the validation images of run",
    ]  # fmt: skip
    assert find_overlaps(sets) == []
    (line,) = find_overlaps([*sets, of_split(open_data_set(new).load(), "scoring", new)])
    assert line.startswith("split test and the training images of run share 6 images: test/blue-0.")
    first = load_training_data(new).train
    chosen = [of_split(first, "choosing", new), *read_image_sets(world / "run")]
    assert find_overlaps(chosen) == []  # two choices by the same images


@pytest.mark.fault(KIND)
def test_a_benchmark_holds_every_run_to_it(run, world, data, tmp_path):
    add_copy(data, "test", "train/red-3.png")
    shutil.copy(world / "run" / "model.safetensors", tmp_path / "alone.safetensors")
    runs = {"a": tmp_path / "alone.safetensors", "b": world / "run"}
    flags = [part for name, path in runs.items() for part in ("--run", f"{name}={path}")]
    out, page = tmp_path / "out", tmp_path / "page"
    code, _, err = run("benchmark", data, *flags, "--out", out, "--workers", 0)
    assert (code, "split test and the training images of run share 1 image" in err) == (1, True)
    assert not out.exists()
    code, printed, err = run(
        "benchmark", data, *flags, "--out", out, "--report", page, "--workers", 0, "--allow-overlap"
    )
    assert code == 0, err
    line = (
        "split test and the training images of run share 1 image: test/copy.png (there "
        "train/red-3.png)"
    )
    assert f"not apart: {line}" in printed.replace("\n", " ")
    assert (
        "**Not apart:** split test and the training images of run" in (out / "table.md").read_text()
    )
    rows = json.loads((out / "results.json").read_text())["rows"]
    assert {row["model"]: row["overlaps"] for row in rows} == {"a": None, "b": [line]}
    with (out / "table.csv").open() as file:
        assert {row["model"]: row["overlaps"] for row in csv.DictReader(file)} == {
            "a": "",
            "b": line,
        }
    assert "the training images of run share 1 image" in (page / "index.html").read_text()
    add_copy(data, "val", "test/red-0.png")
    with pytest.raises(OverlapError, match="split test and split val share 1 image"):
        benchmark(data, {"a": runs["a"]}, workers=0)


@pytest.mark.fault(KIND)
def test_an_experiment_refuses_before_the_hours(run, world, data, tmp_path, record_property):
    (tmp_path / "shapes.toml").write_text(TOML.replace("per_class = 3\n", ""))
    ask = ("reproduce", tmp_path / "shapes.toml", "--workers", 0, "--models", "none", "--seeds", 0)
    faults = (("train", "test/red-1.png"), ("train", "val/red-1.png"), ("val", "test/red-1.png"))
    for split, image_id in faults:
        spoilt = shutil.copytree(data, tmp_path / f"{split}-{image_id.split('/')[0]}")
        add_copy(spoilt, split, image_id)
        code, _, err = run(*ask, "--data", spoilt, "--out", tmp_path / "out")
        assert (code, "share 1 image" in err) == (1, True), err
        assert not (tmp_path / "out" / "runs").exists()
    held = shutil.copytree(data, tmp_path / "held")  # chosen by what is held out, which has boxes
    shutil.rmtree(held / "manifest" / "val")
    for name in ("red-1", "red-2", "red-3"):
        shutil.copy(held / "train" / "red-0.png", held / "train" / f"{name}.png")
    code, _, err = run(*ask, "--data", held, "--out", tmp_path / "out")
    assert (code, "the validation images of none-0 and the training" in err) == (1, True), err
    assert not (tmp_path / "out" / "runs").exists()
    record_property("tried", len(faults) + 1)


@pytest.mark.fault(KIND)
def test_an_experiment_tells_of_what_was_allowed(run, world, data, tmp_path):
    (tmp_path / "shapes.toml").write_text(TOML.replace("size = 32", "size = 64"))
    add_copy(data, "test", "train/red-0.png")
    (tmp_path / "weights").mkdir()
    shutil.copytree(world / "run", tmp_path / "weights" / "none-0")
    ask = ("reproduce", tmp_path / "shapes.toml", "--models", "none", "--seeds", 0, "--workers", 0)
    there = ("--data", data, "--weights", tmp_path / "weights", "--out", tmp_path / "out")
    code, _, err = run(*ask, *there)
    assert (code, "split test and the training images of run share 1 image" in err) == (1, True)
    code, printed, err = run(*ask, *there, "--allow-overlap")
    assert code == 0, err
    out = tmp_path / "out"
    (tmp_path / "shapes.zip").write_bytes((out / "experiment.zip").read_bytes())
    code, again, err = run(*ask, "--recorded", "--out", tmp_path / "again")  # from the record alone
    assert code == 0, err
    for text, folder in ((printed, out), (again, tmp_path / "again")):
        assert "not apart: split test and the training images of run" in text
        for file in ("table.md", "table.csv", "results.json", "report/index.html"):
            assert "the training images of run share 1 image" in (folder / file).read_text(), file


@pytest.mark.fault(KIND)
def test_a_threshold_is_not_picked_on_training_images(run, world, data, tmp_path):
    boxes = {
        "images": [{"id": 1, "file_name": "new.png", "width": 64, "height": 48}],
        "categories": [{"id": 1, "name": "class 0"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 64, 48]}],
    }
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "boxes.json").write_text(json.dumps(boxes))
    shutil.copy(world / "data" / "train" / "blue-2.png", tmp_path / "new" / "new.png")
    ask = ("calibrate", world / "run", "--boxes", tmp_path / "new" / "boxes.json", "--workers", 0)
    ask += ("--out", tmp_path / "picked.safetensors")
    code, _, err = run(*ask)
    assert (code, "share 1 image: new.png (there train/blue-2.png)" in err) == (1, True), err
    assert not (tmp_path / "picked.safetensors").exists()
    code, out, err = run(*ask, "--allow-overlap")
    assert (code, "not apart: the images of boxes.json and the training" in out) == (0, True), err
    shutil.copy(world / "data" / "val" / "blue-0.png", tmp_path / "new" / "new.png")
    choices = {"out": tmp_path / "picked.safetensors", "force": True, "workers": 0}
    assert calibrate(world / "run", tmp_path / "new" / "boxes.json", **choices).overlaps == ()
