"""`wsol reproduce --recorded`: tables from what became of every image, and what is refused."""

import copy
import json
import re
import shutil
import zipfile

import pytest
import torch
from shapes import make_shapes
from small_experiments import TOML, make_world, read_rows, reproduce, wsol

from wsol.benchmarking import score_store
from wsol.benchmarking.experiment_files import load_experiment
from wsol.benchmarking.record import list_recorded, unpack_run
from wsol.benchmarking.score_store import check_whole, read_variants
from wsol.evaluation import comparison
from wsol.evaluation.comparison import ResultError
from wsol.training.train import prepare_recipe

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Data, experiment, weights, and a folder in which they were scored, with what that said."""
    return make_world(tmp_path_factory.mktemp("reproduce"))


def same_but_for_data(out):
    record = json.loads((out / "results.json").read_text())
    return {key: value for key, value in record.items() if key != "data"}


def test_tables_come_from_a_record_alone(world, tmp_path):
    """The record beside an experiment gives the same tables without data, weights or training."""
    before = (world / "out" / "experiment.zip").read_bytes()
    shutil.copy(world / "out" / "experiment.zip", tmp_path / "shapes.zip")
    (tmp_path / "shapes.toml").write_text(TOML)
    flags = ("reproduce", tmp_path / "shapes.toml", "--recorded", "--out", tmp_path / "out")
    code, printed, told = wsol(*flags)
    assert code == 0, told
    assert "3 runs, 0 to train" in told
    assert same_but_for_data(tmp_path / "out") == same_but_for_data(world / "out")
    _, printed_then, _ = json.loads((world / "said.json").read_text())
    assert printed.splitlines()[1:] == printed_then.splitlines()[1:]
    page = (tmp_path / "out" / "report" / "index.html").read_text()
    assert "none-0, none-1, tdam_joint-1" in page
    assert "pictures" not in page
    assert (tmp_path / "out" / "experiment.zip").read_bytes() == before
    # A copy of the experiment and its record lie beside each other in OUT.
    code, _, told = wsol(
        "reproduce", tmp_path / "out" / "experiment.toml", "--recorded", "--seeds", 1,
        "--out", tmp_path / "again",
    )  # fmt: skip
    assert code == 0, told
    assert read_rows(tmp_path / "again")["none", "0.2"]["seeds"] == [1]
    with zipfile.ZipFile(tmp_path / "shapes.zip") as file:
        every = b"".join(map(file.read, file.namelist()))
    assert str(world).encode() not in every


def test_recorded_runs_stand_beside_trained_ones(tmp_path):
    """A run of another machine is read, one of this machine scored, and both are compared."""
    make_shapes(tmp_path / "data")
    there, here = tmp_path / "there", tmp_path / "here"
    code, _, told = reproduce(tmp_path, there, "--models", "none", "--seeds", 1, text=TOML)
    assert code == 0, told
    shutil.copy(there / "experiment.zip", tmp_path / "shapes.zip")
    with zipfile.ZipFile(tmp_path / "shapes.zip") as file:
        training = json.loads(file.read("none-1/training.json"))
        assert 'attention = "none"' in file.read("none-1/recipe.toml").decode()
    assert training["training_images"] == 9
    assert "root" not in training
    code, _, told = reproduce(tmp_path, here, "--recorded", "--seeds", 1)
    assert code == 0, told
    assert "none-1, as recorded" in told
    assert [path.name for path in (here / "runs").iterdir()] == ["tdam_joint-1"]
    rows = read_rows(here)
    assert rows["none", "val"] == read_rows(there)["none", "val"]
    assert rows["tdam_joint", "val"]["compared"] == [1]
    # What was trained here is scored, whatever the record says.
    code, _, told = reproduce(tmp_path, there, "--recorded", "--models", "none", "--seeds", 1)
    assert (code, "as recorded" in told) == (0, False)
    # Another recipe, other images, no record: each is said.
    changed = TOML.replace("batch_size = 4", "batch_size = 8")
    flags = ("--recorded", "--models", "none", "--seeds", 1)
    code, _, told = reproduce(tmp_path, tmp_path / "new", *flags, text=changed)
    assert (code, "batch_size differ" in told) == (1, True)
    boxes = tmp_path / "data" / "manifest" / "test" / "localization.txt"
    lines = boxes.read_text().splitlines()
    boxes.write_text("\n".join([lines[0].rsplit(",", 2)[0] + ",50,40", *lines[1:]]))
    code, _, told = reproduce(tmp_path, tmp_path / "moved", "--recorded", "--seeds", 1, text=TOML)
    assert (code, "failed: none-1: " in told, "true boxes of test/blue-0.png" in told) == (
        1,
        True,
        True,
    )
    assert [model for model, _ in read_rows(tmp_path / "moved")] == ["tdam_joint"] * 3
    assert list_recorded(tmp_path / "moved" / "experiment.zip") == ["tdam_joint-1"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('methods = ["layercam"]', 'protocol = "clean"\nmethods = ["layercam"]', "protocol"),
        ('methods = ["layercam"]', 'size = 64\nmethods = ["layercam"]', "size 64 but it was 0"),
        ("output_strides = [16]", "output_strides = [8]", "output stride 8"),
        ('methods = ["layercam"]', 'split = "train"\nmethods = ["layercam"]', "split 'train'"),
    ],
)
def test_a_record_of_other_rules_is_refused(world, tmp_path, old, new, message):
    assert old in TOML
    (tmp_path / "shapes.toml").write_text(TOML.replace(old, new))
    shutil.copy(world / "out" / "experiment.zip", tmp_path / "shapes.zip")
    flags = ("reproduce", tmp_path / "shapes.toml", "--recorded", "--out", tmp_path / "out")
    code, _, told = wsol(*flags)
    assert (code, message in told) == (1, True), told


def test_a_command_on_a_part_keeps_the_whole_record(world, tmp_path):
    shutil.copytree(world / "out", tmp_path / "out")
    shutil.copytree(world / "weights", tmp_path / "weights")
    (tmp_path / "data").symlink_to(world / "data")
    before = (tmp_path / "out" / "experiment.zip").read_bytes()
    toml = tmp_path / "out" / "experiment.toml"
    code, _, told = wsol("reproduce", toml, "--recorded", "--seeds", 0, "--out", tmp_path / "out")
    assert code == 0, told
    assert (tmp_path / "out" / "experiment.zip").read_bytes() == before
    part = ("--weights", tmp_path / "weights", "--models", "none", "--seeds", 0)
    code, _, told = reproduce(tmp_path, tmp_path / "out", *part, text=TOML)
    assert code == 0, told
    assert (tmp_path / "out" / "experiment.zip").read_bytes() == before


@pytest.mark.parametrize("name", ["cub10_lite0", "imagenet10_lite0", "imagenet10_resnet50"])
def test_records_that_come_along_are_of_their_experiments(name, tmp_path):
    """Every recorded run has the recipe that the experiment has today, and tells no place."""
    experiment = load_experiment(name)
    known = {entry.run_name(seed): (entry, seed) for entry, seed in experiment.runs}
    recorded = list_recorded(experiment.record)
    assert name != "imagenet10_resnet50" or {"none-0", "tdam_joint-0"} <= set(recorded)
    assert set(recorded) <= set(known)
    for run in recorded:
        entry, seed = known[run]
        folder = tmp_path / run
        folder.mkdir()
        recipe = None
        if entry.checkpoint is None:
            recipe = prepare_recipe(entry.recipe.change(seed=seed), torch.device("cpu"))
            recipe = recipe.change(precision=entry.recipe.precision)
        unpack_run(experiment.record, run, folder, recipe)
        assert (recipe is None) != (folder / "recipe.toml").is_file()
        ways = {way.wanted for way in read_variants(folder)}
        scoring = experiment.scoring
        assert ways == {(m, s) for m in scoring.methods for s in scoring.output_strides}
    check_whole(tmp_path / recorded[0])
    for path in tmp_path.rglob("*.*"):
        assert not path.is_file() or not re.search(r"[\"']/\w", path.read_text()), path


def test_what_recorded_cannot_do(world, tmp_path):
    (tmp_path / "shapes.toml").write_text(TOML)
    flags = ("reproduce", tmp_path / "shapes.toml", "--out", tmp_path / "out")
    for more, message in (
        ((), "--data: expected a data set"),
        (("--recorded",), "shapes.zip: no such file"),
    ):
        code, _, told = wsol(*flags, *more)
        assert (code, message in told) == (2, True), told
    torn = bytearray((world / "out" / "experiment.zip").read_bytes())
    with zipfile.ZipFile(world / "out" / "experiment.zip") as file:
        entry = file.getinfo("none-1/layercam-16/scored/images.jsonl")
    middle = entry.header_offset + entry.compress_size // 2
    torn[middle : middle + 40] = bytes(40)
    (tmp_path / "shapes.zip").write_bytes(torn)
    code, printed, told = wsol(*flags, "--recorded")
    assert (code, "none-1: " in told, "run none-1 is damaged" in told) == (1, True, True)
    assert "tdam_joint" in printed
    shutil.rmtree(tmp_path / "out")
    (tmp_path / "shapes.zip").write_text("no zip")
    code, _, told = wsol(*flags, "--recorded")
    assert (code, "expected a record of an experiment" in told) == (2, True)
    assert not (tmp_path / "out").exists()


SCORED = "layercam-16/scored/images.jsonl"


def forge_images(source, target, runs, change):
    """Write a record whose runs say other things of the first image that was scored."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name in [f"{run}/{SCORED}" for run in runs]:
                first, *rest = content.splitlines(keepends=True)
                row = json.loads(first)
                change(row)
                content = json.dumps(row).encode() + b"\n" + b"".join(rest)
            new.writestr(name, content)


TRUTHS = {
    "images": lambda row: row.update(id=f"other/{row['id']}"),
    "labels": lambda row: row.update(label=(row["label"] + 1) % 3),
    "true boxes": lambda row: row.update(true_boxes=row["true_boxes"] + row["true_boxes"]),
}


@pytest.mark.fault("numbers: a forged or mixed record")
@pytest.mark.parametrize("what", TRUTHS)
def test_recorded_runs_must_be_of_the_same_images(world, tmp_path, what, monkeypatch):
    """Most runs say what the images are, wherever the odd one stands; a tie says nothing."""
    monkeypatch.setattr(score_store, "check_sums", lambda results: None)  # a forger's sums add up
    (tmp_path / "shapes.toml").write_text(TOML)
    source, target = world / "out" / "experiment.zip", tmp_path / "shapes.zip"
    flags = ("reproduce", tmp_path / "shapes.toml", "--recorded", "--out")
    for odd, others in (("none-0", "none-1, tdam_joint-1"), ("tdam_joint-1", "none-0, none-1")):
        forge_images(source, target, [odd], TRUTHS[what])
        code, _, told = wsol(*flags, tmp_path / odd)
        assert code == 1, told
        assert f"failed: {odd}: expected {what} as most runs have them ({others})" in told
        assert told.count("failed: ") == 2  # once as it goes, once at the end
        kept = json.loads((tmp_path / odd / "results.json").read_text())
        assert sum(len(row["seeds"]) for row in kept["rows"]) == 2 * 3
        assert list_recorded(tmp_path / odd / "experiment.zip") == others.split(", ")
    code, _, told = wsol(*flags, tmp_path / "tie", "--seeds", 1)
    assert (code, "no run could be scored" in told) == (1, True), told
    assert f"{what} differ between none-1 and tdam_joint-1, and neither is the majority" in told


def turn(row):
    """Give the other answer to whether the top-1 class is right, without a word of the rank."""
    row["predicted"] = row["map_class"] + 1 if row["rank"] == 0 else row["map_class"]


def find_missed(rows):
    return next(row for row in rows if row["box"] and row["error"])


LIES = {
    "iou": lambda rows: rows[0].update(iou=rows[0]["iou"] * 0.9 + 0.01),
    "predicted|rank": lambda rows: turn(rows[0]),
    "map_class|predicted": lambda rows: rows[0].update(map_class=rows[0]["map_class"] + 1),
    "true_boxes|iou|baselines": lambda rows: rows[0].update(true_boxes=[[0, 0, 3, 3]]),
    "box|iou": lambda rows: find_missed(rows).update(box=[0.0, 0.0, 1.5, 1.5]),
    "error": lambda rows: find_missed(rows).update(error=None),
    "best_iou": lambda rows: rows[0].update(best_iou=0.01),
    "best_threshold": lambda rows: rows[0].update(best_threshold=0.12345),
    "baselines": lambda rows: rows[0]["baselines"].update(
        {name: not hit for name, hit in rows[0]["baselines"].items()}
    ),
    "width": lambda rows: rows[0].update(width=0),
    "size|box|iou": lambda rows: rows[0].update(width=2 * rows[0]["width"]),
    "label|map_class": lambda rows: rows[0].update(label=(rows[0]["label"] + 1) % 3),
    "true_boxes": lambda rows: rows[0].update(true_boxes=[["a", 0, 3, 3]]),
    "expected results": lambda rows: rows[0].update(hits={}),
}


@pytest.mark.fault("numbers: a record that contradicts itself")
def test_what_a_record_says_twice_must_be_the_same(world, tmp_path, record_property):
    """Each lie about one image is found, also by a forger who adds the scores up anew."""
    folder = tmp_path / "none-1"
    folder.mkdir()
    unpack_run(world / "out" / "experiment.zip", folder.name, folder, None)
    check_whole(folder)
    rows = [json.loads(line) for line in (folder / SCORED).read_text().splitlines()]
    scores = folder / SCORED.replace("images.jsonl", "scores.json")
    told = json.loads(scores.read_text())
    for message, lie in LIES.items():
        changed = copy.deepcopy(rows)
        lie(changed)
        (folder / SCORED).write_text("".join(f"{json.dumps(row)}\n" for row in changed))
        with pytest.raises(ResultError):
            check_whole(folder)
        results = comparison.read_results(scores.parent)
        if message != "expected results":
            sums = comparison.add_up(results).compute(True).to_dict()
            scores.write_text(json.dumps({**told, **sums}))
        with pytest.raises(ResultError, match=message):
            check_whole(folder)
        scores.write_text(json.dumps(told))
    (folder / SCORED).write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    check_whole(folder)
    scores.write_text(json.dumps({**told, "protocol": "clean"}))
    with pytest.raises(ResultError, match="protocol"):
        check_whole(folder)
    record_property("tried", 2 * len(LIES) + 1)


@pytest.mark.fault("numbers: a record that contradicts itself")
@pytest.mark.parametrize("seed", [1, "0", True, None])
def test_a_record_of_another_seed_is_refused(tmp_path, seed):
    experiment = load_experiment("cub10_lite0")
    entry, first = experiment.runs[0]
    with zipfile.ZipFile(experiment.record) as old:
        own = {name: old.read(name) for name in old.namelist() if name.startswith("none-0/")}
    told = json.loads(own["none-0/training.json"])
    own["none-0/training.json"] = json.dumps({**told, "seed": seed}).encode()
    with zipfile.ZipFile(tmp_path / "forged.zip", "w", zipfile.ZIP_DEFLATED) as new:
        for name, content in own.items():
            new.writestr(name, content)
    folder = tmp_path / "none-0"
    folder.mkdir()
    recipe = prepare_recipe(entry.recipe.change(seed=first), torch.device("cpu"))
    recipe = recipe.change(precision=entry.recipe.precision)
    with pytest.raises(ResultError, match=f"seed 0 but training.json has {seed!r}"):
        unpack_run(tmp_path / "forged.zip", "none-0", folder, recipe)


@pytest.mark.fault("numbers: a record that contradicts itself")
def test_methods_share_the_predicted_classes(tmp_path):
    """A wrong class in place of another wrong one fits the rank, but not the other method."""
    folder = tmp_path / "none-0"
    folder.mkdir()
    unpack_run(load_experiment("cub10_lite0").record, "none-0", folder, None)
    path = folder / "gradcampp-32" / "scored" / "images.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    row = next(row for row in rows if row["rank"] > 0)
    others = {row["predicted"], row["map_class"]}
    row["predicted"] = next(number for number in range(10) if number not in others)
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    with pytest.raises(ResultError, match="predicted classes and ranks"):
        check_whole(folder)
