import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from itertools import pairwise

import numpy as np
import pytest
import torch
from listeners import Counter
from PIL import Image
from small_objects import COLOURS, FLAGS, boxed, fill

from eval.coco import to_coco
from eval.manifest import ManifestError
from tdam import load_checkpoint
from tdam.training import Recipe
from tdam.training.recipe import load_recipe
from wsol.training.data import load_training_data
from wsol.training.network import create_network
from wsol.training.record import read_record
from wsol.training.run_events import announce
from wsol.training.run_files import saved_recipe
from wsol.training.train import prepare_recipe
from wsol.training.validation import Validator


def test_train_says_what_it_does(trained, objects):
    out, printed, told = trained
    assert "36 training images of 3 classes; validation: 6 of them held out" in told
    assert "result: best validation accuracy (image labels only)" in told
    assert told.count("validation: accuracy") == 5
    assert f"next: wsol predict IMAGES --checkpoint {out / 'model.safetensors'}" in printed
    names = {path.name for path in out.iterdir()}
    assert names >= {"recipe.toml", "run.json", "log.csv", "curves.png", "model.safetensors",
                     "validation.txt", "checkpoints", "tensorboard"}  # fmt: skip
    assert "cache" not in names
    record = read_record(out)
    assert record["classes"] == list(COLOURS)
    assert (record["training_images"], record["validation_images"]) == (30, 6)
    assert len(record["data_sha256"]) == 64
    assert record["result"]["best"]["epoch"] >= 1
    held = (out / "validation.txt").read_text().split("\n")[:-1]
    assert sorted(name.split("/")[0] for name in held) == sorted([*COLOURS, *COLOURS])
    assert saved_recipe(out).size == 64
    picture = np.asarray(Image.open(out / "curves.png").convert("RGB"))
    assert picture.std() > 10


def test_events_hold_what_the_log_holds(trained):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    out, _, _ = trained
    events = EventAccumulator(str(out / "tensorboard"))
    events.Reload()
    found = [(each.step, each.value) for each in events.Scalars("val/accuracy")]
    rows = [line.split(",") for line in (out / "log.csv").read_text().splitlines()]
    place = rows[0].index("val_accuracy")
    wanted = [(int(row[0]), float(row[place])) for row in rows[1:]]
    assert [step for step, _ in found] == [0, 1, 2, 3, 4]
    np.testing.assert_allclose([v for _, v in found], [v for _, v in wanted], rtol=1e-6)


def test_weights_are_all_that_predict_and_evaluate_need(trained, objects, run, tmp_path):
    out, _, _ = trained
    new = fill(tmp_path / "new", 2, first=50)
    code, printed, _ = run(
        "predict", new, "--checkpoint", out, "--class-from-folder", "--format", "yolo", "--format",
        "coco", "--out", tmp_path / "boxes",
    )  # fmt: skip
    assert code == 0
    lines = [line.split("\t") for line in printed.splitlines()]
    assert [line[1] for line in lines] == [name for name in COLOURS for _ in range(2)]
    assert "sea-green" in (tmp_path / "boxes" / "yolo" / "data.yaml").read_text()
    categories = json.loads((tmp_path / "boxes" / "coco_images.json").read_text())["categories"]
    assert [each["name"] for each in categories] == list(COLOURS)
    code, printed, _ = run("predict", new, "--checkpoint", out / "model.safetensors")
    guessed = [line.split("\t")[1] for line in printed.splitlines()]
    assert guessed == [name for name in COLOURS for _ in range(2)]  # three colours are not hard
    split = boxed(new)
    (tmp_path / "coco.json").write_text(json.dumps(to_coco(split)))
    code, printed, err = run(
        "evaluate", tmp_path / "coco.json", "--root", new, "--checkpoint", out
    )  # fmt: skip
    assert code == 0, err
    assert "efficientnet_lite0, gradcampp: 6 images" in printed
    assert "misclassified: 0 images" in printed


def test_resume_of_a_finished_run_changes_nothing(trained, objects, run, tmp_path):
    out = tmp_path / "copy"
    shutil.copytree(trained[0], out)
    before = (out / "model.safetensors").read_bytes()
    code, _, _ = run("train", objects, "--out", out, "--resume", "--workers", 0)
    assert code == 0
    assert (out / "model.safetensors").read_bytes() == before
    code, _, err = run("train", objects, "--out", out, "--resume", "--lr", 0.5)
    assert code == 2
    assert "lr differ" in err
    code, _, err = run("train", fill(tmp_path / "other", 3), "--out", out, "--resume")
    assert code == 2
    assert "images differ" in err
    code, _, err = run("train", objects, "--out", out)
    assert code == 2
    assert "--force" in err


@pytest.mark.slow
@pytest.mark.fault("runs: a training is killed")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_killed_runs_go_on(trained, objects, tmp_path, number):
    out = tmp_path / "run"
    command = [sys.executable, "-m", "wsol", "train", objects, "--out", out, *FLAGS]
    process = subprocess.Popen([str(part) for part in command], stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 120
    while time.monotonic() < until and not (out / "checkpoints" / "step-000000004").is_dir():
        time.sleep(0.02)
    os.kill(process.pid, number)
    told = process.communicate(timeout=60)[1]
    if number is signal.SIGINT and process.returncode:
        assert process.returncode == 130
        assert told.splitlines()[-1] == f"Interrupted; --resume goes on from what is saved in {out}"
    again = [*command[:5], "--out", out, "--resume", "--workers", "0"]
    done = subprocess.run([str(p) for p in again], check=True, capture_output=True, text=True)
    rows = list(csv.DictReader((out / "log.csv").open()))
    ends = [float(row["seconds"]) for row in rows]
    rates = [f"{30 / (end - start):.1f} images/s" for start, end in pairwise(ends)]
    shown = re.findall(r"[0-9.]+ images/s", done.stderr)
    assert shown
    assert shown == rates[-len(shown) :]  # of whole epochs, the one that was cut off among them
    assert (out / "model.safetensors").read_bytes() == (
        trained[0] / "model.safetensors"
    ).read_bytes()


@pytest.mark.slow
def test_two_processes_learn_what_one_does(objects, tmp_path):
    flags = [*FLAGS, "--set", "optimizer=sgd", "--lr", "0.002", "--set", "head_lr=1"]
    found, first = [], []
    for name, starter in (
        ("alone", ["-m", "wsol"]),
        ("two", ["-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "wsol"]),
    ):
        out = tmp_path / name
        command = [sys.executable, *starter, "train", objects, "--out", out, *flags]
        done = subprocess.run(
            [str(p) for p in command], capture_output=True, text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("result: epoch") == 1
        assert done.stderr.count("epoch 4/4") == 1
        first.append(next(csv.DictReader((out / "log.csv").open())))
        found.append(load_checkpoint(out)[0].state_dict())
    for name, tensor in found[0].items():
        torch.testing.assert_close(tensor, found[1][name], atol=1e-4, rtol=1e-3, msg=name)
    measured = [{key: row[key] for key in row if key.startswith("val_")} for row in first]
    assert measured[0] == measured[1]  # before any training, by all processes


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--set", "lrr=1"), "a recipe to have keys among name, model"),
        (("--set", "epoch=1"), "but got epoch; near it: epochs"),
        (("--set", "warm_up=1", "--set", "sizes=9"), "but got sizes, warm_up; near it: size, "),
        (("--set", "zzzzzz=1"), "but got zzzzzz\n"),
        (("--pick-threshold", "val"), "--pick-threshold: Expected pick_threshold to be another "),
        (("--select", "localization"), "which needs boxes of validation images: "),
        (("--set", "select=localization"), "--select: Expected select to be another than "),
        (("--recipe", "nothing"), "one of add_attention, cub_resnet50, finetune"),
        (("--model", "resnet5"), "model to be one of"),
        (("--attention", "more"), "attention to be one of"),
        (("--epochs", "0"), "epochs to be from 1"),
        (("--pick-threshold", "test"), "pick_threshold to be one of none, val, unlabelled"),
        (("--resume",), "holds no run"),
        (("--root", "nowhere"), "no such folder"),
    ],
)
def test_wrong_use(run, objects, tmp_path, flags, message):
    code, _, err = run("train", objects, "--out", tmp_path / "run", "--workers", 0, *flags)
    assert code == 2
    assert err.startswith("Error: ")
    assert err.count("\n") == 1
    assert message in err


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (8, "at least 24 training images but there are 21 of 24, 3 of them held out"),
        (9, None),
        (2, "at least 24 training images but there are 3 of 6, 3 of them held out"),
    ],
)
def test_too_few_images_for_a_threshold_are_told_first(tmp_path, count, said):
    data, heard = load_training_data(fill(tmp_path / "few", count)), Counter()
    announce(data, load_recipe("finetune").change(pick_threshold="unlabelled"), heard)
    told = [line for line in heard.said if "no threshold will be stored" in line]
    assert len(told) == (said is not None)
    assert all(said in line for line in told)
    heard.said.clear()
    announce(data, load_recipe("finetune"), heard)
    assert not any("no threshold" in line for line in heard.said)


def test_data_that_cannot_be_trained_on(tmp_path, run):
    one = fill(tmp_path / "one", 3)
    for name in list(COLOURS)[1:]:
        shutil.rmtree(one / name)
    with pytest.raises(ManifestError, match="at least two classes to train on but got 'blue box'"):
        load_training_data(one)
    broken = fill(tmp_path / "broken", 3)
    for path in (broken / "red_ball").iterdir():
        path.write_bytes(b"no image")
    with pytest.raises(ManifestError, match="class 'red_ball': expected an image that can be read"):
        load_training_data(broken)
    empty = fill(tmp_path / "empty", 3)
    (empty / "nothing").mkdir()
    code, _, err = run("train", empty, "--out", tmp_path / "run")
    assert code == 1
    assert "nothing: expected a class folder to hold images but got an empty folder" in err
    with pytest.raises(ManifestError, match="no such file or folder"):
        load_training_data(tmp_path / "nowhere")


@pytest.mark.slow
def test_force_takes_nothing_but_a_run(trained, objects, run, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(trained[0], out)
    (out / "notes.txt").write_text("mine")
    code, _, _ = run("train", tmp_path / "nowhere", "--out", out, "--force")
    assert code == 2
    code, _, err = run("train", objects, "--out", out, "--force", "--weights", tmp_path / "gone")
    assert code == 1
    assert "gone: no such file" in err
    assert (out / "model.safetensors").is_file()
    code, _, err = run(
        "train", objects, "--out", out, "--force", "--weights", out, "--epochs", 1, "--size", 32,
        "--workers", 0,
    )  # fmt: skip
    assert code == 0, err
    assert (out / "notes.txt").read_text() == "mine"
    assert saved_recipe(out).size == 32
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.txt").write_text("")
    code, _, err = run("train", objects, "--out", tmp_path / "other", "--force")
    assert code == 2
    assert "holds something that is no run" in err


@pytest.mark.parametrize("flag", ["--out", "--cache"])
def test_a_run_stays_out_of_the_data(run, tmp_path, flag):
    data = fill(tmp_path / "data", 3)
    above = f"{tmp_path} exists" if flag == "--out" else "apart from the data"
    for place, message in ((data / "run", "apart from the data"), (tmp_path, above)):
        out = ("--out", tmp_path / "elsewhere") if flag == "--cache" else ()
        code, _, err = run("train", data, flag, place, *out)
        assert code == 2
        assert message in err
        assert sorted(path.name for path in data.iterdir()) == sorted(COLOURS)


@pytest.mark.slow
def test_a_run_goes_on_without_the_weights_it_began_with(trained, objects, run, tmp_path):
    shutil.copytree(trained[0], tmp_path / "first")
    flags = ("--epochs", 1, "--size", 32, "--workers", 0, "--out", tmp_path / "second")
    assert run("train", objects, "--weights", tmp_path / "first", *flags)[0] == 0
    shutil.rmtree(tmp_path / "first")
    assert run("train", objects, "--resume", "--out", tmp_path / "second")[0] == 0


@pytest.mark.slow
def test_a_finished_run_still_names_what_could_not_be_read(tmp_path, run):
    for split, first in (("train", 0), ("val", 50)):
        fill(tmp_path / "data" / split, 3, first)
    (tmp_path / "data" / "val" / "red_ball" / "51.png").write_bytes(b"no image")
    told = [
        run("train", tmp_path / "data", "--epochs", 1, "--size", 32, "--workers", 0, "--out",
            tmp_path / "run", *flags)
        for flags in ((), ("--resume",))
    ]  # fmt: skip
    for code, _, err in told:
        assert code == 1, err
        assert "val/red_ball/51.png: not an image" in err
        assert "1 image could not be read, left out" in err


@pytest.mark.slow
def test_weights_of_other_classes(trained, objects):
    out, _, _ = trained
    recipe = prepare_recipe(Recipe(weights=str(out)), torch.device("cpu"))
    assert recipe.precision == "float32"
    same = create_network(recipe, tuple(COLOURS))
    assert torch.equal(same.classifier.weight, load_checkpoint(out)[0].classifier.weight)
    with pytest.raises(ValueError, match=r"classifier.weight is \(3, 1280\).*leave its class"):
        create_network(recipe, ("a", "b"))
    with pytest.raises(ValueError, match=r"class 0 is 'blue box' in .* and 'red_ball' in the data"):
        create_network(recipe, ("red_ball", "blue box", "sea-green"))
    with pytest.raises(ValueError, match="statistics to keep, but random ones have none"):
        prepare_recipe(Recipe(weights="random", freeze_norms=True), torch.device("cpu"))
    fresh = create_network(recipe.change(new_head=True), ("a", "b"))
    assert not fresh.classifier.weight.any()


def test_attention_starts_where_the_plain_network_is(trained, objects):
    out, _, _ = trained
    found = load_training_data(objects)
    rows = []
    for attention in ("none", "tdam", "se"):
        recipe = Recipe(weights=str(out), attention=attention, size=64)
        network = create_network(recipe, found.class_names)
        rows.append(Validator(found.val, found.root)(network))
        assert any(".top_down." in name for name, _ in network.named_parameters()) == (
            attention == "tdam"
        )
    assert rows[0] == rows[1] == rows[2]
    assert rows[0]["accuracy"] > 50
