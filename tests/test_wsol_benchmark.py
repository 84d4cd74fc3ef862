"""`wsol benchmark` and its parts: rules side by side, seeds in common, expected values."""

import csv
import json
import shutil
from dataclasses import replace

import pytest
from PIL import Image
from shapes import make_shapes, make_weights

from eval.manifest import ManifestError, load_split
from tdam import create_model, load_checkpoint
from tdam.training.recipe import load_recipe
from wsol import evaluate
from wsol.benchmarking.experiment import Scoring
from wsol.benchmarking.remaining import Remaining
from wsol.benchmarking.sources import load_chooser, load_scored, open_data
from wsol.report.tables import plain
from wsol.training.data import load_training_data

RULES = "val, oracle, unlabelled, own"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Data and two checkpoints."""
    home = tmp_path_factory.mktemp("benchmark")
    make_shapes(home / "data")
    for seed, attention in enumerate(("none", "tdam")):
        recipe = load_recipe("finetune").change(size=32, seed=seed, attention=attention)
        make_weights(recipe, home / f"{attention}.safetensors")
    return home


def call(run, world, *more):
    return run(
        "benchmark", world / "data", "--run", f"plain={world / 'none.safetensors'}",
        "--run", f"joint={world / 'tdam.safetensors'}", "--output-stride", 16, *more,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.fault("numbers: tables without a word of runs that failed")
def test_tables_name_runs_that_failed(run, world, tmp_path):
    (tmp_path / "broken.safetensors").write_bytes(b"no weights")
    flags = ("--threshold", "0.2", "--workers", 0)
    code, _, told = call(
        run, world, *flags, "--run", f"@x, y={tmp_path / 'broken.safetensors'}",
        "--out", tmp_path / "out", "--report", tmp_path / "page",
    )  # fmt: skip
    assert code == 1, told
    [failure] = json.loads((tmp_path / "out" / "results.json").read_text())["failures"]
    name, reason = failure.split(": ", 1)
    assert f"| {plain(name)} | {plain(reason)} |" in (tmp_path / "out" / "table.md").read_text()
    with (tmp_path / "out" / "table.csv").open(newline="") as file:
        *values, last = csv.DictReader(file)
    assert (last["model"], last["failure"], last["score"]) == (f"'{name}", reason, "")
    assert {line["model"] for line in values} == {"plain", "joint"}
    assert "1 run failed and left out" in (tmp_path / "page" / "index.html").read_text()
    code, _, told = call(run, world, *flags, "--out", tmp_path / "good")
    assert code == 0, told
    assert "failure" not in (tmp_path / "good" / "table.csv").read_text()
    assert "failed" not in (tmp_path / "good" / "table.md").read_text()


@pytest.mark.slow
def test_every_rule_says_what_evaluate_says(run, world, tmp_path):
    code, printed, told = call(
        run, world, "--threshold", "oracle", "--threshold", "0.2", "--threshold", "val", "--json",
        tmp_path / "found.json", "--out", tmp_path / "out", "--report", tmp_path / "page",
    )  # fmt: skip
    assert code == 0, told
    rows = json.loads((tmp_path / "found.json").read_text())["rows"]
    data = world / "data"
    model, _ = load_checkpoint(world / "tdam.safetensors", output_stride=16)
    for threshold in ("oracle", 0.2):
        split = load_split(data / "manifest", "test")
        one = evaluate(model, split, data, method="gradcampp", threshold=threshold).result
        found = next(
            row for row in rows if (row["model"], row["threshold"]) == ("joint", str(threshold))
        )
        for score in ("gt_known_loc", "top1_loc", "top5_loc", "max_box_acc", "max_box_acc_v2"):
            value = found["values"][score]
            assert value["mean"] == pytest.approx(getattr(one, score))
            assert score != "gt_known_loc" or 0 < value["mean"] < 100
            assert value["interval95"] == pytest.approx(one.intervals95[score])
    assert "joint vs plain, Top-1 Loc, threshold oracle: " in printed
    assert "class=" in (tmp_path / "page" / "index.html").read_text()
    assert (tmp_path / "page" / "tables" / "differences.csv").is_file()
    # The differences are those of `wsol compare`.
    places = [tmp_path / "out" / name / "gradcampp-16" / "scored" for name in ("plain", "joint")]
    code, _, told = run("compare", *places, "--json", tmp_path / "pair.json")
    assert code == 0, told
    pair = json.loads((tmp_path / "pair.json").read_text())
    found = next(r for r in rows if (r["model"], r["threshold"]) == ("joint", "oracle"))
    for score in ("gt_known_loc", "top1_loc", "max_box_acc_v2"):
        gap = found["values"][score]["difference"]
        assert gap["points"] == pytest.approx(pair[score]["second"] - pair[score]["first"])
        assert gap["interval95"] == pytest.approx([pair[score]["low"], pair[score]["high"]])
    code, _, told = call(run, world, "--out", tmp_path / "out")
    assert (code, "--force" in told) == (2, True)
    code, _, told = call(
        run, world, "--threshold", "oracle", "--threshold", "val", "--out", tmp_path / "out",
        "--force",
    )  # fmt: skip
    assert code == 0
    assert "score " not in told  # kept: the weights are the same


def test_expected_values_gate(run, world, tmp_path):
    file = tmp_path / "expected.toml"
    text = '[[expected]]\nmodel = "{}"\nscore = "top1_cls"\nvalue = {}\ntolerance = 0.5\n'
    file.write_text(text.format("joint", 101) + text.format("plain", 50).replace("0.5", "50"))
    code, printed, told = call(run, world, "--threshold", "0.2", "--expect", file)
    assert code == 1
    assert "joint, top1_cls: expected 101 but got " in told
    assert "(tolerance 0.5; threshold 0.2, gradcampp, stride 16, seed 0)" in told
    assert "plain" not in told.replace("score plain", "")
    assert "1 of 2 expected values found" in printed


@pytest.mark.slow
def test_other_weights_are_scored_anew(run, world, tmp_path):
    weights, out = tmp_path / "weights.safetensors", tmp_path / "out"
    flags = ("benchmark", world / "data" / "manifest", "--root", world / "data", "--split", "val",
             "--run", f"a={weights}", "--out", out, "--force")  # fmt: skip
    said = []
    for name in ("none", "none", "tdam"):
        shutil.copy(world / f"{name}.safetensors", weights)
        code, printed, told = run(*flags)
        assert code == 0, told
        said.append((printed, "score a, " in told))
    assert said[1] == (said[0][0], False)
    assert said[2][0] != said[0][0]
    assert said[2][1]


def test_a_network_is_named_by_itself(run, world, tmp_path):
    """Plain ImageNet weights need no file, and count among all their classes."""
    shutil.copytree(world / "data", tmp_path / "data")
    table = "label,imagenet1k_index\n0,0\n1,1\n2,2\n"
    (tmp_path / "data" / "classes.csv").write_text(table)
    code, _, told = run(
        "benchmark", tmp_path / "data", "--run", "plain=efficientnet_lite0", "--size", 32,
        "--run", "tdam=efficientnet_lite0_tdam", "--threshold", 0.2, "--json", tmp_path / "it.json",
    )  # fmt: skip
    assert code == 0, told
    found = json.loads((tmp_path / "it.json").read_text())
    assert found["runs"]["plain"] == "efficientnet_lite0"
    assert [row["model"] for row in found["rows"]] == ["plain", "tdam"]
    data = tmp_path / "data"
    model = create_model("efficientnet_lite0", weights="pretrained")
    small = replace(model.spec.preprocessing, size=32)
    model.spec = replace(model.spec, preprocessing=small)
    one = evaluate(
        model, load_split(data / "manifest", "test"), data, method="gradcampp", threshold=0.2,
        classes={0: 0, 1: 1, 2: 2},
    ).result  # fmt: skip
    values = found["rows"][0]["values"]
    assert values["gt_known_loc"]["mean"] == pytest.approx(one.gt_known_loc)
    assert values["max_box_acc_v2"]["mean"] == pytest.approx(one.max_box_acc_v2)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--run", "third"), "--run: expected NAME=CHECKPOINT"),
        (("--run", "joint=x"), "--run: two runs are named 'joint'"),
        (("--run", "x=gone"), "--run: gone: no such file"),
        (("--threshold", "best"), f"--threshold: Expected thresholds among {RULES}"),
        (("--threshold", "2"), "--threshold: Expected thresholds among"),
        (("--method", "magic"), "--method: Expected method to be one of"),
        (("--output-stride", "7"), "--output-stride: Expected output_strides among"),
        (("--protocol", "mine"), "--protocol: Expected protocol to be one of"),
        (("--split", "val", "--threshold", "val"), "--threshold: val cannot be chosen on"),
        (("--split", "nowhere"), "--split: "),
        (("--expect", "gone.toml"), "--expect: Expected a TOML file"),
    ],
)
def test_wrong_use(run, world, flags, message):
    code, _, told = call(run, world, *flags)
    assert code == 2
    assert told.startswith("Error: ")
    assert told.count("\n") == 1
    assert message in told


def test_a_run_that_cannot_be_scored_is_named(run, world, tmp_path):
    (tmp_path / "broken.safetensors").write_bytes(b"no weights")
    code, printed, told = call(
        run, world, "--threshold", "0.2", "--run", f"broken={tmp_path / 'broken.safetensors'}"
    )
    assert code == 1
    assert "broken: " in told
    assert "joint vs plain" in printed


@pytest.mark.parametrize("kind", ["maps", "boxes", "classes"])
def test_a_given_run_with_faults_is_told_no_way_out_that_is_not_there(run, world, tmp_path, kind):
    (tmp_path / "maps").mkdir()
    (tmp_path / "found.csv").write_text("id,x0,y0,x1,y1\nnowhere.jpg,0,0,1,1\n")
    (tmp_path / "top.csv").write_text("id,label\nnowhere.jpg,0\n")
    given = {
        "maps": f"maps:{tmp_path / 'maps'}",
        "boxes": f"boxes:{tmp_path / 'found.csv'}",
        "classes": f"maps:{tmp_path / 'maps'},{tmp_path / 'top.csv'}",
    }
    _, _, told = call(run, world, "--threshold", "0.2", "--run", f"mine={given[kind]}")
    (line,) = [line for line in told.splitlines() if line.startswith("mine: ")]
    assert "missing: " in line
    assert not any(each in line for each in ("allow", "others names"))


@pytest.fixture
def birds(tmp_path):
    """The official layout of CUB-200-2011, two classes with four images each."""
    folder = tmp_path / "birds" / "CUB_200_2011"
    lines = {"images": [], "image_class_labels": [], "train_test_split": [], "bounding_boxes": []}
    for number in range(1, 9):
        kind = 1 + (number > 4)
        path = f"00{kind}.Bird_{kind}/{number}.jpg"
        (folder / "images" / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 30), (number * 20, 0, 0)).save(folder / "images" / path)
        lines["images"].append(f"{number} {path}")
        lines["image_class_labels"].append(f"{number} {kind}")
        lines["train_test_split"].append(f"{number} {int(number % 4 != 0)}")
        lines["bounding_boxes"].append(f"{number} 5.0 5.0 20.0 10.0")
    lines["classes"] = ["1 001.Bird_1", "2 002.Bird_2"]
    for name, text in lines.items():
        (folder / f"{name}.txt").write_text("\n".join(text) + "\n")
    return tmp_path / "birds"


def test_thresholds_are_chosen_on_held_out_images_where_there_is_no_val(birds, tmp_path):
    scoring, recipe = Scoring(), load_recipe("finetune")
    for folder in (birds, birds / "CUB_200_2011"):
        place = open_data(folder, None, tmp_path / "out")
        scored = load_scored(place, scoring)
        assert len(scored) == 2
        chooser = load_chooser(place, scoring, recipe)
        held = load_training_data(place, None, recipe.val_share, recipe.seed).val
        assert chooser.ids == held.ids
        assert not set(chooser.ids) & set(scored.ids)
        assert all(len(boxes) == 1 for boxes in chooser.boxes)
        assert load_chooser(place, scoring, None) is None  # trained elsewhere


def test_data_is_found_where_people_keep_it(world, tmp_path):
    place = open_data(world / "data", None, tmp_path)
    there = (world / "data" / "manifest", world / "data")
    assert (place.path, place.root) == there
    again = open_data(place.path, world / "data", tmp_path)
    assert (again.path, again.root) == there
    with pytest.raises(ManifestError, match="--root"):
        open_data(place.path, None, tmp_path)
    chooser = load_chooser(place, Scoring(), None)
    assert (chooser.name, len(chooser)) == ("val", 6)


def test_the_time_left_is_of_what_takes_time(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    left = Remaining({"epoch": 10, "scoring": 2})
    assert left.describe() == "10 epochs and 2 scorings left"
    left.start()
    now[0] = 60.0
    left.finish("epoch", 2)
    assert left.describe() == "about 4 min left, and 2 scorings"
    left.finish("epoch", 6, free=True)  # done before
    assert left.describe() == "about 1 min left, and 2 scorings"
    now[0] += 7200
    left.finish("scoring")
    left.finish("epoch", 2)
    assert left.describe() == "about 2 h 0 min left"
    left.finish("scoring")
    assert left.describe() == "nothing left"
