"""`wsol reproduce`: what it trains, goes on with, scores, averages over seeds and compares."""

import csv
import json
import shutil
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest
from shapes import make_shapes
from small_experiments import TOML, make_world, read_rows, reproduce

from eval.statistics import image_weights
from wsol import folder_lock
from wsol.benchmarking import reproduction
from wsol.benchmarking.record import list_recorded


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Data, experiment, weights, and a folder in which they were scored, with what that said."""
    return make_world(tmp_path_factory.mktemp("reproduce"))


def read_images(out, run, name="scored"):
    folder = out / "scores" / run / "layercam-16" / name
    lines = (folder / "images.jsonl").read_text().splitlines()
    return {row["id"]: row for row in map(json.loads, lines)}


def hit(row, place):
    return any(start <= place < stop for start, stop in row["hits"]["largest"]["50"])


def test_the_table_says_what_the_images_say(world):
    code, printed, told = json.loads((world / "said.json").read_text())
    assert code == 0, told
    rows = read_rows(world / "out")
    assert list(rows) == [(m, t) for m in ("none", "tdam_joint") for t in ("val", "0.2", "oracle")]
    # At a fixed threshold everything can be added up by hand, image by image.
    none = [read_images(world / "out", f"none-{seed}") for seed in (0, 1)]
    joint = read_images(world / "out", "tdam_joint-1")
    right = {i: np.mean([hit(run[i], 200) for run in none]) for i in joint}
    found = rows["none", "0.2"]["values"]["gt_known_loc"]
    assert 0 < found["mean"] < 100
    assert found["mean"] == pytest.approx(100 * np.mean(list(right.values())))
    assert found["by_seed"] == pytest.approx(
        [100 * np.mean([hit(row, 200) for row in run.values()]) for run in none]
    )
    # Only the seed that both have is compared.
    gaps = np.array([float(hit(joint[i], 200)) - float(hit(none[1][i], 200)) for i in joint])
    weights = np.stack([image_weights(i) for i in joint], axis=1).astype(float)
    kept = weights[weights.sum(axis=1) > 0]
    low, high = np.percentile(100 * (kept @ gaps) / kept.sum(axis=1), [2.5, 97.5])
    compared = rows["tdam_joint", "0.2"]
    assert compared["compared"] == [1]
    assert compared["values"]["gt_known_loc"]["difference"]["points"] == pytest.approx(
        100 * gaps.mean()
    )
    assert compared["values"]["gt_known_loc"]["difference"]["interval95"] == pytest.approx(
        [low, high]
    )
    assert rows["none", "0.2"]["values"]["gt_known_loc"]["difference"] is None
    # The rule val takes each seed's best on its own val images.
    for seed, level in enumerate(rows["none", "val"]["levels"]):
        folder = world / "out" / "scores" / f"none-{seed}" / "layercam-16"
        chosen = json.loads((folder / "chosen-on" / "scores.json").read_text())
        assert level == chosen["max_box_acc_threshold"]
        scores = json.loads((folder / "scored" / "scores.json").read_text())
        assert scores["threshold"] == {"rule": "val", "value": level, "chosen_on": "val"}
        value = rows["none", "val"]["values"]["top1_loc"]["by_seed"][seed]
        assert value == pytest.approx(scores["top1_loc"])
    assert "tdam_joint vs none, Top-1 Loc, threshold val: " in printed
    assert "1 seed, 12 images: " in printed


def test_what_it_leaves_behind(world):
    _, printed, told = json.loads((world / "said.json").read_text())
    out = world / "out"
    names = {path.name for path in out.glob("[!.]*")}
    assert names == {
        "experiment.toml", "experiment.zip", "scores", "report", "table.md", "table.csv",
        "results.json",
    }  # fmt: skip
    assert "3 runs, 0 to train" in told
    assert "nothing left" in told
    text = (out / "table.md").read_text()
    scores, differences = text.split("## Differences from none")
    assert "| Top-1 Loc, val | Top-1 Loc, 0.2 | Top-1 Loc, oracle | Top-5 Loc, val |" in scores
    assert "| none | 0, 1 |" in scores
    assert "| tdam\\_joint | 1 |" in scores
    assert "| tdam\\_joint | 1 |" in differences
    with (out / "table.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 6 * 6
    assert {line["score"] for line in lines} >= {"top1_loc", "top1_cls", "max_box_acc_v2"}
    page = (out / "report" / "index.html").read_text()
    assert "tdam_joint vs none" in page
    assert page.count("<circle") == 2 * 3 * 2  # two scores, three rules: a mean and a seed each
    assert (out / "report" / "pictures" / "index.html").is_file()
    assert "Differences from none" in printed


def test_expecting_trains_nothing(world, tmp_path):
    """What needs a training is left out, unless the models are named or their runs have ended."""
    shutil.copytree(world / "data", tmp_path / "data")
    value = read_rows(world / "out")["none", "0.2"]["values"]["gt_known_loc"]["by_seed"][0]
    text = (
        TOML
        + f"""
[[models]]
name = "kept"
checkpoint = "{world / "weights" / "none-0.safetensors"}"
[[expected]]
model = "kept"
score = "gt_known_loc"
threshold = 0.2
value = {value}
tolerance = 0.1
"""
    )
    code, printed, told = reproduce(tmp_path, tmp_path / "out", "--expect", text=text)
    assert code == 0, told
    assert "not trained yet and left out: none, tdam_joint" in told
    assert "1 of 1 expected values found" in printed
    assert [model for model, _ in read_rows(tmp_path / "out")] == ["kept"] * 3
    assert not (tmp_path / "out" / "runs").exists()
    missing = TOML + '[[expected]]\nmodel = "none"\nscore = "top1_loc"\nvalue = 1\ntolerance = 1\n'
    for text, message in ((missing, "has no weights in"), (TOML, "carries no expected values yet")):
        code, _, told = reproduce(tmp_path, tmp_path / "new", "--expect", text=text)
        assert code == 2
        assert message in told


@pytest.mark.slow
def test_expected_values_are_checked(world, tmp_path):
    rows = read_rows(world / "out")
    shutil.copytree(world / "data", tmp_path / "data")
    shutil.copytree(world / "weights", tmp_path / "weights")
    (tmp_path / "weights" / "none-1.safetensors").unlink()
    options = ("--weights", tmp_path / "weights", "--expect")
    code, _, told = reproduce(tmp_path, tmp_path / "out", *options, text=TOML)
    assert code == 2
    assert "--expect: experiment shapes carries no expected values yet" in told
    value = rows["tdam_joint", "val"]["values"]["gt_known_loc"]["mean"]
    text = TOML
    for model, number in (("tdam_joint", value), ("none", 12.5)):
        text += f"""
[[expected]]
model = "{model}"
score = "gt_known_loc"
threshold = "val"
value = {number}
tolerance = 0.1
"""
    # A run that fails leaves the others alone.
    code, printed, told = reproduce(tmp_path, tmp_path / "out", *options, text=text)
    assert code == 1
    assert "failed: none-1: " in told
    assert "none-1.safetensors: no such file" in told
    assert "none, gt_known_loc, threshold val: expected 12.5 but it was not measured" in told
    assert "1 of 2 expected values found" in printed
    assert read_rows(tmp_path / "out")["none", "val"]["seeds"] == [0]
    some = (*options, "--models", "none", "--seeds", "0")
    code, _, told = reproduce(tmp_path, tmp_path / "out", *some)
    assert (code, "no expected values for these models" in told) == (2, True)
    code, printed, told = reproduce(tmp_path, tmp_path / "out", *options, "--models", "tdam_joint")
    assert code == 0, told
    assert "1 of 1 expected values found" in printed
    assert "1 expected values are of models or seeds that are left out" in told
    assert "score " not in told  # kept


def times(out):
    kept = [*out.glob("runs/*/*.safetensors"), *out.glob("scores/*/*/*/images.jsonl")]
    return {path: path.stat().st_mtime_ns for path in kept}


@pytest.mark.slow
def test_what_is_missing_is_trained_and_nothing_twice(tmp_path):
    make_shapes(tmp_path / "data")
    out = tmp_path / "out"
    part = ("--models", "none", "--seeds", 1)
    code, _, told = reproduce(tmp_path, out, *part, text=TOML)
    assert code == 0, told
    assert "1 run, 1 to train; 1 training epoch and 1 scoring left" in told
    assert "9 training images of 3 classes" in told
    assert not (out / "cache").exists()
    before, rows = times(out), read_rows(out)
    code, _, told = reproduce(tmp_path, out, *part)
    assert (code, "1 run, 0 to train" in told) == (0, True)
    assert times(out) == before
    # As if it had been cut off before its end.
    cut = out / "runs" / "none-1"
    record = json.loads((cut / "run.json").read_text())
    del record["result"]
    (cut / "run.json").write_text(json.dumps(record))
    weights = (cut / "model.safetensors").read_bytes()
    (cut / "model.safetensors").write_bytes(b"")
    shutil.rmtree(sorted((cut / "checkpoints").iterdir())[-1])
    code, _, told = reproduce(tmp_path, out, *part)
    assert code == 0, told
    assert "1 run, 1 to train; 1 training epoch and 1 scoring left" in told
    assert (cut / "model.safetensors").read_bytes() == weights
    assert read_rows(out) == rows
    after = times(out)
    assert {path.parent for path in after if after[path] != before[path]} == {cut}
    # Neither another recipe nor another experiment is one to go on with.
    for old, new, message in (
        ("batch_size = 4", "batch_size = 8", "batch_size differ"),
        ("per_class = 3", "per_class = 2", "per_class differ"),
        ('"shapes"', '"others"', "holds experiment 'shapes'"),
    ):
        code, _, told = reproduce(tmp_path, out, *part, text=TOML.replace(old, new))
        assert code == 2
        assert told.splitlines()[-1].startswith("Error: Invalid value for --out: ")
        assert message in told
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    code, _, told = reproduce(tmp_path, tmp_path / "mine", text=TOML)
    assert (code, "holds no experiment" in told) == (2, True)
    assert times(out) == after


@pytest.mark.slow
def test_processes_share_a_folder(world, tmp_path, monkeypatch):
    """A run that another process trains is left to it, and one that it has ended is not redone."""
    (tmp_path / "data").symlink_to(world / "data")
    runs = tmp_path / "out" / "runs"
    monkeypatch.setattr(folder_lock, "WAIT", 0.1)
    code = "import sys, time; from pathlib import Path; from wsol.folder_lock import hold_folder\n"
    code += "with hold_folder(Path(sys.argv[1])): print(1, flush=True); time.sleep(600)"
    command = [sys.executable, "-c", code, str(runs / "none-0")]
    other = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert other.stdout.read(1)
        (tmp_path / "out" / "experiment.toml").write_text(TOML)
        code, _, told = reproduce(tmp_path, tmp_path / "out", "--models", "none", text=TOML)
    finally:
        other.kill()
        other.communicate()
    assert code == 1
    assert f"failed: none-0: {runs / 'none-0'}: another process works here" in told
    assert [path.parent.name for path in runs.glob("*/model.safetensors")] == ["none-1"]
    done = (runs / "none-1" / "model.safetensors").stat().st_mtime_ns
    (runs / "none-1").rename(tmp_path / "none-1")

    def train_while_the_other_ends(*arguments, **options):
        train_one(*arguments, **options)
        if arguments[0].name == "none-0":
            (tmp_path / "none-1").rename(runs / "none-1")

    train_one = reproduction.train_run
    monkeypatch.setattr(reproduction, "train_run", train_while_the_other_ends)
    code, _, told = reproduce(tmp_path, tmp_path / "out", "--models", "none")
    assert code == 0, told
    assert "2 runs, 2 to train" in told
    assert "nothing left" in told
    assert (runs / "none-1" / "model.safetensors").stat().st_mtime_ns == done
    assert not [*runs.glob("*/.lock")]


@pytest.mark.slow
def test_an_interrupted_experiment_goes_on(data, tmp_path):
    """Real images; interrupted in its first training, then finished."""
    text = TOML.replace("per_class = 3", "per_class = 5").replace("size = 32", "size = 64")
    (tmp_path / "shapes.toml").write_text(text)
    flags = ("--data", data / "imagenet10", "--out", tmp_path / "out", "--seeds", 1)
    parts = (sys.executable, "-m", "wsol", "reproduce", tmp_path / "shapes.toml", *flags)
    command = [str(part) for part in parts]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if line.startswith("epoch 0"):
            process.send_signal(signal.SIGINT)
            break
    told = process.stderr.read()
    assert process.wait(timeout=120) == 130
    assert told.splitlines()[-1].startswith("Interrupted; the same command goes on from what is")
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "1 seed, 400 images: " in done.stdout


def copy_world(world, home):
    shutil.copytree(world / "out", home / "out")
    shutil.copytree(world / "weights", home / "weights")
    (home / "data").symlink_to(world / "data")
    return home / "out", home / "weights" / "none-1.safetensors"


@pytest.mark.slow
@pytest.mark.fault("numbers: stale scores of a run that failed")
@pytest.mark.parametrize(
    ("break_weights", "message"),
    [
        pytest.param(lambda file: file.unlink(), "no such file", id="gone"),
        pytest.param(
            lambda file: file.write_bytes(file.read_bytes()[:999]),
            "none-1.safetensors",
            id="unreadable",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            lambda file: shutil.copy(file.with_stem("tdam_joint-1"), file),
            "attention",
            id="of another network",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_run_that_fails_leaves_the_record(world, tmp_path, break_weights, message):
    out, file = copy_world(world, tmp_path)
    flags = ("--weights", tmp_path / "weights")
    break_weights(file)
    code, _, told = reproduce(tmp_path, out, *flags, "--models", "none", text=TOML)
    assert code == 1
    assert message in told
    assert f"left out of {out / 'experiment.zip'}: run none-1, which failed" in told
    assert list_recorded(out / "experiment.zip") == ["none-0", "tdam_joint-1"]
    assert "## 1 run failed: in no value below" in (out / "table.md").read_text()
    assert "| none-1 | " in (out / "table.md").read_text()
    with (out / "table.csv").open(newline="") as lines:
        *values, last = csv.DictReader(lines)
    assert {line["failure"] for line in values} == {""}
    assert message in last["failure"]
    assert {key: text for key, text in last.items() if text and key != "failure"} == {
        "model": "none",
        "seeds": "1",
    }
    # Nor does it come back with a command that does not try it.
    code, _, told = reproduce(tmp_path, out, *flags, "--models", "tdam_joint")
    assert code == 0, told
    assert list_recorded(out / "experiment.zip") == ["none-0", "tdam_joint-1"]
    shutil.copy(world / "weights" / file.name, file)
    code, _, told = reproduce(tmp_path, out, *flags)
    assert code == 0, told
    assert "score " not in told  # what was kept is of these weights
    for name in ("table.md", "table.csv"):
        assert (out / name).read_bytes() == (world / "out" / name).read_bytes()
    assert (out / "experiment.zip").read_bytes() == (world / "out/experiment.zip").read_bytes()


@pytest.mark.fault("numbers: stale scores of a run that failed")
def test_a_run_that_another_process_holds_stays_in_the_record(world, tmp_path, monkeypatch):
    out, file = copy_world(world, tmp_path)
    monkeypatch.setattr(folder_lock, "WAIT", 0.1)
    text = f'{TOML}[[models]]\nname = "kept"\ncheckpoint = "{file}"\n'
    begun, done = threading.Event(), threading.Event()

    def work():
        with folder_lock.hold_folder(out / "runs" / "none-0"):
            begun.set()
            done.wait(60)

    other = threading.Thread(target=work)
    other.start()
    try:
        assert begun.wait(10)
        flags = ("--models", "none,kept", "--seeds", 0)
        code, _, told = reproduce(tmp_path, out, *flags, text=text)
    finally:
        done.set()
        other.join()
    assert code == 1
    assert "failed: none-0: " in told
    assert "another process works here" in told
    assert "left out" not in told
    assert "none-0" in list_recorded(out / "experiment.zip")
