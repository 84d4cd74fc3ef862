"""`wsol evaluate` and `wsol compare` from the command line, on the demonstration's photographs."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO

from eval.coco import to_coco
from eval.manifest import load_split
from tdam import create_model, save_checkpoint
from wsol.shipped import manifests_folder

DATA = manifests_folder() / "photos"
ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="files that only Linux has")


def test_results_boxes_maps_and_comparison(run, photos, tmp_path):
    first, second = tmp_path / "cam", tmp_path / "layercam"
    code, out, err = run(
        "evaluate", DATA, "--root", photos, "--threshold", 0.2, "--out", first, "--coco",
        "--format", "coco", "--format", "yolo", "--format", "csv", "--save-maps", "uint8",
    )  # fmt: skip
    assert code == 0
    assert "ap50" in out
    assert "off by at most 0.0039" in err
    rows = [json.loads(line) for line in (first / "images.jsonl").open()]
    truth = COCO(first / "coco_images.json")
    results = truth.loadRes(str(first / "coco_results.json"))
    found = results.loadAnns(results.getAnnIds())
    assert len(found) == len(rows) == 5
    for row, each in zip(rows, found, strict=True):
        x, y, width, height = each["bbox"]
        assert [x, y, x + width, y + height] == pytest.approx(row["box"], abs=0.01)
        assert each["score"] == pytest.approx(row["score"])
        assert truth.loadImgs(each["image_id"])[0]["file_name"].endswith(row["id"])
    assert len(list((first / "yolo" / "labels" / "train").glob("*.txt"))) == 5
    assert np.load(first / "maps" / "coffee.png.npy").dtype == np.uint8

    code, again, _ = run("evaluate", DATA, "--maps", first / "maps", "--threshold", 0.2)
    assert code == 0
    lines = [line for line in out.splitlines() if "GT-known" in line or "MaxBoxAcc" in line]
    assert all(line in again for line in lines)

    code, _, _ = run("evaluate", DATA, "--root", photos, "--threshold", 0.2, "--out", second,
                     "--method", "layercam")  # fmt: skip
    assert code == 0
    target = tmp_path / "difference.json"
    code, out, _ = run("compare", first, second / "images.jsonl", "--json", target)
    assert code == 0
    for part in ("GT-known Loc", "McNemar", "protocol wsoleval", "threshold 0.200, fixed"):
        assert part in out
    each = json.loads(target.read_text())["gt_known_loc"]
    assert each["low"] <= each["second"] - each["first"] <= each["high"]
    assert "rules differ" not in out
    other = tmp_path / "oracle"
    run("evaluate", DATA, "--maps", first / "maps", "--threshold", "oracle", "--out", other)
    code, out, _ = run("compare", first, other)
    assert code == 0
    assert "their rules differ" in out
    shutil.rmtree(other)
    run("evaluate", DATA, "--maps", first / "maps", "--threshold", 0.3, "--out", other)
    code, out, _ = run("compare", first, other)
    assert code == 0
    assert ("threshold 0.300, fixed" in out, "their rules differ" in out) == (True, True)
    code, _, err = run("compare", first, photos)
    assert code == 1
    assert "finished evaluation" in err


@pytest.mark.slow
def test_steps_against_each_other(run, photos, tmp_path):
    network = ("--root", photos, "--checkpoint", "efficientnet_lite0_tdam", "--threshold", 0.3)
    for step in (1, 2):
        code, out, _ = run(
            "evaluate", DATA, *network, "--at-step", step, "--out", tmp_path / f"{step}"
        )
        assert code == 0
        assert f"step {step}" in out
    run("evaluate", DATA, *network, "--out", tmp_path / "last")
    boxes = {}
    for name in ("1", "2", "last"):
        lines = (tmp_path / name / "images.jsonl").open()
        boxes[name] = np.array([json.loads(line)["box"] for line in lines])
    assert boxes["2"] == pytest.approx(boxes["last"])
    assert boxes["1"] != pytest.approx(boxes["2"])
    code, out, _ = run("compare", tmp_path / "1", tmp_path / "2")
    assert code == 0
    assert "GT-known Loc" in out
    code, _, err = run("evaluate", DATA, *network, "--at-step", 3)
    assert code == 2
    assert "--at-step: Expected a step from 1 to 2 but got 3" in err


@pytest.mark.parametrize(
    "flag",
    [("--at-step", 1), ("--model", "resnet50"), ("--method", "cam"), ("--output-stride", 16)],
)
def test_maps_on_disk_need_no_network(run, tmp_path, flag):
    code, _, err = run("evaluate", DATA, "--maps", tmp_path, *flag)
    assert code == 2
    assert f"{flag[0]}: goes with a network" in err


def test_all_protocols_in_one_table(run, photos, tmp_path):
    target = tmp_path / "all.json"
    code, out, _ = run("evaluate", DATA, "--root", photos, "--protocol", "all", "--json", target,
                       "--out", tmp_path / "o")  # fmt: skip
    assert code == 0
    header = next(line for line in out.splitlines() if "wsoleval" in line)
    assert header.split()[-3:] == ["wsoleval", "tdam", "clean"]
    assert "tdam: threshold 0.235, fixed" in out
    assert "wsoleval: threshold" in out
    code, _, err = run("compare", tmp_path / "o", tmp_path / "o" / "tdam")
    assert code == 1
    assert "there are those of clean, tdam, wsoleval in folders below" in err
    assert [each["protocol"] for each in json.loads(target.read_text())] == [
        "wsoleval", "tdam", "clean"
    ]  # fmt: skip


def test_a_protocol_from_a_file(run, photos, tmp_path):
    (tmp_path / "coarse.toml").write_text("interval = 0.1\ndeltas = [50, 75]")
    code, out, _ = run("evaluate", DATA, "--root", photos, "--protocol", tmp_path / "coarse.toml")
    assert code == 0
    for part in ("protocol coarse", "grid 0.1", "box accuracy at 75"):
        assert part in out
    changed = "interval = 0.05\ndeltas = [50, 75]"
    for folder, text in (("one", None), ("two", None), ("three", changed)):
        (tmp_path / folder).mkdir()
        path = tmp_path / folder / "coarse.toml"
        path.write_text(text or (tmp_path / "coarse.toml").read_text())
        run("evaluate", DATA, "--root", photos, "--protocol", path, "--threshold", 0.2, "--out",
            tmp_path / folder / "run")  # fmt: skip
    code, _, err = run("compare", tmp_path / "one" / "run", tmp_path / "two" / "run")
    assert code == 0, err
    code, _, err = run("compare", tmp_path / "one" / "run", tmp_path / "three" / "run")
    assert code == 1
    assert "expected the protocol's interval 0.1, as " in err
    (tmp_path / "coarse.toml").write_text("intervall = 0.1")
    code, _, err = run("evaluate", DATA, "--root", photos, "--protocol", tmp_path / "coarse.toml")
    assert code == 2
    assert "--protocol" in err


def test_a_coco_file_as_data(run, photos, tmp_path):
    path = tmp_path / "photos.json"
    path.write_text(json.dumps(to_coco(load_split(DATA, "test"))))
    options = ("--root", photos, "--class-map", "predicted", "--threshold", 0.2)
    (code, out, _), (_, direct, _) = (run("evaluate", data, *options) for data in (path, DATA))
    assert code == 0
    wanted = [
        line for line in direct.splitlines() if line.lstrip().startswith(("Max", "box", "ba"))
    ]
    assert len(wanted) == 7
    assert all(line in out for line in wanted)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--split", "trian"), ("--split", "has no split 'trian'; it has test")),
        (("--split", "val"), ("--split", "has no split 'val'; it has test")),
        (("--split", "test+val"), ("--split", "has no split 'val'; it has test")),
        (("--threshold", "val"), ("--threshold", "has no split 'val'; it has test")),
    ],
)
def test_a_coco_file_has_the_split_test_alone(run, photos, tmp_path, flags, said):
    path = tmp_path / "photos.json"
    path.write_text(json.dumps(to_coco(load_split(DATA, "test"))))
    code, _, err = run("evaluate", path, "--root", photos, *flags)
    assert code == 2
    assert all(each in err for each in said)


def test_an_unfinished_run_goes_on(run, photos, tmp_path, monkeypatch):
    from wsol.evaluation.box_scorer import BoxScorer

    options = ("evaluate", DATA, "--root", photos, "--batch-size", 2, "--threshold", 0.2)
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert run(*options, "--out", whole)[0] == 0
    trace, calls = BoxScorer.trace, []

    def fail_at_the_fourth(self, row, *rest):
        calls.append(row)
        if row == 3:
            raise KeyboardInterrupt
        return trace(self, row, *rest)

    def stop(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(BoxScorer, "trace", fail_at_the_fourth)
    code, _, err = run(*options, "--out", cut)
    assert code == 130
    said = f"Interrupted; the same command goes on from what is saved in {cut}"
    assert err.splitlines()[-1] == said
    code, _, err = run(*options)
    assert code == 130
    assert err.splitlines()[-1].startswith("Interrupted; nothing is kept: with --out the same")
    monkeypatch.setattr(BoxScorer, "trace", trace)
    code, _, err = run(*options, "--out", cut, "--method", "layercam")
    assert code == 2
    assert "settings differ (method)" in err
    code, _, err = run(*options, "--out", cut)
    assert code == 0
    assert "going on with the unfinished run" in err
    for name in ("scores.json", "images.jsonl"):
        assert (cut / name).read_bytes() == (whole / name).read_bytes()
    assert run(*options, "--out", cut)[0] == 2  # finished: no overwriting
    monkeypatch.setattr("wsol.report.write_report", stop)
    code, _, err = run(*options, "--out", tmp_path / "new", "--report", tmp_path / "page")
    assert code == 130
    assert f"; the scores in {tmp_path / 'new'} are complete, but not all" in err


@pytest.mark.parametrize(
    ("options", "flag"),
    [
        (("--protocol", "x"), "--protocol"),
        (("--format", "npy", "--out", "o"), "--format"),
        (("--format", "yolo-seg", "--out", "o"), "--format"),
        (("--format", "coco"), "--format"),
        (("--save-maps", "float16"), "--save-maps"),
        (("--save-maps", "int4", "--out", "o"), "--save-maps"),
        (("--coco",), "--coco"),
        (("--coco", "--out", "o", "--protocol", "all"), "--coco"),
        (("--save-maps", "uint8", "--out", "o", "--protocol", "tdam"), "--save-maps"),
        (("--threshold", "val"), "--threshold"),
        (("--steps", "3"), "--steps: goes with --attention tdam"),
        (
            ("--checkpoint", "efficientnet_lite0_tdam", "--attention", "tdam"),
            "--attention: cannot be combined",
        ),
        (
            ("--checkpoint", "efficientnet_lite0_tdam", "--model", "resnet50"),
            "--model: cannot be combined",
        ),
        (
            ("--checkpoint", "efficientnet_lite0_tdam", "--weights", "w.pth"),
            "--weights: cannot be combined",
        ),
    ],
)
def test_wrong_use_names_the_flag(run, photos, options, flag):
    code, _, err = run("evaluate", DATA, "--root", photos, *options)
    assert code == 2
    assert flag in err


def test_a_root_without_any_of_the_images_is_wrong_use(run, tmp_path):
    code, out, err = run("evaluate", DATA, "--root", tmp_path)
    assert (code, out) == (2, "")
    assert f"--root: none of 5 images lies below {tmp_path}, such as " in err


@pytest.mark.parametrize(
    "options",
    [
        ("--out", "FILE"),
        ("--out", "FILE", "--force"),
        ("--out", "FILE/sub", "--force"),
        ("--out", "LONG"),
        ("--json", "FILE/x.json"),
        ("--json", "LONG"),
        pytest.param(("--json", "/proc/x.json"), marks=ON_LINUX),
        pytest.param(("--out", "/proc", "--force"), marks=ON_LINUX),
    ],
)
def test_outputs_that_cannot_be_written(run, photos, tmp_path, options):
    (tmp_path / "file").write_text("mine")
    long = str(tmp_path / ("x" * 300))
    given = [o.replace("FILE", str(tmp_path / "file")).replace("LONG", long) for o in options]
    code, out, err = run("evaluate", DATA, "--root", photos, "--threshold", 0.2, *given)
    assert (code, out) == (2, "")
    *notes, message = err.splitlines()
    assert message.startswith(f"Error: Invalid value for {options[0]}: ")
    assert all(note.startswith("labels mapped") for note in notes)
    assert (tmp_path / "file").read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 1


@ON_LINUX
def test_a_device_is_written_as_it_is(run, photos, tmp_path):
    options = ("evaluate", DATA, "--root", photos, "--threshold", 0.2, "--force", "--json")
    code, _, err = run(*options, "/dev/full")
    assert (code, err.splitlines()[-1]) == (1, "Error: /dev/full: No space left on device")
    link = tmp_path / "link.json"
    (tmp_path / "file.json").touch()
    link.symlink_to(tmp_path / "file.json")
    assert run(*options, link)[0] == run(*options, "/dev/null")[0] == 0
    assert link.is_symlink()
    assert (tmp_path / "file.json").stat().st_size > 100
    assert Path("/dev/null").is_char_device()
    assert Path("/dev/full").is_char_device()


@pytest.mark.slow
def test_imagenet10_chosen_on_val_reported_on_test(run, data, tmp_path):
    """The best threshold of 100 images of val, carried to 400 of test; maps score the same."""
    manifest, root = data / "imagenet10" / "manifest", data / "imagenet10"
    one, two = tmp_path / "one.json", tmp_path / "two.json"
    options = ("evaluate", manifest, "--threshold", "val")
    code, _, _ = run(*options, "--method", "cam", "--root", root, "--out", tmp_path / "out",
                     "--save-maps", "uint8", "--json", one)  # fmt: skip
    assert code == 0
    found = json.loads(one.read_text())
    assert found["images"] == 400
    assert found["threshold"] == {"rule": "val", "value": pytest.approx(0.255), "chosen_on": "val"}
    assert found["gt_known_loc"] == pytest.approx(62.0, abs=0.5)
    assert found["top1_loc"] == pytest.approx(46.5, abs=0.5)
    code, _, _ = run(*options, "--maps", tmp_path / "out" / "maps", "--json", two)
    assert code == 0
    other = json.loads(two.read_text())
    for name in ("curves", "max_box_acc", "gt_known_loc", "threshold", "box_acc"):
        assert other[name] == found[name]


def split_photos(folder):
    """Two of the photographs as val, two as test."""
    source = DATA / "test"
    for name, rows in (("val", slice(0, 2)), ("test", slice(2, 4))):
        (folder / name).mkdir(parents=True)
        for path in source.iterdir():
            lines = path.read_text().splitlines()[rows]
            (folder / name / path.name).write_text("\n".join(lines))
    (folder / "classes.csv").write_bytes((DATA / "classes.csv").read_bytes())
    return folder


@pytest.mark.slow
def test_a_finished_run_is_not_overwritten_and_val_is_scored_once(run, photos, tmp_path):
    data, out = split_photos(tmp_path / "data"), tmp_path / "out"
    options = ("evaluate", data, "--root", photos, "--threshold", "val", "--out", out)
    assert run(*options)[0] == 0
    scores = json.loads((out / "scores.json").read_text())
    assert scores["threshold"]["chosen_on"] == "val"
    assert run(*options)[0] == 2
    chosen = (out / "chosen-on-val" / "scores.json").stat().st_mtime_ns
    for name in ("scores.json", "settings.json", "images.jsonl"):  # as if cut off after val
        (out / name).unlink()
    assert run(*options)[0] == 0
    assert (out / "chosen-on-val" / "scores.json").stat().st_mtime_ns == chosen
    assert json.loads((out / "scores.json").read_text()) == scores
    (out / "scores.json").write_text("stale")
    code, _, _ = run(*options[:-2], "--protocol", "all", "--out", out, "--force")
    assert code == 0
    assert not (out / "scores.json").exists()
    assert (out / "clean" / "scores.json").exists()


def test_a_run_that_goes_on_still_names_what_val_could_not_read(run, photos, tmp_path):
    data, out = split_photos(tmp_path / "data"), tmp_path / "out"
    row = (data / "val" / "image_ids.txt").read_text().splitlines()[0]
    for path in (data / "val").iterdir():
        path.write_text(path.read_text().replace(row, f"gone-{row}"))
    options = ("evaluate", data, "--root", photos, "--threshold", "val", "--out", out)
    assert run(*options)[0] == 1
    for name in ("scores.json", "settings.json", "images.jsonl"):  # as if cut off after val
        (out / name).unlink()
    code, _, err = run(*options)
    assert (code, f"gone-{row}" in err) == (1, True)


@pytest.mark.parametrize(("outputs", "label", "code"), [(5, 6, 0), (7, 6, 0), (7, 5, 2)])
def test_other_splits_tell_of_classes_that_one_lacks(run, photos, tmp_path, outputs, label, code):
    """The five classes of test are all that a network has, or train has the sixth and seventh."""
    path = save_checkpoint(
        create_model("efficientnet_lite0", num_classes=outputs), tmp_path / "own.safetensors"
    )
    shutil.copytree(DATA / "test", tmp_path / "data" / "test")
    train = tmp_path / "data" / "train"
    train.mkdir()
    (train / "image_ids.txt").write_text("a.png\n")
    (train / "class_labels.txt").write_text(f"a.png,{label}\n")
    options = ("--root", photos, "--checkpoint", path)
    assert run("evaluate", tmp_path / "data", *options)[0] == code


def test_val_must_not_share_images_with_test(run, photos, tmp_path):
    data = split_photos(tmp_path / "data")
    for path in (data / "test").iterdir():
        (data / "val" / path.name).write_bytes(path.read_bytes())
    code, _, err = run("evaluate", data, "--root", photos, "--threshold", "val")
    assert code == 1
    assert "split test and split val share" in err


def test_runs_on_other_images_of_one_name_cannot_be_compared(run, photos, tmp_path):
    for name, protocol in (("a", "wsoleval"), ("b", "tdam")):
        code, _, _ = run("evaluate", DATA, "--root", photos, "--protocol", protocol, "--class-map",
                         "ground_truth", "--threshold", 0.2, "--out", tmp_path / name)  # fmt: skip
        assert code == 0
    assert json.loads((tmp_path / "b" / "scores.json").read_text())["image"] == "crop"
    code, _, err = run("compare", tmp_path / "a", tmp_path / "b")
    assert code == 1
    assert "expected protocol" in err
    (tmp_path / "a" / "images.jsonl").write_text("")
    assert run("compare", tmp_path / "a", tmp_path / "b")[0] == 1


def test_images_with_their_splits_in_a_folder_of_its_own(run, photos, tmp_path):
    home = tmp_path / "home"
    shutil.copytree(photos, home)
    shutil.copytree(DATA, home / "manifest")
    known = run("evaluate", DATA, "--root", photos, "--threshold", 0.2)[:2]
    assert run("evaluate", home, "--threshold", 0.2)[:2] == known
    code, _, err = run("evaluate", photos, "--threshold", 0.2)
    assert (code, "DATA" in err, "holds no truth" in err) == (2, True, True)
