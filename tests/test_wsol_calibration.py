import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from small_objects import BOX, COLOURS, boxed, fill

from eval.coco import to_coco
from eval.geometry import pairwise_iou
from eval.splits import take_rows
from tdam import load_checkpoint
from wsol import Localizer
from wsol.evaluation.calibration import choose_threshold
from wsol.evaluation.network_maps import NetworkMaps
from wsol.training.record import read_record

pytestmark = pytest.mark.slow


def test_a_threshold_from_boxes(trained, tmp_path, run):
    out, _, _ = trained
    new = fill(tmp_path / "new", 4, first=70)
    model, _ = load_checkpoint(out)
    source = NetworkMaps(
        model, boxed(new), new, model.spec.method, classes=dict(enumerate(range(3)))
    )
    found = choose_threshold(source)
    overlaps = []
    paths = [new / image_id for image_id in source.split.ids]
    for threshold in (found.threshold, 0.0, 0.2, 0.9):
        with Localizer(model, threshold=threshold) as localizer:
            each = localizer(paths, source.split.labels.tolist())
            overlaps.append(
                np.mean([pairwise_iou(a.boxes, np.array([BOX]), "edges").max() for a in each])
            )
    assert found.overlap == pytest.approx(overlaps[0], abs=0.03)  # boxes in 64 and in 224 pixels
    assert found.classic_overlap == pytest.approx(overlaps[2], abs=0.03)
    assert found.overlap >= max(overlaps) - 0.03
    assert found.interval[0] <= found.threshold <= found.interval[1]
    assert found.images == 12

    (tmp_path / "c.json").write_text(json.dumps(to_coco(source.split)))
    copy = tmp_path / "copy.safetensors"
    code, printed, err = run("calibrate", out, "--boxes", tmp_path / "c.json", "--root", new,
                             "--out", copy)  # fmt: skip
    assert code == 0, err
    assert f"threshold: {found.threshold:.3f}" in printed
    assert load_checkpoint(copy)[0].threshold == found.threshold
    assert load_checkpoint(out)[0].threshold is None
    assert Localizer(load_checkpoint(copy)[0]).threshold == found.threshold
    assert Localizer(load_checkpoint(copy)[0], "cam").threshold == 0.2  # it is of other maps
    assert Localizer(load_checkpoint(copy)[0], target_layer="bn2").threshold == 0.2
    assert Localizer(load_checkpoint(out)[0]).threshold == 0.2


def test_a_threshold_is_stored_with_the_maps_that_it_is_of(trained, tmp_path, run):
    new = fill(tmp_path / "new", 2, first=70)
    (tmp_path / "c.json").write_text(json.dumps(to_coco(boxed(new))))
    copy = tmp_path / "copy.safetensors"
    code, printed, err = run("calibrate", trained[0], "--boxes", tmp_path / "c.json", "--root", new,
                             "--method", "cam", "--out", copy)  # fmt: skip
    assert code == 0, err
    assert "predict takes it, and maps by cam" in printed
    model, _ = load_checkpoint(copy)
    assert model.spec.method == "cam"
    assert Localizer(model).threshold == model.threshold != 0.2
    image = next(new.rglob("*.png"))
    said = f"threshold {model.threshold:g}, stored with the weights\n"
    assert run("predict", image, "--checkpoint", copy)[2] == said
    stored = f"{model.threshold:g}, is of maps by cam"
    for flags in (["--method", "layercam"], ["--method", "layercam", "--layer", "bn2"]):
        _, boxes, err = run("predict", image, "--checkpoint", copy, *flags)
        assert stored in err
        assert (boxes, "") == run("predict", image, "--checkpoint", copy, *flags,
                                  "--threshold", 0.2)[1:]  # fmt: skip


def test_drafts_that_nobody_corrected_are_noticed(trained, tmp_path, run):
    new, copy = fill(tmp_path / "new", 2, first=70), tmp_path / "copy.safetensors"
    run("predict", new, "--checkpoint", trained[0], "--format", "coco-dataset", "--out",
        tmp_path / "drafts")  # fmt: skip
    code, _, err = run("calibrate", trained[0], "--boxes",
                       tmp_path / "drafts" / "coco_dataset.json", "--out", copy,
                       "--root", new)  # fmt: skip
    assert code == 0, err
    assert "was the file saved after they were corrected?" in err


def test_weights_that_come_along_are_calibrated_into_a_file(photos, tmp_path, run):
    drafts = tmp_path / "drafts"
    assert run("predict", photos, "--format", "coco-dataset", "--out", drafts)[0] == 0
    content = json.loads((drafts / "coco_dataset.json").read_text())
    for each in content["annotations"]:
        x, y, width, height = each["bbox"]
        each["bbox"] = [x + width / 4, y + height / 4, width / 2, height / 2]
    size = {"width": 9, "height": 9}  # of photographs that nobody has come to yet
    content["images"] += [{"id": 90 + i, "file_name": f"{i}.png", **size} for i in range(6)]
    (tmp_path / "corrected.json").write_text(json.dumps(content))
    command = ["calibrate", "efficientnet_lite0_tdam", "--boxes", tmp_path / "corrected.json"]
    code, _, err = run(*command)
    assert (code, "--out" in err, "come along" in err) == (2, True, True)
    own = tmp_path / "own.safetensors"
    code, _, err = run(*command, "--root", photos, "--out", own)
    assert code == 0, err
    assert "corrected?" not in err
    assert (err.count("expected an annotation"), "..., 6 images left out" in err) == (5, True)
    assert load_checkpoint(own)[0].threshold > load_checkpoint(command[1])[0].threshold


def test_a_threshold_from_one_image(trained, tmp_path):
    model, _ = load_checkpoint(trained[0])
    new = fill(tmp_path / "new", 1, first=70)
    one = take_rows(boxed(new), [1], "one")
    source = NetworkMaps(model, one, new, model.spec.method, classes=dict(enumerate(range(3))))
    found = choose_threshold(source)
    assert found.interval == pytest.approx((found.threshold, found.threshold))
    nowhere = replace(one, boxes=(np.zeros((0, 4)),))
    with pytest.raises(ValueError, match="images with boxes in split one"):
        choose_threshold(replace(source, split=nowhere))


def test_calibrate_on_yolo_boxes_in_place(trained, tmp_path, run):
    out, _, _ = trained
    weights = tmp_path / "w.safetensors"
    shutil.copy(out / "model.safetensors", weights)
    new = fill(tmp_path / "new", 2, first=70)
    code, _, _ = run("predict", new, "--checkpoint", weights, "--format", "yolo", "--out",
                     tmp_path / "boxes")  # fmt: skip
    assert code == 0
    for path in (tmp_path / "boxes" / "yolo" / "labels").rglob("*.txt"):
        label = path.read_text().split()[0]
        x0, y0, x1, y1 = BOX
        path.write_text(f"{label} {(x0 + x1) / 128} {(y0 + y1) / 96} {(x1 - x0) / 64} "
                        f"{(y1 - y0) / 48}\n")  # fmt: skip
    code, printed, err = run("calibrate", weights, "--boxes", tmp_path / "boxes" / "yolo")
    assert code == 0, err
    assert "on 6 images" in printed
    assert load_checkpoint(weights)[0].threshold is not None
    torch.save({}, tmp_path / "w.pth")
    code, _, err = run("calibrate", tmp_path / "w.pth", "--boxes", tmp_path / "boxes" / "yolo")
    assert code == 2
    assert "--out" in err


def test_pick_threshold(tmp_path, run):
    data = tmp_path / "data"
    fill(data, 6)
    split = boxed(data)
    (tmp_path / "c.json").write_text(json.dumps(to_coco(split)))
    out = tmp_path / "run"
    code, printed, err = run(
        "train", tmp_path / "c.json", "--root", data, "--out", out, "--epochs", 1, "--size", 64,
        "--pick-threshold", "val", "--select", "localization", "--workers", 0, "--set",
        "packed=true",
    )  # fmt: skip
    assert code == 0, err
    assert "MaxBoxAcc" in err
    model, _ = load_checkpoint(out)
    assert f"threshold: {model.threshold:.3f}" in printed
    assert model.class_names == tuple(COLOURS)
    assert read_record(out)["result"]["threshold"] == model.threshold


@pytest.mark.fault("numbers: a record that contradicts its weights")
def test_a_calibrated_run_tells_the_threshold_of_its_weights(trained, objects, tmp_path, run):
    out = tmp_path / "run"
    shutil.copytree(trained[0], out)
    before = json.loads((out / "run.json").read_text())["result"]["threshold"]
    new = fill(tmp_path / "new", 2, first=70)
    (tmp_path / "boxes.json").write_text(json.dumps(to_coco(boxed(new))))
    code, _, err = run("calibrate", out, "--boxes", tmp_path / "boxes.json", "--root", new)
    assert code == 0, err
    stored = load_checkpoint(out)[0].threshold
    assert stored != before
    for _ in range(2):
        record = json.loads((out / "run.json").read_text())
        assert record["result"]["threshold"] == stored
        sessions = [each for each in record["sessions"] if each["command"] == "calibrate"]
        assert [(each["threshold_before"], each["threshold"]) for each in sessions] == [
            (before, stored)
        ]
        code, _, err = run("train", objects, "--out", out, "--resume", "--workers", 0)
        assert code == 0, err
        assert load_checkpoint(out)[0].threshold == stored
