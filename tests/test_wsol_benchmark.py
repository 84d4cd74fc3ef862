"""`wsol benchmark` and its parts: rules side by side, seeds in common, expected values."""

import csv
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from shapes import make_shapes, make_weights

from eval.manifest import ManifestError, load_split
from tdam import create_model, load_checkpoint
from tdam.training.recipe import load_recipe
from wsol import evaluate
from wsol.benchmarking.expected import list_faults, load_expected
from wsol.benchmarking.experiment import Scoring
from wsol.benchmarking.experiment_files import load_experiment
from wsol.benchmarking.remaining import Remaining
from wsol.benchmarking.replicates import RunScores
from wsol.benchmarking.sources import load_chooser, load_scored, open_data
from wsol.benchmarking.summary import judge, summarise
from wsol.benchmarking.tables import difference_table, list_variant_tables
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


def sample(model, seed, values, threshold="val", images=4):
    """A sample whose replicates are given."""
    replicates = {"top1_loc": np.asarray(values, float)}
    return RunScores(model, seed, ("auto", 0), "cam", 32, threshold, 0.2, replicates, images)


def test_only_seeds_in_common_are_compared():
    random = np.random.default_rng(0)
    noise = random.normal(size=(4, 1001))
    rows = summarise(
        [sample("none", 0, 40 + noise[0]), sample("none", 1, 60 + noise[1]),
         sample("new", 1, 63 + noise[2]), sample("new", 2, 10 + noise[3])], "none",
    )  # fmt: skip
    first, second = rows
    assert first.values["top1_loc"].mean == pytest.approx(50 + noise[:2, -1].mean())
    assert first.values["top1_loc"].difference is None
    assert (second.seeds, second.compared) == ((1, 2), (1,))
    gap = second.values["top1_loc"].difference
    wanted = 3 + noise[2] - noise[1]
    assert gap.difference == pytest.approx(wanted[-1])
    assert [gap.low, gap.high] == pytest.approx(np.percentile(wanted[:-1], [2.5, 97.5]).tolist())


def test_models_are_compared_with_their_own_reference():
    levels = {"none": 50.0, "new": 52.0, "old": 30.0, "old_new": 33.0}
    samples = [sample(name, 0, np.full(1001, level)) for name, level in levels.items()]
    rows = summarise(samples, "none", {"old": "old", "old_new": "old"})
    gaps = {row.model: row.value("top1_loc", difference=True) for row in rows}
    assert gaps == {"none": None, "new": 2.0, "old": None, "old_new": 3.0}
    assert "old_new vs old, Top-1 Loc" in judge(rows[3])
    table = difference_table(rows)
    assert table.title == "Differences"
    assert [line[0] for line in table.rows] == ["new minus none", "old_new minus old"]
    assert difference_table(rows[:2]).title == "Differences from none"


def test_a_table_of_each_way_has_a_line_a_model():
    """A model that names its own map method is told apart; a score that is missing has no cell."""
    mixed = [
        replace(sample(name, 0, np.full(1001, level), rule), method=method, level=threshold)
        for name, level, method in (("none", 50.0, "cam"), ("new", 52.0, "layercam"))
        for rule, threshold in (("val", 0.3), ("0.2", 0.2))
    ]
    scores, differences, thresholds = list_variant_tables(summarise(mixed[:3], "none"))
    header = ("model", "method", "Top-1 Loc, val", "Top-1 Loc, 0.2", "Top-5 Loc, val")
    assert scores.header[:5] == header
    assert [row[:5] for row in scores.rows] == [
        ("none", "cam", "50.0", "50.0", None),
        ("new", "layercam", "52.0", None, None),
    ]
    assert (differences.title, differences.rows[0][:3]) == (
        "Differences from none",
        ("new", "layercam", "+2.0 (+2.0 to +2.0)"),
    )
    assert (thresholds.header, thresholds.rows) == (
        ("model", "val"),
        [("none", "0.300"), ("new", "0.300")],
    )
    # Where every model has both methods, they have a table each, and fixed thresholds need none.
    both = [
        replace(each, variant=(each.method, 0), threshold="0.2", level=0.2) for each in mixed[::2]
    ]
    both += [replace(each, model="new") for each in both[:1]]
    titles = [table.title for table in list_variant_tables(summarise(both, "none"))]
    assert titles == ["Scores, cam", "Differences from none, cam", "Scores, layercam"]


def test_a_part_of_an_experiment_keeps_its_pairs():
    whole = load_experiment("imagenet10_lite0")
    gap = {("tdam_joint", "top1_loc"), ("tdam_top", "top1_loc")}

    def left(*models):
        part = whole.select(models=models)
        return part.references, {(e.model, e.score) for e in part.expected if e.difference}

    assert left("none", "tdam_joint", "tdam_top")[1] == gap
    assert left("se", "tdam_joint") == ({"se": "se", "tdam_joint": "se"}, set())
    assert left("tdam_joint")[1] == set()
    assert left("none", "imagenet_tdam")[0]["imagenet_tdam"] == "imagenet"
    rows = summarise(
        [sample("none", 0, np.full(1001, 50.0)), sample("old_new", 0, np.full(1001, 60.0))],
        "none", {"none": "none", "old_new": "old"},
    )  # fmt: skip
    assert rows[1].values["top1_loc"].difference is None


@pytest.mark.parametrize(
    ("shift", "spread", "verdict"),
    [
        (5, 1, ": a gain"),
        (-5, 1, ": a loss"),
        (1, 5, ": no gain shown"),
        (0, 0, ": no gain shown"),  # equal networks
    ],
)
def test_verdicts(shift, spread, verdict):
    noise = spread * np.linspace(-1, 1, 1001)
    noise[-1] = 0
    base = sample("none", 0, np.full(1001, 50.0))
    row = summarise([base, sample("new", 0, 50 + shift + noise)], "none")[1]
    text = judge(row)
    assert text.startswith(f"new vs none, Top-1 Loc, threshold val: {shift:+.1f} points (95 % ")
    assert text.endswith(f", 1 seed, 4 images{verdict}")
    assert judge(summarise([base], "none")[0]) is None


def test_a_gain_of_some_seeds_is_called_that():
    samples = [sample("none", seed, np.full(1001, 50.0)) for seed in (0, 1)]
    samples += [sample("new", 0, np.full(1001, 60.0)), sample("new", 1, np.full(1001, 49.0))]
    assert judge(summarise(samples, "none")[1]).endswith(": a gain, but not with every seed")


def test_expected_values_fit_rows(tmp_path):
    rows = summarise([sample("none", 0, np.full(1001, 50.0)),
                      sample("new", 0, np.full(1001, 52.0))], "none")  # fmt: skip
    head = '[[expected]]\nmodel = "new"\nscore = "top1_loc"\ntolerance = 0.1\n'
    for tail, faults in (
        ("value = 52.05", 0),
        ("value = 52.2", 1),
        ("value = 2\ndifference = true", 0),
        ('value = 52\nthreshold = "oracle"', 1),  # not measured
        ("value = 52\nseeds = [0]", 0),
        ("value = 52\nseeds = [0, 1]", 1),
        ("value = 52\noutput_stride = 16", 1),
    ):
        (tmp_path / "e.toml").write_text(head + tail)
        assert len(list_faults(load_expected(tmp_path / "e.toml"), rows)) == faults, tail
    for text in ("", "expected = 3", head, head + 'value = "52"', head + "value = 1\nmore = 1"):
        (tmp_path / "e.toml").write_text(text)
        with pytest.raises(ValueError, match="xpected"):
            load_expected(tmp_path / "e.toml")


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
