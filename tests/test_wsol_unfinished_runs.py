"""Weights of a training that has not ended are told of, and no figures are made of them."""

import json
import shutil
import warnings

import pytest
from small_objects import FLAGS, fill

import wsol
from tdam import load_checkpoint
from tdam.events import Events
from tdam.unfinished import UnfinishedRunWarning, describe_unfinished
from wsol.errors import ArgumentError
from wsol.training.record import add_session, read_record

pytestmark = pytest.mark.slow

SHORT = {"epochs": 2, "size": 64, "batch_size": 8, "lr": 0.0005, "workers": 0}
TOLD = "the training has not ended (epoch 1 of 2)"


class Stop(Events):
    """Somebody who stops a training after its first epoch."""

    def epoch(self, history, best):
        if len(history) == 2:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def objects(tmp_path_factory):
    """A folder a class, so few images that a training takes a moment."""
    return fill(tmp_path_factory.mktemp("few") / "data", 3)


@pytest.fixture(scope="module")
def begun(objects, tmp_path_factory):
    """The folder of a training that was stopped after the first of two epochs."""
    out = tmp_path_factory.mktemp("begun") / "run"
    with pytest.raises(KeyboardInterrupt):
        wsol.train(objects, out, events=Stop(), **SHORT)
    return out


@pytest.fixture(
    params=["file", *(pytest.param(n, marks=pytest.mark.slow) for n in ("folder", "link"))]
)
def weights(request, begun, tmp_path):
    if request.param == "link":
        (tmp_path / "link.safetensors").symlink_to(begun / "model.safetensors")
        return tmp_path / "link.safetensors"
    return begun if request.param == "folder" else begun / "model.safetensors"


@pytest.fixture
def photo(objects):
    return objects / "blue box" / "0.png"


def write_boxes(objects, path):
    categories = [{"id": 1, "name": "blue box"}]
    images = [{"id": i, "file_name": f"{i}.png", "width": 64, "height": 48} for i in range(3)]
    boxes = [{"id": i, "image_id": i, "category_id": 1, "bbox": [0, 0, 64, 48]} for i in range(3)]
    content = {"images": images, "annotations": boxes, "categories": categories}
    path.write_text(json.dumps(content))
    return path


@pytest.mark.fault("numbers: weights of an unfinished training")
def test_commands_that_take_them_say_so(weights, objects, photo, run, tmp_path, record_property):
    boxes = write_boxes(objects, tmp_path / "boxes.json")
    root = ("--root", objects / "blue box")
    calls = [
        ("predict", photo, "--checkpoint", weights),
        ("predict", photo, "--model", "efficientnet_lite0", "--weights", weights),
        ("shift", photo, "--checkpoint", weights, "--out", tmp_path / "shift"),
        ("evaluate", boxes, "--checkpoint", weights, *root, "--allow-overlap"),
        (
            "calibrate",
            weights,
            "--boxes",
            boxes,
            *root,
            "--out",
            tmp_path / "c.safetensors",
            "--allow-overlap",
        ),
    ]
    for command in calls:
        code, _, err = run(*command)
        told = [line for line in err.splitlines() if "not ended" in line]
        assert len(told) == 1, (command, err)
        assert told[0].startswith(f"{weights}: {TOLD}")
        assert "--resume" in told[0]
        assert code == 0, err
    record_property("tried", len(calls))


@pytest.mark.fault("numbers: weights of an unfinished training")
def test_from_python_a_warning_tells(weights, photo):
    with pytest.warns(UnfinishedRunWarning, match="epoch 1 of 2"):
        model, _ = load_checkpoint(weights)
    assert len(wsol.Localizer(model)(photo).boxes) <= 1


@pytest.mark.fault("numbers: weights of an unfinished training")
def test_no_figures_are_made_of_them(weights, objects, run, tmp_path):
    boxes = write_boxes(objects, tmp_path / "boxes.json")
    root = ("--root", objects / "blue box")
    code, _, err = run("benchmark", boxes, "--run", f"a={weights}", *root)
    assert (code, err.count("\n")) == (2, 1)
    assert TOLD in err
    with pytest.raises(ArgumentError, match="epoch 1 of 2"):
        wsol.benchmark(boxes, {"a": weights}, root[1])
    out = tmp_path / "out"
    code, _, err = run("train", objects, "--out", out, "--weights", weights, *FLAGS)
    assert (code, TOLD in err) == (2, True)
    assert not out.exists()
    options = ("--set", "targets=plain", "--attention", "tdam")
    code, _, err = run("train", objects, "--out", out, "--weights", weights, *options, *FLAGS)
    assert (code, TOLD in err) == (2, True)


@pytest.mark.fault("numbers: weights of an unfinished training")
def test_reproduce_refuses_them(begun, objects, run, tmp_path):
    boxes = write_boxes(objects, tmp_path / "boxes.json")
    (tmp_path / "few.toml").write_text(
        'name = "few"\ndescription = "d"\nbase = "finetune"\nseeds = [0]\n'
        '[[models]]\nname = "a"\n[scoring]\nthresholds = ["oracle"]\n'
    )
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "a-0").symlink_to(begun)
    code, _, err = run(
        "reproduce", tmp_path / "few.toml", "--data", boxes, "--root", objects / "blue box",
        "--weights", tmp_path / "weights", "--out", tmp_path / "out",
    )  # fmt: skip
    assert (code, TOLD in err) == (2, True), err


@pytest.mark.fault("numbers: weights of an unfinished training")
def test_a_finished_training_is_silent(begun, objects, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(begun, out)
    assert TOLD in describe_unfinished(out / "model.safetensors")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UnfinishedRunWarning)
        wsol.train(objects, out, resume=True, workers=0)
        load_checkpoint(out)
    assert describe_unfinished(out) == ""


@pytest.mark.fault("numbers: a run's record")
def test_going_on_adds_to_the_record(begun, objects, run, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(begun, out)
    record = read_record(out)
    record["versions"]["torch"] = "1.0"
    for each in (record, record["sessions"][0]):
        each["revision"], each["machine"] = "first", {**record["machine"], "threads": 99}
    record["sessions"][0]["versions"]["torch"] = "1.0"
    (out / "run.json").write_text(json.dumps(record))
    wsol.train(objects, out, resume=True, workers=0)
    now = read_record(out)
    assert (now["versions"]["torch"], now["machine"]["threads"]) == ("1.0", 99)
    assert [each["command"] for each in now["sessions"]] == ["train", "train"]
    assert now["sessions"][0]["revision"] == now["revision"] == "first"
    assert now["sessions"][1]["step"] > now["sessions"][0]["step"] == 0
    assert now["sessions"][1]["versions"]["torch"] != "1.0"
    boxes = write_boxes(objects, tmp_path / "boxes.json")
    code, _, err = run(
        "calibrate", out, "--boxes", boxes, "--root", objects / "blue box", "--allow-overlap"
    )
    assert code == 0, err
    then = read_record(out)
    assert then["sessions"][:2] == now["sessions"]
    assert then["sessions"][2]["command"] == "calibrate"
    assert then["sessions"][2]["threshold"] == load_checkpoint(out)[0].threshold
    assert then["versions"] == now["versions"]


@pytest.mark.fault("numbers: a run's record")
def test_records_of_earlier_versions_know_one_session():
    old = {"versions": {"torch": "1.0"}, "machine": {"device": "cpu"}, "revision": None}
    new = add_session(old, "train", "cpu", step=7)
    assert new["sessions"][0] == {"command": "train", "step": 0, **old}
    assert new["sessions"][1]["step"] == 7
    assert old.items() <= new.items()


@pytest.mark.fault("numbers: other weights to start from")
@pytest.mark.parametrize("targets", ["labels", pytest.param("plain", marks=pytest.mark.slow)])
def test_going_on_asks_for_the_weights_it_started_from(begun, objects, run, tmp_path, targets):
    start, out = tmp_path / "start.safetensors", tmp_path / "run"
    shutil.copy(begun / "model.safetensors", start)
    options = {"attention": "tdam", "targets": "plain"} if targets == "plain" else {}
    with pytest.raises(KeyboardInterrupt):
        wsol.train(objects, out, weights=str(start), events=Stop(), **options, **SHORT)
    assert len(read_record(out)["start_sha256"]) == 64
    good = start.read_bytes()
    start.write_bytes(good.replace(b'"threshold\\": null', b'"threshold\\": 0.33'))
    assert start.read_bytes() != good
    code, _, err = run("train", objects, "--out", out, "--resume", "--workers", 0)
    assert (code, err.count("\n")) == (2, 1), err
    assert str(start) in err
    assert "has changed since" in err
    start.write_bytes(good)
    code, _, err = run("train", objects, "--out", out, "--resume", "--workers", 0)
    assert code == 0, err
    start.unlink()  # what is gone has not changed, and the checkpoints have all that is needed
    code, _, err = run("train", objects, "--out", out, "--resume", "--workers", 0)
    assert code == 0, err


@pytest.mark.fault("numbers: other weights to start from")
def test_pretrained_weights_are_part_of_a_run(begun, objects, run, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(begun, out)
    record = read_record(out)
    assert len(record["start_sha256"]) == 64
    record["start_sha256"] = "0" * 64
    (out / "run.json").write_text(json.dumps(record))
    code, _, err = run("train", objects, "--out", out, "--resume", "--workers", 0)
    assert (code, "pretrained has changed since" in err) == (2, True)
    del record["start_sha256"]  # of an earlier version, which did not know
    (out / "run.json").write_text(json.dumps(record))
    code, _, err = run("train", objects, "--out", out, "--resume", "--workers", 0)
    assert code == 0, err
