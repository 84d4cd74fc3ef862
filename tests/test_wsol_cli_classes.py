"""`wsol evaluate`: which of a network's classes each label of a data set means."""

import json

import pytest
import torch

from tdam.checkpoints import load_checkpoint, save_checkpoint
from tdam.registry import create_model


def cat_and_cup(folder, names):
    """A network that knows cat and cup, and true boxes of a cup and a cat, under other names."""
    torch.manual_seed(0)
    model = create_model("resnet18", num_classes=2)
    model.class_names = ("cat", "cup")
    weights = save_checkpoint(model, folder / "w.safetensors")
    images = [{"id": i, "file_name": name, "width": w, "height": h} for i, name, w, h in
              ((1, "chelsea.png", 451, 300), (2, "coffee.png", 600, 400))]  # fmt: skip
    boxes = [
        {"id": i, "image_id": i, "category_id": 3 - i, "bbox": [99, 99, 99, 99]} for i in (1, 2)
    ]
    named = [{"id": i, "name": name} for i, name in enumerate(names, start=1)]
    truth = folder / "truth.json"
    truth.write_text(json.dumps({"images": images, "annotations": boxes, "categories": named}))
    return weights, truth


def test_labels_are_matched_by_the_names_that_data_and_network_share(run, photos, tmp_path):
    """The file's classes are five of the network's thousand, in an order of its own."""
    drafts = tmp_path / "drafts"
    code, _, _ = run("predict", photos, "--format", "coco-dataset", "--out", drafts)
    assert code == 0
    truth = drafts / "coco_dataset.json"
    content = json.loads(truth.read_text())
    used = {each["category_id"] for each in content["annotations"]}
    named = [each for each in content["categories"] if each["id"] in used]
    content["categories"] = named[::-1]
    truth.write_text(json.dumps(content))
    code, out, err = run("evaluate", truth, "--root", photos, "--checkpoint",
                         "efficientnet_lite0_tdam", "--threshold", 0.338)  # fmt: skip
    assert code == 0, err
    line = next(line for line in out.splitlines() if line.strip().startswith("top-1"))
    assert "100.0" in line


def test_a_networks_classes_keep_its_names_where_data_has_another_order(run, photos, tmp_path):
    weights, truth = cat_and_cup(tmp_path, ("cup", "cat"))
    code, _, err = run("evaluate", truth, "--root", photos, "--checkpoint", weights,
                       "--out", tmp_path / "out", "--format", "csv", "--class-map", "predicted",
                       "--threshold", 0.2)  # fmt: skip
    assert code == 0, err
    _, said, _ = run("predict", photos / "chelsea.png", "--checkpoint", weights)
    name = said.split("\t")[1]
    found = (tmp_path / "out" / "predictions.csv").read_text()
    assert name in found
    assert ({"cat", "cup"} - {name}).pop() not in found


@pytest.mark.parametrize(
    ("names", "code", "said"),
    [
        (("cat", "mug"), 2, "none of the network's: 1 ('mug')"),
        (("gatto", "tazza"), 0, "taken for the numbers of its outputs"),
        (("cup", "cat"), 0, ""),
    ],
)
def test_names_that_fit_in_part_are_refused(run, photos, tmp_path, names, code, said):
    """By number `cat` would be the network's cat here, and `mug` its cup, whatever it means."""
    weights, truth = cat_and_cup(tmp_path, names)
    found, _, err = run("evaluate", truth, "--root", photos, "--checkpoint", weights)
    assert found == code, err
    assert code == 0 or "Error: Invalid value for --classes" in err
    plain = " ".join(err.replace("│", " ").split())
    assert said in plain
    assert said or "none of the network's" not in plain


def test_numbers_are_no_names(run, photos, tmp_path):
    """Outputs without names are called by numbers, which classes called 1 and 2 fit by chance."""
    weights, truth = cat_and_cup(tmp_path, ("1", "2"))
    model, _ = load_checkpoint(weights)
    model.class_names = None
    save_checkpoint(model, weights)
    code, _, err = run("evaluate", truth, "--root", photos, "--checkpoint", weights)
    assert (code, "none of the network's" in err) == (0, False), err


def test_predicted_classes_are_scored_whatever_the_data_calls_its_own(run, photos, tmp_path):
    weights, truth = cat_and_cup(tmp_path, ("cat", "mug"))
    content = json.loads(truth.read_text())
    content["categories"].append({"id": 9, "name": "third"})
    truth.write_text(json.dumps(content))
    options = ("evaluate", truth, "--root", photos, "--checkpoint", weights)
    code, out, err = run(*options, "--class-map", "predicted")
    assert code == 0, err
    assert "none of the network's: 1 ('mug')" in err
    line = next(line for line in out.splitlines() if "top-1 accuracy" in line)
    assert line.split()[-1] == "-"  # what is right is not known
    assert run(*options)[0] == 2


def test_a_network_that_does_not_know_the_classes_does_not_stop_a_benchmark(run, photos, tmp_path):
    weights, truth = cat_and_cup(tmp_path, ("cat", "mug"))
    model, _ = load_checkpoint(weights)
    model.class_names = ("mug", "cat")
    save_checkpoint(model, tmp_path / "other.safetensors")
    code, out, err = run("benchmark", truth, "--root", photos, "--run", f"a={weights}",
                         "--run", f"b={tmp_path / 'other.safetensors'}")  # fmt: skip
    assert code == 1
    assert "none of the network's: 1 ('mug')" in err
    assert " b " in out
