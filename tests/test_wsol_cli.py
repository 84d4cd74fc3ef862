import json
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from wsol.shipped import manifests_folder

PHOTOS = manifests_folder() / "photos"


COMMANDS = {
    *("app", "benchmark", "calibrate", "compare", "demo", "evaluate", "export", "manifest"),
    *("models", "predict", "reproduce", "shift", "speed", "train"),
}


def test_help_names_every_command_and_says_what_it_does(run):
    code, out, _ = run("--help")
    assert code == 0
    listed = dict(re.findall(r"^  ([a-z]+) {2,}(\S.*)$", out.partition("Commands:")[2], re.M))
    assert set(listed) == COMMANDS
    for name in COMMANDS:
        code, out, _ = run(name, "--help")
        assert code == 0
        assert listed[name].rstrip(".")[:30] in " ".join(out.split())


def test_predict_prints_a_line_an_image(run, photos):
    code, out, err = run("predict", photos / "coffee.png", photos / "chelsea.png", "--topk", 2)
    lines = [line.split("\t") for line in out.splitlines()]
    assert (code, err, len(lines)) == (0, "threshold 0.338, stored with the weights\n", 4)
    assert lines[0][:2] == [str(photos / "coffee.png"), "espresso"]
    assert len(lines[0][3].split()) == 4


def test_predict_goes_on_after_bad_files(run, photos, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jpg").write_bytes(b"")
    (tmp_path / "in" / "b.png").write_bytes((photos / "coffee.png").read_bytes())
    code, _, err = run(
        "predict", tmp_path / "in", "--format", "jsonl", "--format", "coco", "--out", tmp_path / "o"
    )
    assert code == 1
    assert f"{tmp_path / 'in' / 'a.jpg'}: the file is empty\n" in err
    records = [json.loads(line) for line in (tmp_path / "o" / "predictions.jsonl").open()]
    assert records[0] == {"file": str(tmp_path / "in" / "a.jpg"), "error": "the file is empty"}
    assert records[1]["predictions"][0]["name"] == "espresso"
    assert len(json.loads((tmp_path / "o" / "coco_results.json").read_text())) == 1
    code, _, err = run("predict", tmp_path / "in", "--format", "csv", "--out", tmp_path / "o")
    assert code == 2
    assert "--force" in err
    code, _, _ = run("predict", tmp_path / "in/b.png", "--save-images", "--save-maps", "--force",
                     "--out", tmp_path / "o")  # fmt: skip
    assert code == 0
    assert (tmp_path / "o" / "pictures" / "b.png").is_file()
    assert np.load(tmp_path / "o" / "maps" / "b.npy").shape == (2, 7, 7)


def test_lines_keep_their_columns_whatever_a_file_is_called(run, photos, tmp_path):
    (tmp_path / "a\tb\nc.png").write_bytes((photos / "coffee.png").read_bytes())
    (tmp_path / "d\te.png").write_bytes(b"")
    code, out, _ = run("predict", tmp_path)
    assert code == 1
    one, two = (line.split("\t") for line in out.splitlines())
    assert one[:2] == [f"{tmp_path}/a\\tb\\nc.png", "espresso"]
    assert two == [f"{tmp_path}/d\\te.png", "error", "the file is empty"]


def test_known_classes(run, photos, tmp_path):
    folder = tmp_path / "coffee_mug"
    folder.mkdir()
    (folder / "a.png").write_bytes((photos / "coffee.png").read_bytes())
    assert "\tcoffee mug\t" in run("predict", folder, "--class-from-folder")[1]
    assert "\tcup\t" in run("predict", folder, "--class", "cup")[1]
    assert "\ttench\t" in run("predict", folder, "--class", "n01440764")[1]
    code, _, err = run("predict", folder, "--class", "mug")
    assert code == 2
    assert "near it: coffee mug" in err
    for name in ("spoon", "mug"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.png").write_bytes((photos / "coffee.png").read_bytes())
    code, out, err = run("predict", tmp_path, "--class-from-folder")
    assert code == 0
    assert [line.split("\t")[1] for line in out.splitlines()] == ["coffee mug", "mug", "spoon"]
    assert 'spoon: maps of "espresso" (1 of 1 image); near it: wooden spoon, spoonbill\n' in err
    assert 'mug: maps of "espresso" (1 of 1 image); near it: coffee mug\n' in err
    code, _, err = run("shift", tmp_path, "--class-from-folder", "--out", tmp_path / "out")
    assert code == 2
    assert "'spoon'" in err
    assert "'mug'; near it: coffee mug" in err


def test_version(run):
    assert run("--version")[1].startswith(f"wsol-tdam {version('wsol-tdam')}, torch ")


def test_uncertain_first(run, photos):
    _, out, _ = run("predict", photos, "--sort", "uncertain")
    scores = [float(line.split("\t")[2]) for line in out.splitlines()]
    assert len(scores) == 5
    assert scores == sorted(scores)


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["predict"], ["SOURCE"]),
        (["predict", "nowhere"], ["nowhere", "no such"]),
        (["predict", "*.nothing"], ["*.nothing", "no images"]),
        (["predict", ".", "--format", "xml"], ["--format", "coco, csv, jsonl, npy"]),
        (
            ["predict", ".", "--method", "grad"],
            [
                "--method",
                "one of cam, gradcam, gradcampp, hirescam, xgradcam, layercam, scorecam, ",
            ],
        ),
        (["predict", ".", "--threshold", "2"], ["--threshold", "0 to 1"]),
        (["predict", ".", "--out", "x"], ["--out", "--format"]),
        (["predict", ".", "--sort", "up"], ["--sort", "given", "uncertain"]),
        (["evaluate", "nowhere"], ["DATA", "nowhere"]),
        (["evaluate", "."], ["DATA", "holds no truth"]),
        (["evaluate", PHOTOS], ["--root"]),
        (["evaluate", PHOTOS, "--root", ".", "--split", "tset"], ["--split", "tset", "test"]),
        (["evaluate", ".", "--threshold", "best"], ["--threshold", "oracle", "val"]),
        (["evaluate", ".", "--threshold", "val", "--split", "val"], ["--threshold", "val"]),
        (["evaluate", ".", "--protocol", "mine"], ["--protocol", "wsoleval"]),
        (["evaluate", ".", "--class-map", "x"], ["--class-map", "predicted"]),
        (["manifest", "check", "nowhere"], ["DATA", "nowhere"]),
        (["evaluate", "photos"], ["DATA", "no such file", "comes along is", str(PHOTOS), "root"]),
        (["train", "cub10", "--out", "x"], ["DATA", str(PHOTOS.parent / "cub10"), "root"]),
        (["manifest", "check", "cub10"], ["DATA", str(PHOTOS.parent / "cub10"), "root"]),
        (["calibrate", "nope"], ["CHECKPOINT: nope: no such file"]),
        (["calibrate", "nope", "--boxes", "none.json"], ["CHECKPOINT: nope: no such file"]),
        (["calibrate", "nope", "--unlabelled", "none"], ["CHECKPOINT: nope: no such file"]),
        (["fly"], ["fly"]),
    ],
)
def test_wrong_use_is_one_line(run, arguments, parts, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (8, 8)).save("a.png")
    code, out, err = run(*arguments)
    assert code == 2
    assert out == ""
    assert err.startswith("Error: ")
    assert err.count("\n") == 1
    for part in parts:
        assert part in err


def test_unknown_models_are_named(run, photos):
    code, _, err = run("predict", photos, "--model", "resnet49")
    assert code == 2
    assert "--model" in err
    assert "resnet50" in err


def test_random_weights_on_request(run, photos):
    seeded = [run("predict", photos / "coffee.png", "--model", "resnet18", "--weights", "random",
                  "--seed", seed) for seed in (1, 1, 2)]  # fmt: skip
    assert [code for code, _, _ in seeded] == [0, 0, 0]
    assert seeded[0][1] == seeded[1][1] != seeded[2][1]


def test_evaluate_photographs(run, photos, tmp_path):
    data = PHOTOS
    target = tmp_path / "scores.json"
    code, out, _ = run("evaluate", data, "--root", photos, "--threshold", 0.2, "--json", target)
    assert code == 0
    for part in ("wsoleval", "grid 0.001", "fixed", "ground_truth", "centre box", "full image"):
        assert part in out
    scores = json.loads(target.read_text())
    assert (scores["schema"], scores["images"], scores["split"]) == (1, 5, "test")
    assert scores["threshold"] == {"rule": "fixed", "value": 0.2, "chosen_on": None}
    assert scores["pxap"] is None
    low, high = scores["intervals95"]["max_box_acc"]
    assert low <= scores["max_box_acc"] <= high
    missed = sum(n for kind, n in scores["errors"].items() if kind != "misclassified")
    assert missed == round(5 - scores["gt_known_loc"] / 20)
    assert scores["max_box_acc"] == max(scores["curves"]["largest"]["50"]) * 20
    assert run("evaluate", data, "--root", photos, "--json", target)[0] == 2  # no overwriting


@pytest.mark.slow
def test_maps_of_a_layer_by_flag(run, photos, tmp_path):
    """The same layer by name and by default give the same boxes, another layer others."""
    data = PHOTOS
    names = ["blocks.6.0.bn1", "bn2", None]
    scores, boxes = [], []
    for name in names:
        flag = [] if name is None else ["--layer", name]
        boxes.append(run("predict", photos, "--model", "efficientnet_lite0", *flag)[1])
        scores.append(run("evaluate", data, "--root", photos, *flag)[1])
    assert boxes[0] == boxes[2] != boxes[1]
    heads = [f"efficientnet_lite0, gradcampp{of}: " for of in (f" of {names[0]}", " of bn2", "")]
    assert all(map(str.startswith, scores, heads))
    rest = [text.partition("\n")[2] for text in scores]
    assert rest[0] == rest[2] != rest[1]
    pooled = ("--model", "resnet18", "--weights", "random", "--method", "layercam")
    wrong = {
        ("--layer", "head"): "blocks",
        ("--layer", "classifier"): "(N, C, h, w)",
        ("--layer", "blocks.6.0.bn1", "--method", "cam"): "1280",
        (*pooled, "--layer", "avgpool"): "one pixel",
    }
    for command in (["predict", photos], ["evaluate", data, "--root", photos]):
        for flags, reason in wrong.items():
            code, _, err = run(*command, *flags)
            assert (code, "--layer" in err, reason in err) == (2, True, True)


def test_networks_and_attention_by_flags(run, photos, tmp_path):
    data = PHOTOS
    plain = run("evaluate", data, "--root", photos, "--threshold", 0.2)[1]
    code, out, _ = run("evaluate", data, "--root", photos, "--threshold", 0.2,
                       "--attention", "tdam", "--steps", 3, "--distance", 2)  # fmt: skip
    assert code == 0
    assert "efficientnet_lite0 + tdam (joint, T3, m2), gradcampp" in out
    assert out.splitlines()[1:] == plain.splitlines()[1:]  # it begins as the identity
    code, out, _ = run("predict", photos / "coffee.png", "--model", "mobilenet_v3_large",
                       "--weights", "random", "--attention", "se")  # fmt: skip
    assert code == 0
    code, _, err = run("predict", photos, "--attention", "tdam", "--distance", 4)
    assert code == 2
    assert "distance from 0 to 3 in this block but got 4" in err
    code, _, err = run("predict", photos, "--model", "vgg16")
    assert code == 1
    assert "--weights random" in err


def test_checkpoints_tell_their_network(run, photos, tmp_path):
    from tdam import create_model, save_checkpoint

    model = create_model("efficientnet_lite0", attention="tdam", steps=3, weights="pretrained")
    path = save_checkpoint(model, tmp_path / "w.safetensors")
    code, out, _ = run("predict", photos / "coffee.png", "--checkpoint", path, "--format", "npy",
                       "--out", tmp_path / "o")  # fmt: skip
    assert code == 0
    assert "\tespresso\t" in out
    assert np.load(tmp_path / "o" / "maps" / "coffee.npy").shape == (3, 7, 7)
    code, _, err = run("predict", photos, "--checkpoint", tmp_path / "none.pth")
    assert code == 1
    assert "no such file" in err


def test_checkpoints_keep_their_stride_and_their_classes(run, photos, tmp_path):
    from tdam import create_model, save_checkpoint

    path = save_checkpoint(
        create_model("efficientnet_lite0", num_classes=5, output_stride=16),
        tmp_path / "w.safetensors",
    )
    code, _, _ = run("predict", photos / "coffee.png", "--checkpoint", path, "--save-maps",
                     "--out", tmp_path / "o")  # fmt: skip
    assert code == 0
    assert np.load(tmp_path / "o" / "maps" / "coffee.npy").shape == (1, 14, 14)
    data = PHOTOS  # whose classes.csv is for 1000 classes
    code, out, err = run("evaluate", data, "--root", photos, "--checkpoint", path)
    assert (code, err) == (0, "")
    assert "efficientnet_lite0 /16" in out


@pytest.mark.parametrize(
    ("arguments", "flag"),
    [
        (["--model", "mobilenet_v3_large", "--weights", "random", "--method", "cam"], "--method"),
        (["--attention", "tdam", "--searchlight", "x"], "--searchlight"),
        (["--output-stride", "7"], "--output-stride"),
        (["--attention", "tdam", "--steps", "0"], "--steps"),
        (["--device", "abacus"], "--device"),
        (["--format", "csv", "--out", "FILE/sub"], "--out"),
    ],
)
def test_the_flag_at_fault_is_named(run, photos, tmp_path, arguments, flag):
    (tmp_path / "f").write_text("")
    arguments = [a.replace("FILE", str(tmp_path / "f")) for a in arguments]
    code, _, err = run("predict", photos / "coffee.png", *arguments)
    assert code == 2
    *notes, error = err.splitlines()
    assert not any(line.startswith("Error: ") for line in notes)
    assert f"Invalid value for {flag}:" in error


def test_evaluate_without_a_class_table(run, photos, tmp_path):
    data = tmp_path / "data"
    source = PHOTOS / "test"
    (data / "test").mkdir(parents=True)
    for path in source.iterdir():
        (data / "test" / path.name).write_bytes(path.read_bytes())
    code, _, err = run("evaluate", data, "--root", photos)
    assert code == 2
    assert "--classes" in err
    code, out, _ = run("evaluate", data, "--root", photos, "--class-map", "predicted")
    assert code == 0
    assert re.search(r"GT-known Loc +-", out)
    (data / "test" / "localization.txt").write_text("chelsea.png,0,0,999,1")
    code, _, err = run("evaluate", data, "--root", photos)
    assert code == 1
    assert "localization.txt:1: expected" in err


def test_evaluate_maps(run, photos, tmp_path):
    """A map that is the true box scores 100 at the right threshold."""
    from eval.manifest import load_split
    from eval.metrics.true_boxes import true_boxes_in_square
    from eval.protocols import PROTOCOLS

    split = load_split(PHOTOS, "test")
    for row, image_id in enumerate(split.ids):
        size = tuple(split.sizes[row].tolist())
        box = true_boxes_in_square(split.boxes[row], size, PROTOCOLS["wsoleval"])[0]
        score_map = np.zeros((224, 224))
        score_map[box[1] : box[3] + 1, box[0] : box[2] + 1] = 1
        np.save(tmp_path / f"{image_id}.npy", score_map)
    data = PHOTOS
    code, out, _ = run("evaluate", data, "--maps", tmp_path)
    assert code == 0
    assert re.search(r"MaxBoxAcc \(.*\) +100.0", out)
    np.save(tmp_path / "chelsea.png.npy", np.full((224, 224), np.nan))
    code, _, err = run("evaluate", data, "--maps", tmp_path)
    assert code == 1
    assert "chelsea.png.npy: expected values in [0, 1]" in err
    (tmp_path / "chelsea.png.npy").unlink()
    code, _, err = run("evaluate", data, "--maps", tmp_path)
    assert code == 1
    assert "chelsea.png.npy: expected a map" in err


@pytest.mark.slow
def test_models(run):
    code, out, _ = run("models", "--attention", "tdam", "--distance", 3, "--searchlight", "top")
    assert code == 0
    assert re.search(r"resnet50 +27.79 M +6.1\d\d G +6.1\d\d G", out)
    assert re.search(r"resnet18 +- .*m = 3 is out of range", out)
    assert run("models", "--attention", "x")[0] == 2
    assert run("models", "--attention", "tdam", "--steps", 0)[0] == 2
    assert run("models", "--steps", 3)[0] == 2


@pytest.mark.slow
def test_speed(run):
    code, out, _ = run("speed", "--model", "resnet18", "--distance", 2, "--batch-size", 2,
                       "--repeats", 1)  # fmt: skip
    assert code == 0
    for part in ("inference, tdam / plain", "all 2 steps", "peak memory", "training step"):
        assert re.search(rf"{part}.* \d\.\d+ - ", out)
    code, out, _ = run("speed", "--stage", "predict", "--repeats", 1)
    assert code == 0
    for part in ("last step / forward", "with block", "contiguous", "kept", "pictures"):
        assert re.search(rf"{part}.* \d\.\d+ - ", out)
    assert run("speed", "--attention", "none")[0] == 2
    assert run("speed", "--attention", "se", "--steps", 3)[0] == 2


def test_the_command_is_installed(photos):
    command = Path(sys.executable).with_name("wsol")
    done = subprocess.run([command, "--help"], capture_output=True, text=True, check=True)
    assert "Usage: wsol" in done.stdout


@pytest.mark.slow
def test_imagenet10(run, data, tmp_path):
    """The figures of an independent measurement of the same network's CAM on the same images."""
    folder = data / "imagenet10"
    target = tmp_path / "scores.json"
    code, _, _ = run("evaluate", folder / "manifest", "--split", "test+val", "--root", folder,
                     "--method", "cam", "--threshold", 0.2, "--json", target)  # fmt: skip
    assert code == 0
    scores = json.loads(target.read_text())
    assert scores["images"] == 500
    wanted = {"max_box_acc": 62.6, "max_box_acc_v2": 60.47, "top1_cls": 69.6, "gt_known_loc": 60.6,
              "top1_loc": 45.0}  # fmt: skip
    for key, value in wanted.items():
        assert scores[key] == pytest.approx(value, abs=0.5), key
    assert scores["baselines"] == pytest.approx({"centre_box": 51.6, "full_image": 37.8}, abs=0.5)
