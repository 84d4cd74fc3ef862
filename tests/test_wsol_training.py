import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from eval.coco import to_coco
from eval.geometry import pairwise_iou
from eval.manifest import ManifestError, find_root, load_split
from eval.splits import take_rows
from tdam import load_checkpoint
from tdam.training import Recipe, UnreadableImageError
from wsol import Localizer
from wsol.calibration import calibrate
from wsol.cli import main
from wsol.map_sources import NetworkMaps
from wsol.run_record import read_record
from wsol.training import create_network, prepare_recipe, saved_recipe
from wsol.training_data import load_training_data
from wsol.training_images import PackedImages, SplitImages, pack_images, packed_side, side_needed
from wsol.validation import Validator

COLOURS = {"blue box": (40, 60, 220), "red_ball": (220, 40, 40), "sea-green": (40, 200, 90)}
BOX = (12, 8, 44, 36)  # of every object, outer edges


def draw(colour, seed):
    random = np.random.default_rng(seed)
    pixels = random.integers(90, 130, (48, 64, 3))
    x0, y0, x1, y1 = BOX
    pixels[y0:y1, x0:x1] = np.array(colour) + random.integers(-20, 20, (y1 - y0, x1 - x0, 3))
    return Image.fromarray(pixels.astype(np.uint8))


def fill(folder, count, first=0):
    for name, colour in COLOURS.items():
        (folder / name).mkdir(parents=True)
        for i in range(first, first + count):
            draw(colour, i).save(folder / name / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def objects(tmp_path_factory):
    """A folder a class, 12 images each."""
    return fill(tmp_path_factory.mktemp("objects") / "data", 12)


FLAGS = ("--epochs", 4, "--size", 64, "--batch-size", 8, "--lr", 0.0005, "--workers", 0)


@pytest.fixture(scope="module")
def trained(objects, tmp_path_factory):
    """A run from the command line, with what it printed."""
    out = tmp_path_factory.mktemp("trained") / "run"
    printed, told = io.StringIO(), io.StringIO()
    with redirect_stdout(printed), redirect_stderr(told), pytest.raises(SystemExit) as stop:
        main([str(part) for part in ("train", objects, "--out", out, *FLAGS)])
    assert not stop.value.code, told.getvalue()
    return out, printed.getvalue(), told.getvalue()


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
    assert "efficientnet_lite0, layercam: 6 images" in printed
    assert "misclassified: 0 images" in printed


def boxed(folder):
    """The split of class folders, with the box that all objects have."""
    split = load_split(folder, "test")
    boxes = tuple(np.array([BOX]) - np.array([0, 0, 1, 1]) for _ in split.ids)
    return replace(split, sizes=np.array([[64, 48]] * len(split)), boxes=boxes)


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
        assert "--resume goes on" in told
    again = [*command[:5], "--out", out, "--resume", "--workers", "0"]
    subprocess.run([str(p) for p in again], check=True, capture_output=True)
    assert (out / "model.safetensors").read_bytes() == (
        trained[0] / "model.safetensors"
    ).read_bytes()


@pytest.mark.slow
def test_two_processes_learn_what_one_does(objects, tmp_path):
    flags = [*FLAGS, "--set", "optimizer=sgd", "--lr", "0.002", "--set", "head_lr=1"]
    found = []
    for name, starter in (
        ("alone", ["-m", "wsol"]),
        ("two", ["-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "wsol"]),
    ):
        out = tmp_path / name
        command = [sys.executable, *starter, "train", objects, "--out", out, *flags]
        done = subprocess.run([str(p) for p in command], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("result: epoch") == 1
        found.append(load_checkpoint(out)[0].state_dict())
    for name, tensor in found[0].items():
        torch.testing.assert_close(tensor, found[1][name], atol=1e-4, rtol=1e-3, msg=name)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--set", "lrr=1"), "keys of a recipe, name, model"),
        (("--recipe", "nothing"), "one of finetune, scratch_small"),
        (("--model", "resnet5"), "model to be one of"),
        (("--attention", "more"), "attention to be one of"),
        (("--epochs", "0"), "epochs to be from 1"),
        (("--pick-threshold", "test"), "expected val"),
        (("--pick-threshold", "val"), "boxes of validation images"),
        (("--select", "localization"), "boxes of validation images"),
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


def test_validation_images_are_never_trained_on(tmp_path):
    fill(tmp_path / "only" / "val", 3)
    with pytest.raises(ManifestError, match="expected a split train but it has val"):
        load_training_data(tmp_path / "only")
    four = tmp_path / "four"
    root = fill(tmp_path / "root", 2)
    ids = load_split(root, "all").ids
    for name in ("train", "val"):
        (four / name).mkdir(parents=True)
        (four / name / "image_ids.txt").write_text("\n".join(ids))
        labels = "\n".join(f"{i},{list(COLOURS).index(i.split('/')[0])}" for i in ids)
        (four / name / "class_labels.txt").write_text(labels)
    with pytest.raises(ManifestError, match="train and val to share no image but both have blue"):
        load_training_data(four, root)


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
    for place in (data / "run", tmp_path):
        out = ("--out", tmp_path / "elsewhere") if flag == "--cache" else ()
        code, _, err = run("train", data, flag, place, *out)
        assert code == 2
        assert "apart from the data" in err or "no run" in err or "exists" in err
        assert sorted(path.name for path in data.iterdir()) == sorted(COLOURS)


def test_a_run_goes_on_without_the_weights_it_began_with(trained, objects, run, tmp_path):
    shutil.copytree(trained[0], tmp_path / "first")
    flags = ("--epochs", 1, "--size", 32, "--workers", 0, "--out", tmp_path / "second")
    assert run("train", objects, "--weights", tmp_path / "first", *flags)[0] == 0
    shutil.rmtree(tmp_path / "first")
    assert run("train", objects, "--resume", "--out", tmp_path / "second")[0] == 0


def test_a_changed_file_is_packed_anew(objects, run, tmp_path):
    data = fill(tmp_path / "data", 2)
    flags = ("--epochs", 1, "--size", 32, "--workers", 0, "--cache", tmp_path / "cache")
    for out in ("one", "two"):
        assert run("train", data, "--out", tmp_path / out, *flags)[0] == 0
    assert len(list((tmp_path / "cache").glob("*.u8"))) == 1
    os.utime(data / "red_ball" / "0.png", ns=(1, 1))
    assert run("train", data, "--out", tmp_path / "three", *flags)[0] == 0
    assert len(list((tmp_path / "cache").glob("*.u8"))) == 2
    assert not list((tmp_path / "cache").glob(".*"))


def test_splits_that_exist_are_taken(tmp_path):
    fill(tmp_path / "data" / "train", 3)
    fill(tmp_path / "data" / "valid", 2, first=9)
    found = load_training_data(tmp_path / "data")
    assert (len(found.train), len(found.val), found.held_out) == (9, 6, False)
    assert found.describe() == (
        "9 training images of 3 classes; validation: 6 images of split valid"
    )
    shutil.rmtree(tmp_path / "data" / "train" / "red_ball")
    with pytest.raises(ManifestError, match="training images of every class but 1 of 3 have none"):
        load_training_data(tmp_path / "data")


def test_a_part_of_every_class_is_held_out(objects):
    found, again, other = (load_training_data(objects, seed=seed) for seed in (0, 0, 1))
    assert found.val.ids == again.val.ids
    assert found.val.ids != other.val.ids
    assert not set(found.val.ids) & set(found.train.ids)
    assert set(found.val.ids) | set(found.train.ids) == set(load_split(objects, "train").ids)
    assert np.bincount(found.val.labels).tolist() == [2, 2, 2]
    assert found.whole.ids == other.whole.ids
    assert found.digest() != other.digest()


def test_packed_images(tmp_path):
    root = tmp_path / "data"
    fill(root, 2)
    Image.effect_noise((300, 200), 50).convert("RGB").save(root / "red_ball" / "big.jpg")
    (root / "red_ball" / "bad.png").write_bytes(b"no image")
    split = load_split(root, "train")
    packed = pack_images(split, root, 60, tmp_path / "packed.u8")
    plain = SplitImages(split, root)
    assert packed.ids == split.ids
    shapes = {}
    for row, image_id in enumerate(split.ids):
        if image_id.endswith("bad.png"):
            for images in (packed, plain):
                with pytest.raises(UnreadableImageError, match="not an image"):
                    images.read(row)
            continue
        image = packed.read(row)
        shapes[image_id] = tuple(image.shape)
        if "big" not in image_id:
            assert torch.equal(image, plain.read(row))
    assert set(shapes.values()) == {(3, 48, 64), (3, 60, 90)}
    part = PackedImages(take_rows(split, [3, 1], "part"), tmp_path / "packed.u8")
    assert torch.equal(part.read(1), packed.read(1))
    assert torch.equal(part.read(0), packed.read(3))


def test_reduced_decoding_keeps_enough(tmp_path):
    Image.effect_noise((800, 600), 50).convert("RGB").save(tmp_path / "a.jpg")
    folder = fill(tmp_path / "d", 2)
    shutil.copy(tmp_path / "a.jpg", folder / "red_ball" / "a.jpg")
    split = load_split(folder, "train")
    row = split.ids.index("red_ball/a.jpg")
    for at_least, height in ((None, 600), (301, 600), (300, 300), (100, 150), (10, 75)):
        assert SplitImages(split, folder, at_least).read(row).shape[1] == height
    assert side_needed(224, 1.0) == 224
    assert side_needed(60, 0.48) == 100
    assert packed_side(224) == 256


def test_a_threshold_from_boxes(trained, tmp_path, run):
    out, _, _ = trained
    new = fill(tmp_path / "new", 4, first=70)
    model, _ = load_checkpoint(out)
    source = NetworkMaps(
        model, boxed(new), new, model.spec.method, classes=dict(enumerate(range(3)))
    )
    found = calibrate(source)
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
    assert Localizer(load_checkpoint(out)[0]).threshold == 0.2


def test_a_threshold_from_one_image(trained, tmp_path):
    model, _ = load_checkpoint(trained[0])
    new = fill(tmp_path / "new", 1, first=70)
    one = take_rows(boxed(new), [1], "one")
    source = NetworkMaps(model, one, new, model.spec.method, classes=dict(enumerate(range(3))))
    found = calibrate(source)
    assert found.interval == pytest.approx((found.threshold, found.threshold))
    nowhere = replace(one, boxes=(np.zeros((0, 4)),))
    with pytest.raises(ValueError, match="images with boxes in split one"):
        calibrate(replace(source, split=nowhere))


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


def test_roots(tmp_path, objects):
    assert find_root(objects) == objects
    (tmp_path / "c.json").write_text("{}")
    assert find_root(tmp_path / "c.json") == tmp_path
    four = tmp_path / "four"
    (four / "train").mkdir(parents=True)
    (four / "train" / "image_ids.txt").write_text("")
    assert find_root(four) is None
    (four / "manifest.toml").write_text(f'root = "{tmp_path / "gone"}"')
    assert find_root(four) is None
    (four / "manifest.toml").write_text(f'root = "{objects}"')
    assert find_root(four) == objects
